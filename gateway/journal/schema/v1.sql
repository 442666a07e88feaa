-- Schema of the journal, version 1 (PRAGMA user_version = 1).
--
-- One table is the truth: `entry`. It only grows, and the position of an entry in it never changes.
-- `source` and `window` and `outbox` rows are written in the transaction of the entry they belong to.
-- `position` and `span` are only a saved summary of `entry` up to meta.folded: whoever opens the journal
-- reads the entries after that again (gateway/journal/fold.py), so they cost no page in most commits.
-- Times are Unix milliseconds of station time unless a name says otherwise.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('folded', 0);          -- entries that position and span cover

CREATE TABLE source (                           -- who entries come from
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE                   -- device/st-01, bus/tank, gateway
) STRICT;

CREATE TABLE entry (
    idx        INTEGER PRIMARY KEY,             -- leaf number of the Merkle tree, from 0, no gaps
    kind       INTEGER NOT NULL,                -- gateway/journal/kinds.py
    source     INTEGER NOT NULL,
    boot       INTEGER NOT NULL,                -- (source, boot, sequence) is the permanent key of a record;
    first_seq  INTEGER NOT NULL,                -- 0, 0, 0 for entries that carry no records
    last_seq   INTEGER NOT NULL,
    arrived_ms INTEGER NOT NULL,                -- when the gateway had it
    mono_ms    INTEGER NOT NULL,                -- the same moment on the gateway's monotonic clock
    first_ms   INTEGER,                         -- earliest and latest time of its readings,
    last_ms    INTEGER,                         -- NULL when it has none that could be placed in time
    leaf       BLOB NOT NULL,                   -- SHA-256(0x00 || body)
    body       BLOB                             -- NULL once retention has pruned it; the leaf stays
) STRICT;

CREATE INDEX entry_rare ON entry (kind, idx) WHERE kind >= 4;   -- events, configurations, device tables

CREATE TRIGGER entry_stays BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER entry_unchanged BEFORE UPDATE ON entry
WHEN NEW.body IS NOT NULL OR NEW.idx <> OLD.idx OR NEW.leaf <> OLD.leaf OR NEW.kind <> OLD.kind
  OR NEW.source <> OLD.source OR NEW.boot <> OLD.boot OR NEW.first_seq <> OLD.first_seq OR NEW.last_seq <> OLD.last_seq
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TABLE position (                         -- newest record held of each source
    source INTEGER PRIMARY KEY,
    boot   INTEGER NOT NULL,
    seq    INTEGER NOT NULL
) STRICT;

CREATE TABLE span (                             -- which entries hold readings of a 5-minute slot of UTC
    slot   INTEGER NOT NULL,                    -- Unix ms / 300000
    source INTEGER NOT NULL,
    first  INTEGER NOT NULL,                    -- entry numbers, both included; several rows when readings
    last   INTEGER NOT NULL,                    -- of the slot arrived at quite different times
    PRIMARY KEY (slot, source, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE window (
    start_ms    INTEGER NOT NULL,
    symbol      TEXT    NOT NULL,
    revision    INTEGER NOT NULL,               -- 1, 2, ...: the old row stays
    idx         INTEGER NOT NULL,               -- its entry, whose body says the same and is what counts
    end_ms      INTEGER NOT NULL,
    unit        TEXT    NOT NULL,
    value       REAL,                           -- NULL while no value was ever known
    quality     INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    valid       INTEGER NOT NULL,               -- readings that are OK
    expected    INTEGER NOT NULL,
    valid_share REAL    NOT NULL,
    minimum     REAL,                           -- of the valid readings; NULL without any
    maximum     REAL,
    reason      TEXT    NOT NULL,
    last        REAL,                           -- last valid value up to here; NULL when there never was one
    PRIMARY KEY (start_ms, symbol, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY,           -- rises; never used twice while a gateway runs
    destination  TEXT    NOT NULL,
    key          TEXT    NOT NULL,              -- permanent: window/NUO001/20260325000000/1
    kind         TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    folder       TEXT    NOT NULL,
    at_ms        INTEGER NOT NULL,
    state        INTEGER NOT NULL DEFAULT 0,    -- 0 pending, 1 delivered, 2 parked for a person
    attempts     INTEGER NOT NULL DEFAULT 0,    -- that failed
    created_ms   INTEGER NOT NULL,
    settled_ms   INTEGER,                       -- delivered or parked
    last_error   TEXT    NOT NULL DEFAULT '',
    body         BLOB    NOT NULL,
    UNIQUE (destination, key)
) STRICT;

CREATE INDEX outbox_state ON outbox (destination, state, id);

CREATE TABLE tally (                            -- delivered documents whose rows were deleted at once
    destination TEXT PRIMARY KEY,
    delivered   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
