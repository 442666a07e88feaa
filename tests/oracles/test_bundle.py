"""A bundle that `quantrac export` made, read by Go: golang.org/x/mod/sumdb knows nothing of Quantrac."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.journal.kinds import LOG
from gateway.journal.leaf import parse
from gateway.succession import parse_log_entry
from gateway.verify_bundle import entry_name, handover_name, proof_name
from tests.gateway.bundle_rig import exported
from tests.gateway.evidence_rig import LENGTH_MS, START, Story, greeting, late, live
from tests.gateway.handover_rig import rotate
from tests.oracles.go_evidence import Oracle, build

pytestmark = [pytest.mark.xdist_group("go"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with Oracle(build(tmp_path_factory.mktemp("go"))) as oracle:
        yield oracle


def test_go_believes_every_receipt_of_a_bundle_and_no_other(go, tmp_path):
    story = Story(tmp_path).start(greeting, live(3), late(700_000), live(2))
    bundle = exported(story, tmp_path / "bundle", START + LENGTH_MS, START + 3 * LENGTH_MS)
    manifest, keys = bundle.manifest, [bundle.files["log.vkey"].decode().strip()]
    assert manifest.others and manifest.first > 0
    for index in (*range(manifest.first, manifest.last + 1), *manifest.others):
        data, leaf = bundle.files[proof_name(index)], bundle.files[entry_name(index)]
        assert go.believes("receipt", data=data, leaf=leaf, keys=keys), index
        assert not go.believes("receipt", data=data, leaf=leaf + b"\0", keys=keys), index


def test_go_believes_a_handover_by_both_keys_alone(go, tmp_path):
    story = Story(tmp_path).start(greeting, live(2))
    rotate(story)
    bundle = exported(story.start(greeting, live(1)), tmp_path / "bundle")
    (index,) = [n for n, data in enumerate(bundle.entries()) if parse(data).kind == LOG]
    leaf, data = bundle.files[entry_name(index)], bundle.files[handover_name(index)]
    said = parse_log_entry(parse(leaf).body, index)
    assert go.believes("receipt", data=data, leaf=leaf, keys=[said.new, said.old])
    assert not go.believes("receipt", data=data, leaf=leaf + b"\0", keys=[said.new, said.old])
    assert not go.believes(
        "receipt", data=bundle.files[proof_name(index)], leaf=leaf, keys=[said.new, said.old]
    )
