-- Files that spans refer to, and where they do. A file goes with the last trace that uses it.
CREATE TABLE media (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;

CREATE TABLE media_uses (
    project TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    media_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    field TEXT NOT NULL,
    PRIMARY KEY (project, trace_id, media_id, span_id, field)
) STRICT, WITHOUT ROWID;

CREATE INDEX media_uses_by_media ON media_uses (project, media_id);

-- A span by its own id. Eight of its sixteen digits are enough to find it, at half the size.
CREATE INDEX spans_by_id ON spans (substr(span_id, 1, 8));
