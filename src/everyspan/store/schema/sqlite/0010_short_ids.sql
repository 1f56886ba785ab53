-- Less to write for each span: no key that its other columns tell, and only the ends of ids in indexes, as in version 9.
-- Whoever looks for an id compares it whole with the few spans that are found; see sqlite_ids.py.

CREATE TABLE short_spans (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT,
    writer TEXT,
    seq INTEGER,
    own_key TEXT,                    -- where the other columns do not tell it
    content TEXT,                    -- of a span that is known by its content: the end of its key
    key TEXT GENERATED ALWAYS AS (
        coalesce(own_key, 'h:' || trace_id || ':' || span_id || ':' || content, 'w:' || writer || ':' || seq)
    ) VIRTUAL NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    service TEXT NOT NULL,
    scope TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    status TEXT NOT NULL,
    "end" TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    response_id TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    environment TEXT NOT NULL,
    trace_name TEXT NOT NULL,
    first_token_ns INTEGER,
    unbilled TEXT NOT NULL,
    received_ns INTEGER NOT NULL,
    tags TEXT NOT NULL,              -- JSON array
    cost_state TEXT,
    cost TEXT,                       -- US dollars
    input_tokens INTEGER,
    output_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    reasoning_tokens INTEGER,
    usage_rest TEXT NOT NULL,        -- JSON object: the kinds of usage without a column
    text_id INTEGER                  -- where it stands in the full-text index
) STRICT;

INSERT INTO short_spans (
    id, project, trace_id, span_id, parent_id, writer, seq, own_key, content, name, kind, service, scope, start_ns,
    end_ns, status, "end", provider, model, response_id, user, session, environment, trace_name, first_token_ns,
    unbilled, received_ns, tags, cost_state, cost, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, usage_rest, text_id
)
SELECT
    id, project, trace_id, span_id, parent_id, writer, seq,
    CASE WHEN key IS NOT 'w:' || writer || ':' || seq AND NOT known_by_content THEN key END,
    CASE WHEN known_by_content THEN substr(key, length(trace_id) + length(span_id) + 5) END,
    name, kind, service, scope, start_ns, end_ns, status, "end", provider, model, response_id, user, session,
    environment, trace_name, first_token_ns, unbilled, received_ns, tags, cost_state, cost, input_tokens,
    output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, usage_rest, text_id
FROM (
    SELECT *, instr(key, 'h:' || trace_id || ':' || span_id || ':') = 1 AS known_by_content FROM spans
)
ORDER BY id;

DROP TABLE spans;
ALTER TABLE short_spans RENAME TO spans;

-- Not unique: two keys may end alike. Each batch asks, in the transaction that writes it, which of its keys are known.
CREATE INDEX spans_by_key ON spans (substr(key, -12));
CREATE INDEX spans_by_trace ON spans (substr(trace_id, -8));
CREATE INDEX spans_by_id ON spans (substr(span_id, -8));
CREATE INDEX spans_by_parent ON spans (substr(parent_id, -8)) WHERE parent_id IS NOT NULL;
-- Finds the other recordings of a call. Shorter ids are not unique.
CREATE INDEX spans_by_response ON spans (substr(response_id, -10)) WHERE length(response_id) >= 16;
CREATE INDEX spans_by_start ON spans (project, start_ns);
-- For the parts of a day at both edges of a cost report; whole days come from the roll-up.
CREATE INDEX calls_by_start ON spans (start_ns) WHERE cost_state IS NOT NULL OR unbilled != '';
-- A finished span looks here for the interrupted one that it replaces.
CREATE INDEX spans_interrupted ON spans (trace_id, span_id) WHERE "end" = 'interrupted';

CREATE TRIGGER repriced_goes_with_its_span AFTER DELETE ON spans BEGIN
    DELETE FROM repriced WHERE span = OLD.id;
END;
