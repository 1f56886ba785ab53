-- Files that spans refer to, and where they do. A file goes with the last trace that uses it.

CREATE TABLE IF NOT EXISTS {media_table} {on_cluster} (
    project LowCardinality(String),
    id String,
    content_type LowCardinality(String),
    size_bytes UInt64,
    sha256 String,
    created_ns Int64,
    content String CODEC(ZSTD(1)),
    version UInt64,
    gone UInt8
)
ENGINE = {media_engine}
ORDER BY (project, id)
SETTINGS index_granularity = 16{settings};

CREATE TABLE IF NOT EXISTS {media_uses_table} {on_cluster} (
    project LowCardinality(String),
    trace_id String,
    media_id String,
    span_id String,
    field LowCardinality(String),
    version UInt64,
    gone UInt8,
    INDEX media_uses_by_media media_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {media_uses_engine}
ORDER BY (project, trace_id, media_id, span_id, field)
SETTINGS index_granularity = 2048{settings};
