-- For the spans that are there already. Where this died halfway, the second time adds the same again, which changes nothing.

INSERT INTO {places_whole} (project, kind, id, trace_id, hour, version, gone)
    SELECT DISTINCT project, 'trace', trace_id, trace_id, hour, 1, 0 FROM {spans_whole};
INSERT INTO {places_whole} (project, kind, id, trace_id, hour, version, gone)
    SELECT DISTINCT project, 'response', response_id, trace_id, hour, 1, 0 FROM {spans_whole} WHERE length(response_id) >= 16;

INSERT INTO {traces_whole} (
    project, trace_id, started_ns, ended_ns, name, user, session, environment, tags, services, models, providers,
    spans, calls, errors, cost, states, input_tokens, output_tokens, version, gone
)
SELECT
    project, trace_id, started_ns, ended_ns, name, user, session, environment, tags, services, models, providers,
    spans, calls, errors, cost, states, input_tokens, output_tokens, 1, 0
FROM ({summaries});
