-- Schema of the journal, version 3: retention. Old raw entries (FRAME and POLL, kinds 1 and 2) lose their row, and
-- their hashes stay: gateway/journal/retention.py. Everything else stays for ever.
--
-- The triggers see to it whoever writes: hashes go in while their entries are there and match, never change, and a
-- row goes only when its hash is kept. An entry does not change in any way (in version 1 its body could become NULL).

CREATE TABLE pruned (
    block  INTEGER PRIMARY KEY,                 -- of the entries block << 8 to (block << 8) + 255,
    leaves BLOB NOT NULL CHECK (length(leaves) = 8192)          -- all their leaves, joined
) STRICT;

CREATE TRIGGER pruned_true BEFORE INSERT ON pruned
WHEN (SELECT count(*) FROM entry WHERE idx >= NEW.block << 8 AND idx < (NEW.block + 1) << 8
      AND leaf = substr(NEW.leaves, 1 + 32 * (idx & 255), 32)) <> 256
BEGIN SELECT RAISE(ABORT, 'these are not the hashes of the entries'); END;

CREATE TRIGGER pruned_unchanged BEFORE UPDATE ON pruned
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER pruned_stays BEFORE DELETE ON pruned
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

DROP TRIGGER entry_stays;

CREATE TRIGGER entry_stays BEFORE DELETE ON entry
WHEN OLD.kind NOT IN (1, 2) OR NOT EXISTS (
    SELECT 1 FROM pruned WHERE block = OLD.idx >> 8 AND substr(leaves, 1 + 32 * (OLD.idx & 255), 32) = OLD.leaf)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

DROP TRIGGER entry_unchanged;

CREATE TRIGGER entry_unchanged BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

INSERT INTO meta VALUES
    ('pruned', 0),                              -- raw entries below this number are gone; a multiple of 256
    ('pruned_ms', -4611686018427387904);        -- no reading of theirs is later: windows that start after it are whole
