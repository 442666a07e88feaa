-- Schema of the journal, version 2: the entries are the leaves of a Merkle tree, and checkpoints sign it.
--
-- From here on a leaf covers all that a verification uses of an entry (gateway/journal/leaf.py); version 1 hashed
-- the body alone, and had signed nothing, so its leaves are made anew. journal_leaf() is that module's leaf().

DROP TRIGGER entry_unchanged;

UPDATE entry
SET leaf = journal_leaf(kind, (SELECT name FROM source WHERE id = entry.source), arrived_ms, mono_ms, body)
WHERE body IS NOT NULL;

CREATE TRIGGER entry_unchanged BEFORE UPDATE ON entry
WHEN NEW.body IS NOT NULL OR NEW.idx <> OLD.idx OR NEW.leaf <> OLD.leaf OR NEW.kind <> OLD.kind
  OR NEW.source <> OLD.source OR NEW.boot <> OLD.boot OR NEW.first_seq <> OLD.first_seq OR NEW.last_seq <> OLD.last_seq
  OR NEW.arrived_ms <> OLD.arrived_ms OR NEW.mono_ms <> OLD.mono_ms
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER source_unchanged BEFORE UPDATE ON source       -- the name is part of the leaf
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER source_stays BEFORE DELETE ON source
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TABLE node (                             -- roots of complete subtrees of 256, 65536, ... leaves, so that no
    level INTEGER NOT NULL,                     -- proof reads more than 256 hashes a level; 8, 16, 24, ...
    idx   INTEGER NOT NULL,                     -- over the entries idx << level to ((idx + 1) << level) - 1
    hash  BLOB    NOT NULL,
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;                        -- follows from the leaves: gateway/journal/tree.py fills what is missing

CREATE TABLE checkpoint (                       -- in the transaction of the windows that they cover
    size  INTEGER PRIMARY KEY,                  -- entries that it signs
    at_ms INTEGER NOT NULL,
    note  BLOB    NOT NULL                      -- C2SP signed note, cosignatures included
) STRICT;
