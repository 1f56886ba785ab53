-- Finds the other recordings of a call. Shorter ids are not unique.
CREATE INDEX spans_by_response ON spans (response_id, project) WHERE length(response_id) >= 16;
