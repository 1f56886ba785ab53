-- With which of the collector's keys a span came. Said twice, of the table that holds rows and of the one that spreads
-- them over a cluster, which is the same one without a cluster.

ALTER TABLE {spans_table} {on_cluster} ADD COLUMN IF NOT EXISTS key_id LowCardinality(String) AFTER project;

ALTER TABLE {spans_whole} {on_cluster} ADD COLUMN IF NOT EXISTS key_id LowCardinality(String) AFTER project;
