-- Latency by day of each model, service and so on by itself: what a report without other filters adds up is one row for
-- each day and value, not one for each combination of values.
CREATE TABLE latencies_by_value (
    day INTEGER NOT NULL,            -- days since 1970-01-01 UTC
    project TEXT NOT NULL,
    field TEXT NOT NULL,             -- 'model', 'service', ...
    value TEXT NOT NULL,
    calls INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    durations TEXT NOT NULL,         -- JSON object: calls by bucket
    first_tokens TEXT NOT NULL,
    PRIMARY KEY (day, field, project, value)
) STRICT, WITHOUT ROWID;

INSERT INTO latencies_by_value
SELECT day, project, fields.value, each.value, sum(calls), sum(errors), sum_histogram(durations), sum_histogram(first_tokens)
FROM latencies_by_day
CROSS JOIN json_each('["project", "service", "environment", "model", "provider"]') AS fields
CROSS JOIN json_each(json_object(
    'project', project, 'service', service, 'environment', environment, 'model', model, 'provider', provider
)) AS each ON each.key = fields.value
GROUP BY day, project, fields.value, each.value;
