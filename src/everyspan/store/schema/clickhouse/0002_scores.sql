-- Judgements about traces, spans and sessions. The later version of one with an id replaces the earlier.

CREATE TABLE IF NOT EXISTS {scores_table} {on_cluster} (
    project LowCardinality(String),
    id String CODEC(ZSTD(1)),
    name LowCardinality(String),
    data_type LowCardinality(String),
    value Nullable(Float64),                     -- a judgement, not money
    text String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    session String CODEC(ZSTD(1)),
    source LowCardinality(String),
    comment String CODEC(ZSTD(1)),
    metadata String CODEC(ZSTD(1)),              -- JSON
    environment LowCardinality(String),
    config_id String CODEC(ZSTD(1)),
    author String CODEC(ZSTD(1)),
    queue_id String CODEC(ZSTD(1)),
    at_ns Int64 CODEC(Delta, ZSTD(1)),
    created_ns Int64 CODEC(Delta, ZSTD(1)),
    version UInt64,
    gone UInt8,
    INDEX scores_by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {scores_engine}
ORDER BY (project, id)
SETTINGS index_granularity = 2048{settings};

-- A span by its own id, which is no part of the sorting key.
ALTER TABLE {spans_table} {on_cluster} ADD INDEX IF NOT EXISTS spans_by_id span_id TYPE bloom_filter(0.001) GRANULARITY 4;
ALTER TABLE {spans_table} {on_cluster} MATERIALIZE INDEX spans_by_id;
