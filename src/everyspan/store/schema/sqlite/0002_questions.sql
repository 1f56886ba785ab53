-- What lists, searches and charts need. Everything here can be made from `spans` and `bodies`, and is, below, for the
-- spans that are there already. The functions that are called are everyspan's own: see sqlite_functions.py.

DROP INDEX spans_by_model;
DROP INDEX spans_by_service;
DROP INDEX traces_by_start;
DROP INDEX traces_by_project;
DROP INDEX traces_by_name;
DROP INDEX traces_by_user;
DROP INDEX traces_by_session;
DROP INDEX traces_by_error;

-- Where a span stands in the full-text index: its trace's id in the upper bits, so that a hit leads to its trace
-- without a look at the span. NULL: not in the index.
ALTER TABLE spans ADD COLUMN text_id INTEGER;
-- A finished span looks here for the interrupted one that it replaces.
CREATE INDEX spans_interrupted ON spans (trace_id, span_id) WHERE "end" = 'interrupted';

ALTER TABLE traces ADD COLUMN providers TEXT NOT NULL DEFAULT '[]';
ALTER TABLE traces ADD COLUMN calls INTEGER NOT NULL DEFAULT 0;
-- The cost in whole billionths of a dollar, rounded down: for indexes; the text decides.
ALTER TABLE traces ADD COLUMN cost_nano INTEGER;
-- Spans that the trace ever had, those included that a finished twin replaced.
ALTER TABLE traces ADD COLUMN ever INTEGER NOT NULL DEFAULT 0;

UPDATE traces SET
    ever = spans,
    cost_nano = nano(cost),
    calls = (SELECT coalesce(sum(value), 0) FROM json_each(states) WHERE key != 'unbilled'),
    providers = (
        SELECT json_group_array(provider) FROM (
            SELECT DISTINCT provider FROM spans
            WHERE spans.trace_id = traces.trace_id AND spans.project = traces.project AND provider != ''
            ORDER BY provider
        )
    );

-- All that a filter may ask beside values, so that a row is read only when it fits.
CREATE INDEX traces_by_start ON traces (started_ns, project, trace_id, errors, cost_nano, ended_ns);
CREATE INDEX traces_by_project ON traces (project, started_ns, trace_id, errors, cost_nano, ended_ns);

-- Every value by which traces are found, with the sums of the traces that have it. The kind `all` with an empty
-- value holds the sums of a whole project.
CREATE TABLE facets (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    traces INTEGER NOT NULL DEFAULT 0,
    spans INTEGER NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    priced INTEGER NOT NULL DEFAULT 0,   -- traces whose cost is known
    cost TEXT,
    cost_nano INTEGER,
    first_ns INTEGER NOT NULL DEFAULT 0,
    last_ns INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, project, value)
) STRICT;

CREATE INDEX facets_by_time ON facets (kind, last_ns);

CREATE TABLE trace_facets (
    facet_id INTEGER NOT NULL,
    started_ns INTEGER NOT NULL,
    trace INTEGER NOT NULL,              -- traces.id
    PRIMARY KEY (facet_id, started_ns, trace)
) STRICT, WITHOUT ROWID;

CREATE TEMP TABLE found AS
    SELECT id AS trace, project, 'all' AS kind, '' AS value, started_ns FROM traces
    UNION SELECT id, project, 'name', name, started_ns FROM traces WHERE name != ''
    UNION SELECT id, project, 'user', user, started_ns FROM traces WHERE user != ''
    UNION SELECT id, project, 'session', session, started_ns FROM traces WHERE session != ''
    UNION SELECT id, project, 'environment', environment, started_ns FROM traces WHERE environment != ''
    UNION SELECT traces.id, project, 'tag', value, started_ns FROM traces, json_each(tags) WHERE value != ''
    UNION SELECT traces.id, project, 'service', value, started_ns FROM traces, json_each(services)
    UNION SELECT traces.id, project, 'model', value, started_ns FROM traces, json_each(models)
    UNION SELECT traces.id, project, 'provider', value, started_ns FROM traces, json_each(providers);

INSERT INTO facets (
    project, kind, value, traces, spans, calls, errors, input_tokens, output_tokens, priced, cost, first_ns, last_ns
)
SELECT
    found.project, kind, value, count(*), sum(spans), sum(calls), sum(errors), sum(input_tokens),
    sum(output_tokens), count(cost), sum_text(cost), min(found.started_ns), max(found.started_ns)
FROM found JOIN traces ON traces.id = found.trace GROUP BY found.project, kind, value;

UPDATE facets SET cost_nano = nano(cost);

INSERT INTO trace_facets (facet_id, started_ns, trace)
SELECT facets.id, found.started_ns, found.trace FROM found JOIN facets USING (project, kind, value);

DROP TABLE found;

-- Words of inputs and outputs. Only the index: the texts themselves are in `bodies`.
CREATE VIRTUAL TABLE texts USING fts5 (
    text, content = '', detail = none, columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
);

