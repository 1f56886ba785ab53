-- The bodies of up to 32 spans that came together are compressed together, under the id of the first one. Those that
-- are here stay alone; see sqlite_bodies.py.
ALTER TABLE bodies RENAME TO packs;

-- The key decides between spans of one nanosecond only: the few of them can be sorted.
DROP INDEX spans_by_start;
CREATE INDEX spans_by_start ON spans (project, start_ns);
