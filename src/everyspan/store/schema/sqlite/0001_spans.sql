-- Money is decimal text, exact; no column holds a float. STRICT makes an integer overflow an error instead of
-- a silent REAL. Times are nanoseconds since 1970-01-01 UTC.

CREATE TABLE spans (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT,
    writer TEXT,
    seq INTEGER,
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
    UNIQUE (project, key)
) STRICT;

CREATE INDEX spans_by_trace ON spans (trace_id, project);
-- The value comes first, so that these also serve a search through all projects.
CREATE INDEX spans_by_model ON spans (model, project, trace_id) WHERE model != '';
CREATE INDEX spans_by_service ON spans (service, project, trace_id) WHERE service != '';
-- For the parts of a day at both edges of a cost report; whole days come from the roll-up.
CREATE INDEX calls_by_start ON spans (start_ns) WHERE cost_state IS NOT NULL OR unbilled != '';

-- Everything long, compressed together: lists and sums never touch these pages.
CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,          -- spans.id
    body BLOB NOT NULL
) STRICT;

CREATE TABLE traces (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    name TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    environment TEXT NOT NULL,
    tags TEXT NOT NULL,              -- JSON arrays, sorted
    services TEXT NOT NULL,
    models TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    spans INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    states TEXT NOT NULL,            -- JSON object: calls by cost state
    cost TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    marks TEXT NOT NULL,             -- JSON object: which span each value came from, to place those that come later
    UNIQUE (project, trace_id)
) STRICT;

CREATE INDEX traces_by_start ON traces (started_ns, project, trace_id);
CREATE INDEX traces_by_project ON traces (project, started_ns, trace_id);
CREATE INDEX traces_by_name ON traces (name, started_ns);
CREATE INDEX traces_by_user ON traces (user, started_ns) WHERE user != '';
CREATE INDEX traces_by_session ON traces (session, started_ns) WHERE session != '';
CREATE INDEX traces_by_error ON traces (started_ns, project, trace_id) WHERE errors > 0;

-- Two roll-ups of the same calls: few groups for most questions, many for those about users and sessions.
CREATE TABLE costs (
    day INTEGER NOT NULL,            -- days since 1970-01-01 UTC
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    state TEXT NOT NULL,             -- a cost state, or 'unbilled'
    calls INTEGER NOT NULL,
    cost TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (day, state, project, service, model, provider)
) STRICT, WITHOUT ROWID;

CREATE TABLE costs_by_session (
    day INTEGER NOT NULL,            -- days since 1970-01-01 UTC
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    state TEXT NOT NULL,             -- a cost state, or 'unbilled'
    calls INTEGER NOT NULL,
    cost TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (day, state, project, service, model, provider, user, session)
) STRICT, WITHOUT ROWID;

CREATE TABLE writers (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    writer TEXT NOT NULL,
    services TEXT NOT NULL,          -- JSON array, sorted
    begun INTEGER NOT NULL,
    spans INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    spooled_to INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL,
    about TEXT NOT NULL,
    about_ns INTEGER NOT NULL,       -- when `about` was said
    UNIQUE (project, writer)
) STRICT;

-- Ranges of numbers that arrived, both ends included, never touching: one row for a writer without gaps.
CREATE TABLE received (
    writer_id INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (writer_id, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE dropped (
    writer_id INTEGER NOT NULL,
    reason TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (writer_id, reason, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE unnumbered (
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    spans INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    PRIMARY KEY (project, service)
) STRICT, WITHOUT ROWID;
