-- Sums of traces say how far their cost can be trusted: calls by cost state, and those that are not billed.

ALTER TABLE facets ADD COLUMN stated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE facets ADD COLUMN computed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE facets ADD COLUMN partial INTEGER NOT NULL DEFAULT 0;
ALTER TABLE facets ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE facets ADD COLUMN unpriced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE facets ADD COLUMN unbilled INTEGER NOT NULL DEFAULT 0;

UPDATE facets SET
    stated = counted.stated, computed = counted.computed, partial = counted.partial,
    estimated = counted.estimated, unpriced = counted.unpriced, unbilled = counted.unbilled
FROM (
    SELECT
        facet_id,
        coalesce(sum(json_extract(states, '$.stated')), 0) AS stated,
        coalesce(sum(json_extract(states, '$.computed')), 0) AS computed,
        coalesce(sum(json_extract(states, '$.partial')), 0) AS partial,
        coalesce(sum(json_extract(states, '$.estimated')), 0) AS estimated,
        coalesce(sum(json_extract(states, '$.unpriced')), 0) AS unpriced,
        coalesce(sum(json_extract(states, '$.unbilled')), 0) AS unbilled
    FROM trace_facets JOIN traces ON traces.id = trace_facets.trace
    GROUP BY facet_id
) AS counted
WHERE counted.facet_id = facets.id;
