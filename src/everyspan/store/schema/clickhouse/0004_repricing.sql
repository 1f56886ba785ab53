-- Costs made anew beside those that were recorded; the recorded ones never change.

CREATE TABLE IF NOT EXISTS {repricings_table} {on_cluster} (
    number UInt64,
    made_ns Int64,
    lists String,                                -- the price table, and the contract laid over it
    asked String,                                -- JSON object: which calls were meant
    finished UInt8,                              -- 0 while it is being written: nobody reads it yet
    version UInt64,
    gone UInt8
)
ENGINE = {repricings_engine}
ORDER BY number
SETTINGS index_granularity = 256{settings};

CREATE TABLE IF NOT EXISTS {repriced_table} {on_cluster} (
    project LowCardinality(String),
    trace_id String CODEC(ZSTD(1)),
    key String CODEC(ZSTD(1)),
    number UInt64,
    cost_state LowCardinality(String),
    cost Nullable(Decimal(76, 30)) CODEC(ZSTD(1)),
    note String CODEC(ZSTD(3)),                  -- JSON object, as a span's own
    version UInt64,
    gone UInt8
)
ENGINE = {repriced_engine}
ORDER BY (project, trace_id, key, number)
SETTINGS index_granularity = 2048{settings};
