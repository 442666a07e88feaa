-- Schema of the journal, version 5: what a window's row says besides. Rows of before have average '': gateway/windows.py.
-- Bodies of FRAME and POLL entries may also lie packed by columns, as 0x01 and raw DEFLATE: gateway/journal/packed.py.

ALTER TABLE window ADD COLUMN deviation REAL;                       -- sample standard deviation of the valid readings
ALTER TABLE window ADD COLUMN flags     TEXT NOT NULL DEFAULT '';   -- readings that were not OK, and why: "SPIKE 1"
ALTER TABLE window ADD COLUMN average   TEXT NOT NULL DEFAULT '';   -- what the value is: mean, vector, total, last
ALTER TABLE window ADD COLUMN last_ms   INTEGER;                    -- what the next window has to know (accumulate.State):
ALTER TABLE window ADD COLUMN meter     REAL;                       -- time of the last valid value, what a meter showed last,
ALTER TABLE window ADD COLUMN steady_ms INTEGER;                    -- since when it shows the same
