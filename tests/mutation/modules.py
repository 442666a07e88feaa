"""The modules whose mutants must be caught, and for each the tests that can tell, the quickest first.

Rule 1: the tests of a module are stages: a mutant goes on to the next one only when all before it passed.
Rule 2: a mutant that no stage catches has survived, whatever the rest of the suite would say.
"""

PROTOCOL = "tests/protocol/"
GATEWAY = "tests/gateway/"

Stages = tuple[tuple[str, ...], ...]


def _protocol(*names: str) -> Stages:
    return (tuple(f"{PROTOCOL}{name}.py" for name in names),)


def _gateway(*stages: str) -> Stages:
    return tuple(tuple(f"{GATEWAY}{name}.py" for name in stage.split()) for stage in stages)


ORACLES = "oracles/"
MODULES: dict[str, Stages] = {
    "protocol/calibration.py": _protocol("test_calibration"),
    "protocol/cbor.py": _protocol("test_cbor", f"{ORACLES}test_cbor_oracle"),
    "protocol/checkpoint.py": _protocol("test_checkpoint", "test_receipt"),
    "protocol/cose.py": _protocol("test_cose", f"{ORACLES}test_cose_oracle"),
    "protocol/fields.py": _protocol("test_fields", "test_profile"),
    "protocol/framing.py": _protocol("test_framing", f"{ORACLES}test_framing_oracle"),
    "protocol/gateway_session.py": _protocol("test_session") + _protocol("test_session_machine"),
    "protocol/merkle.py": _protocol("test_merkle", "test_checkpoint", "test_receipt"),
    "protocol/messages.py": _protocol("test_messages", "test_summary", f"{ORACLES}test_messages_oracle"),
    "protocol/modbus.py": _protocol("test_modbus", f"{ORACLES}test_modbus_oracle"),
    "protocol/modbus_requests.py": _protocol("test_modbus", f"{ORACLES}test_modbus_oracle"),
    "protocol/note.py": _protocol("test_note", "test_checkpoint"),
    "protocol/plan.py": _protocol("test_plan"),
    "protocol/profile.py": _protocol("test_profile", "test_profile_ask", "test_instruments"),
    "protocol/profile_ask.py": _protocol("test_profile_ask", "test_instruments"),
    "protocol/profile_fields.py": _protocol("test_fields", "test_profile", "test_profile_ask"),
    "protocol/profile_trap.py": _protocol("test_profile_trap"),
    "protocol/quality.py": _protocol("test_quality"),
    "protocol/reading.py": _protocol("test_reading"),
    "protocol/receipt.py": _protocol("test_receipt"),
    "protocol/records.py": _protocol("test_records", "test_messages", "test_shapes", "test_summary"),
    "protocol/registers.py": _protocol("test_registers", f"{ORACLES}test_registers_oracle"),
    "protocol/seal.py": _protocol("test_seal", "test_seal_check"),
    "protocol/seal_check.py": _protocol("test_seal_check"),
    "protocol/session.py": _protocol("test_session") + _protocol("test_session_machine"),
    "protocol/shapes.py": _protocol("test_shapes"),
    "protocol/timeline.py": _protocol("test_timeline"),
    "gateway/journal/bodies.py": _gateway("test_bodies test_parked test_deliveries"),
    "gateway/journal/checkpoints.py": _gateway("test_checkpoints", "test_handover"),
    "gateway/journal/compact.py": _gateway("test_retention"),
    "gateway/journal/database.py": _gateway("test_schema test_journal test_packed test_wal", "test_writer"),
    "gateway/journal/durable.py": _gateway("test_handover test_restore"),
    "gateway/journal/fold.py": _gateway("test_fold", "test_journal test_writer"),
    "gateway/journal/handover.py": _gateway("test_handover", "test_restore"),
    "gateway/journal/journal.py": _gateway("test_journal test_commands", "test_counters test_closing"),
    "gateway/journal/keys.py": _gateway("test_handover test_backup"),
    "gateway/journal/leaf.py": _gateway("test_leaf", "test_verify_hostile"),
    "gateway/journal/outbox.py": _gateway(
        "test_outbox_store test_sends test_deliveries", "test_forward_journal"
    ),
    "gateway/journal/packed.py": _gateway("test_packed"),
    "gateway/journal/parked.py": _gateway("test_parked"),
    "gateway/journal/reader.py": _gateway("test_journal test_tables", "test_page_reads test_outbox_store"),
    "gateway/journal/retention.py": _gateway("test_retention"),
    "gateway/journal/room.py": _gateway("test_room"),
    "gateway/journal/stopped.py": _gateway("test_handover", "test_restore test_lock"),
    "gateway/journal/tree.py": _gateway("test_journal test_writer", "test_checkpoints"),
    "gateway/journal/uncommitted.py": _gateway("test_uncommitted"),
    "gateway/journal/wal.py": _gateway("test_wal", "test_writer"),
    "gateway/journal/writer.py": _gateway("test_writer test_closing", "test_journal test_deliveries"),
    "gateway/windows.py": _gateway("test_windows test_derive", "test_days", "test_raw test_summaries"),
    "gateway/lane.py": _gateway("test_windows test_summaries", "test_clock_set test_counters"),
    "gateway/accumulate.py": _gateway("test_windows test_timed test_derive", "test_days"),
    "gateway/derive.py": _gateway("test_derive"),
    "gateway/hours.py": _gateway("test_hours", "test_days"),
    "gateway/timed.py": _gateway("test_timed", "test_days"),
    "gateway/checks.py": _gateway("test_checks", "test_days"),
    "gateway/circular.py": _gateway("test_circular"),
    "gateway/zone.py": _gateway("test_zone"),
    "gateway/marks.py": _gateway("test_marks"),
    "gateway/flags.py": _gateway("test_checks test_derive test_timed"),
    "gateway/forward/marks.py": _gateway("test_forward_worker"),
    "gateway/forward/pace.py": _gateway("test_forward_pace test_forward_worker"),
    "gateway/forward/worker.py": _gateway(
        "test_forward_worker test_forward_between test_forward_delay", "test_forward_station_days test_pauses"
    ),
}
