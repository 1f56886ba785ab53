-- What is asked for most, kept beside the spans. Neither counts anything that the spans do not hold: both are made from
-- them, again after each batch.

-- One row for each trace: what its spans come to. The later version of one replaces the earlier.
CREATE TABLE IF NOT EXISTS {traces_table} {on_cluster} (
    project LowCardinality(String),
    hour UInt32 MATERIALIZED intDiv(started_ns, 3600000000000),
    trace_id String CODEC(ZSTD(1)),
    started_ns Int64 CODEC(Delta, ZSTD(1)),
    ended_ns Int64 CODEC(Delta, ZSTD(1)),
    name String CODEC(ZSTD(1)),
    user String CODEC(ZSTD(1)),
    session String CODEC(ZSTD(1)),
    environment LowCardinality(String),
    tags Array(LowCardinality(String)),
    services Array(LowCardinality(String)),
    models Array(LowCardinality(String)),
    providers Array(LowCardinality(String)),
    spans UInt64,
    calls UInt64,
    errors UInt64,
    cost Nullable(Decimal(76, 30)) CODEC(ZSTD(1)),
    states Map(LowCardinality(String), UInt64),
    input_tokens Int64,
    output_tokens Int64,
    version UInt64,
    gone UInt8
)
ENGINE = {traces_engine}
PARTITION BY intDiv(started_ns, 2592000000000000)
ORDER BY (project, hour, trace_id)
SETTINGS index_granularity = 1024{settings};

-- Where to look: the hours in which spans of a trace start, and the traces in which an answer of a provider stands. A
-- row may be there without a span, never the other way round.
CREATE TABLE IF NOT EXISTS {places_table} {on_cluster} (
    project LowCardinality(String),
    kind LowCardinality(String),                 -- trace or response: of what the id is
    id String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    hour UInt32,
    version UInt64,
    gone UInt8,
    INDEX places_by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {places_engine}
ORDER BY (project, kind, id, trace_id, hour)
SETTINGS index_granularity = 1024{settings};

-- An index that knows in which rows a word stands, on servers that have it.
ALTER TABLE {spans_table} {on_cluster} DROP INDEX IF EXISTS spans_by_word;
ALTER TABLE {spans_table} {on_cluster} ADD INDEX IF NOT EXISTS spans_by_words words TYPE {word_index};
ALTER TABLE {spans_table} {on_cluster} MATERIALIZE INDEX spans_by_words;

-- Where every span has a writer, as with everyspan's own sender, those without one are found by looking nowhere.
ALTER TABLE {spans_table} {on_cluster} ADD INDEX IF NOT EXISTS spans_by_writer writer TYPE minmax GRANULARITY 4;
ALTER TABLE {spans_table} {on_cluster} MATERIALIZE INDEX spans_by_writer;
