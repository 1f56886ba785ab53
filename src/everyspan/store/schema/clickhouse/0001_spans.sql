-- Placeholders in braces are filled in by clickhouse_schema.py. Rows are never changed: a newer version of a row with
-- the same sorting key replaces the older one, also where it arrived twice, and every question asks for FINAL.
-- Times are nanoseconds since 1970-01-01 UTC, money is exact decimal.

CREATE TABLE IF NOT EXISTS {spans_table} {on_cluster} (
    project LowCardinality(String),
    hour UInt32 MATERIALIZED intDiv(start_ns, 3600000000000),
    trace_id String CODEC(ZSTD(1)),
    key String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    parent_id Nullable(String) CODEC(ZSTD(1)),
    writer String CODEC(ZSTD(1)),                -- empty without a stamp
    seq UInt64,
    name String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    service LowCardinality(String),
    scope LowCardinality(String),
    start_ns Int64 CODEC(Delta, ZSTD(1)),
    end_ns Int64 CODEC(Delta, ZSTD(1)),
    status LowCardinality(String),
    end LowCardinality(String),
    provider LowCardinality(String),
    model LowCardinality(String),
    response_id String CODEC(ZSTD(1)),
    user String CODEC(ZSTD(1)),
    session String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    trace_name String CODEC(ZSTD(1)),
    first_token_ns Nullable(Int64),
    unbilled String CODEC(ZSTD(1)),
    received_ns Int64 CODEC(Delta, ZSTD(1)),
    tags Array(String),
    state LowCardinality(String) MATERIALIZED if(unbilled != '', 'unbilled', cost_state),
    cost_state LowCardinality(String),           -- empty for what is no model call
    cost Nullable(Decimal(76, 30)) CODEC(ZSTD(1)),
    input_tokens Nullable(Int64),
    output_tokens Nullable(Int64),
    cache_read_tokens Nullable(Int64),
    cache_write_tokens Nullable(Int64),
    reasoning_tokens Nullable(Int64),
    usage_rest String CODEC(ZSTD(1)),            -- JSON object: the kinds of usage without a column
    input String CODEC(ZSTD(3)),                 -- bytes: UTF-8, in which lone surrogates may stand
    output String CODEC(ZSTD(3)),
    attributes String CODEC(ZSTD(3)),
    cost_note String CODEC(ZSTD(3)),
    status_message String CODEC(ZSTD(3)),
    trace_input String CODEC(ZSTD(3)),
    trace_output String CODEC(ZSTD(3)),
    words String CODEC(ZSTD(1)),                 -- what is searched: each word once, folded, between spaces
    version UInt64,
    gone UInt8,
    INDEX spans_by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX spans_by_key key TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX spans_by_response response_id TYPE bloom_filter(0.001) GRANULARITY 4,
    INDEX spans_by_word words TYPE tokenbf_v1(65536, 3, 0) GRANULARITY 4
)
ENGINE = {spans_engine}
PARTITION BY intDiv(start_ns, 2592000000000000)
PRIMARY KEY (project, hour, trace_id)
ORDER BY (project, hour, trace_id, key)
SETTINGS index_granularity = 512, min_compress_block_size = 16384{settings};  -- 2,048 and 65,536 in tables made before step 6

CREATE TABLE IF NOT EXISTS {writers_table} {on_cluster} (
    project String,
    writer String,
    services Array(String),
    received Array(Tuple(UInt64, UInt64)),
    dropped Array(Tuple(String, UInt64, UInt64)),
    begun UInt64,
    spooled_to UInt64,
    closed UInt8,
    seen_ns Int64,
    about String,
    about_ns Int64,
    version UInt64,
    gone UInt8
)
ENGINE = {writers_engine}
ORDER BY (project, writer)
SETTINGS index_granularity = 256{settings};