UPDATE spans SET text_id = placed.text_id FROM (
    SELECT spans.id AS id, (traces.id << 24) + row_number() OVER (PARTITION BY traces.id ORDER BY spans.id) AS text_id
    FROM spans JOIN traces USING (project, trace_id)
) AS placed WHERE placed.id = spans.id;

INSERT INTO texts (rowid, text)
SELECT text_id, body_words(body) FROM spans JOIN bodies USING (id) ORDER BY text_id;

-- Roll-ups of the same calls, each as coarse as its questions allow. `priced` counts calls whose cost is known.
DROP TABLE costs;
DROP TABLE costs_by_session;

CREATE TABLE costs (
    hour INTEGER NOT NULL,           -- hours since 1970-01-01 UTC
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    state TEXT NOT NULL,             -- a cost state, or 'unbilled'
    calls INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    cost TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (hour, state, project, service, environment, model, provider)
) STRICT, WITHOUT ROWID;

CREATE TABLE costs_by_day (
    day INTEGER NOT NULL,            -- days since 1970-01-01 UTC
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    state TEXT NOT NULL,
    calls INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    cost TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (day, state, project, service, environment, model, provider)
) STRICT, WITHOUT ROWID;

CREATE TABLE costs_by_session (
    day INTEGER NOT NULL,            -- days since 1970-01-01 UTC
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    state TEXT NOT NULL,
    calls INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    cost TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (day, state, project, service, environment, model, provider, user, session)
) STRICT, WITHOUT ROWID;

-- A call with two tags is in two rows, one without any in the row of the empty tag.
CREATE TABLE costs_by_tag (
    day INTEGER NOT NULL,
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    tag TEXT NOT NULL,
    state TEXT NOT NULL,
    calls INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    cost TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (day, state, project, service, environment, model, provider, tag)
) STRICT, WITHOUT ROWID;

-- How long billed calls took, as histograms that can be added up; see histogram.py.
CREATE TABLE latencies (
    hour INTEGER NOT NULL,
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    calls INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    durations TEXT NOT NULL,         -- JSON object: calls by bucket
    first_tokens TEXT NOT NULL,
    PRIMARY KEY (hour, project, service, environment, model, provider)
) STRICT, WITHOUT ROWID;

CREATE TABLE latencies_by_day (
    day INTEGER NOT NULL,
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    environment TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    calls INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    durations TEXT NOT NULL,
    first_tokens TEXT NOT NULL,
    PRIMARY KEY (day, project, service, environment, model, provider)
) STRICT, WITHOUT ROWID;

CREATE TEMP VIEW counted AS
    SELECT *, CASE WHEN unbilled != '' THEN 'unbilled' ELSE cost_state END AS state FROM spans
    WHERE cost_state IS NOT NULL OR unbilled != '';

INSERT INTO costs
SELECT
    start_ns / 3600000000000, project, service, environment, model, provider, state, count(*), count(cost),
    sum_text(cost), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
    coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0), coalesce(sum(reasoning_tokens), 0)
FROM counted GROUP BY 1, 2, 3, 4, 5, 6, 7;

INSERT INTO costs_by_day
SELECT
    start_ns / 86400000000000, project, service, environment, model, provider, state, count(*), count(cost),
    sum_text(cost), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
    coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0), coalesce(sum(reasoning_tokens), 0)
FROM counted GROUP BY 1, 2, 3, 4, 5, 6, 7;

INSERT INTO costs_by_session
SELECT
    start_ns / 86400000000000, project, service, environment, model, provider, user, session, state, count(*),
    count(cost), sum_text(cost), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
    coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0), coalesce(sum(reasoning_tokens), 0)
FROM counted GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;

INSERT INTO costs_by_tag
SELECT
    start_ns / 86400000000000, project, service, environment, model, provider, tag, state, count(*),
    count(cost), sum_text(cost), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
    coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0), coalesce(sum(reasoning_tokens), 0)
FROM (
    SELECT DISTINCT counted.id AS call, counted.*, value AS tag
    FROM counted, json_each(CASE tags WHEN '[]' THEN '[""]' ELSE tags END)
) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;

INSERT INTO latencies
SELECT
    start_ns / 3600000000000, project, service, environment, model, provider, count(*), sum(status = 'error'),
    histogram(CASE WHEN "end" != 'interrupted' THEN max(end_ns - start_ns, 0) END), histogram(first_token_ns)
FROM counted WHERE state != 'unbilled' GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO latencies_by_day
SELECT
    start_ns / 86400000000000, project, service, environment, model, provider, count(*), sum(status = 'error'),
    histogram(CASE WHEN "end" != 'interrupted' THEN max(end_ns - start_ns, 0) END), histogram(first_token_ns)
FROM counted WHERE state != 'unbilled' GROUP BY 1, 2, 3, 4, 5, 6;

DROP VIEW counted;
