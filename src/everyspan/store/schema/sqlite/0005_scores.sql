-- Judgements about traces, spans and sessions. The later one with an id replaces the earlier.
CREATE TABLE scores (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    data_type TEXT NOT NULL,
    value REAL,                      -- a judgement, not money
    text TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    session TEXT NOT NULL,
    source TEXT NOT NULL,
    comment TEXT NOT NULL,
    metadata TEXT NOT NULL,          -- JSON object
    environment TEXT NOT NULL,
    config_id TEXT NOT NULL,
    author TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    PRIMARY KEY (project, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX scores_by_time ON scores (project, at_ns, id);
CREATE INDEX scores_by_trace ON scores (trace_id, project) WHERE trace_id != '';
CREATE INDEX scores_by_name ON scores (project, name, at_ns);

-- For lists of single spans, which no trace or roll-up answers.
CREATE INDEX spans_by_start ON spans (project, start_ns, key);
