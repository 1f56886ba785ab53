-- With which of the collector's keys a span came.

ALTER TABLE spans ADD COLUMN key_id TEXT NOT NULL DEFAULT '';

ALTER TABLE costs_by_session RENAME TO costs_by_session_before;

CREATE TABLE costs_by_session (
    day INTEGER NOT NULL,            -- days since 1970-01-01 UTC
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    key_id TEXT NOT NULL,
    state TEXT NOT NULL,
    calls INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    cost TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (day, state, project, service, environment, model, provider, user, session, key_id)
) STRICT, WITHOUT ROWID;

INSERT INTO costs_by_session
SELECT
    day, project, service, environment, model, provider, user, session, '', state, calls, priced, cost, input_tokens,
    output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens
FROM costs_by_session_before;

DROP TABLE costs_by_session_before;
