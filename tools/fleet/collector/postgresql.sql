-- What a department keeps of the messages, for PostgreSQL; with the TimescaleDB extension the two lines at the end
-- make it a hypertable that packs what is old. A message's id is its key: what comes twice is there once.

CREATE TABLE message (
    id        text        NOT NULL,
    t         timestamptz NOT NULL,              -- what it is about: a window's stamp
    kind      text        NOT NULL,              -- the topic's last level
    body      jsonb       NOT NULL,
    received  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, t)                          -- t is in the key because partitions are by time
);

CREATE VIEW reading AS
SELECT split_part(id, '/', 1) AS province, split_part(id, '/', 2) AS facility, split_part(id, '/', 3) AS station,
       t, channel.key AS symbol, (channel.value ->> 'value')::float8 AS value, channel.value ->> 'unit' AS unit,
       channel.value ->> 'status' AS status, (channel.value ->> 'revision')::int AS revision
FROM message, jsonb_each(body -> 'channels') AS channel
WHERE kind = 'window';

-- Every signed note that came, in whatever message: who has them can tell later whether history was rewritten.
CREATE VIEW checkpoint AS
SELECT split_part(note, E'\n', 1) AS log, split_part(note, E'\n', 2)::bigint AS entries,
       split_part(note, E'\n', 3) AS root, t, note
FROM (SELECT t, body ->> 'checkpoint' AS note FROM message WHERE body ? 'checkpoint') AS noted;

-- Must give no row, ever: a log of so many entries that has two roots was signed as two histories.
CREATE VIEW two_histories AS
SELECT log, entries, count(DISTINCT root) AS roots FROM checkpoint GROUP BY log, entries HAVING count(DISTINCT root) > 1;

-- INSERT INTO message (id, t, kind, body) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- SELECT create_hypertable('message', 't', chunk_time_interval => interval '7 days');
-- ALTER TABLE message SET (timescaledb.compress, timescaledb.compress_segmentby = 'kind');
