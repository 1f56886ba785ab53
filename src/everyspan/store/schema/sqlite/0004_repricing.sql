-- Costs made anew beside those that were recorded; the recorded ones never change.
CREATE TABLE repricings (
    version INTEGER PRIMARY KEY,
    made_ns INTEGER NOT NULL,
    lists TEXT NOT NULL,             -- the price table, and the contract laid over it
    asked TEXT NOT NULL,             -- JSON object: which calls were meant
    finished INTEGER NOT NULL        -- 0 while it is being written: nobody reads it yet
) STRICT;

CREATE TABLE repriced (
    span INTEGER NOT NULL,           -- spans.id
    version INTEGER NOT NULL,
    cost_state TEXT NOT NULL,
    cost TEXT,                       -- US dollars
    note TEXT NOT NULL,              -- JSON object, as a span's own
    PRIMARY KEY (span, version)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER repriced_goes_with_its_span AFTER DELETE ON spans BEGIN
    DELETE FROM repriced WHERE span = OLD.id;
END;
