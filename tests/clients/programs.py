"""What a user of each Langfuse SDK writes. Each program prints the ids that it made, as JSON, when all is sent."""

from __future__ import annotations

LANGFUSE_2 = """
import json
from datetime import datetime, timezone
from langfuse import Langfuse

langfuse = Langfuse()
assert langfuse.auth_check()
trace = langfuse.trace(name="checkout", user_id="u-1", session_id="s-1", tags=["b", "a"], metadata={"k": 1}, input="hi")
span = trace.span(name="retrieve", input={"q": "x"})
generation = span.generation(name="answer", model="gpt-4o", input=[{"role": "user", "content": "hi"}])
generation.end(output="hello", usage={"input": 1000, "output": 100, "unit": "TOKENS"})
span.end(output={"found": 2})
trace.event(name="clicked", metadata={"where": "top"})
trace.update(output="bye")
trace.score(name="quality", value=0.5, comment="fine")
langfuse.score(trace_id=trace.id, observation_id=generation.id, name="mood", value="good", data_type="CATEGORICAL")
langfuse.flush()
read = langfuse.fetch_trace(trace.id).data
assert read.id == trace.id, read.id
print(json.dumps({
    "trace": trace.id, "generation": generation.id, "name": read.name, "user": read.user_id, "tags": sorted(read.tags),
    "observations": sorted(each.name for each in read.observations), "output": read.output,
    "parents": {each.name: each.parent_observation_id for each in read.observations},
    "span": span.id, "scores": sorted(each.name for each in read.scores), "cost": read.total_cost,
    "listed": [each.id for each in langfuse.fetch_traces(user_id="u-1").data],
    "sessions": [each.id for each in langfuse.fetch_sessions().data],
    "usage": [[each.usage.input, each.usage.output] for each in read.observations if each.name == "answer"],
    "by_type": [each.name for each in langfuse.fetch_observations(type="GENERATION").data],
    "every_observation": sorted(each.name for each in langfuse.fetch_observations().data),
    "daily": [
        [day.count_traces, day.count_observations, day.total_cost, [
            [each.model, each.input_usage, each.output_usage, each.total_usage, each.count_traces,
             each.count_observations]
            for each in day.usage
        ]]
        for day in langfuse.client.metrics.daily(
            page=1, limit=10, trace_name="checkout", user_id="u-1", tags=["a", "b"], environment=["default"],
            from_timestamp=read.timestamp, to_timestamp=datetime.now(timezone.utc),
        ).data
    ],
}))
langfuse.shutdown()
"""

LANGFUSE_3_4 = """
import json
from langfuse import Langfuse, get_client{extra_import}

langfuse = Langfuse(flush_at=1, flush_interval=0.1)
assert langfuse.auth_check()
with {root}:
    {update}
    with {generation} as generation:
        generation.update(output="hello", usage_details={{"input": 1000, "output": 100}}, metadata={{"k": "v"}})
    trace_id, generation_id = generation.trace_id, generation.id
langfuse.create_score(trace_id=trace_id, name="quality", value=0.5, comment="fine", score_id="score-1")
judged = {{"trace_id": trace_id, "observation_id": generation_id}}
langfuse.create_score(**judged, name="mood", value="good", data_type="CATEGORICAL")
langfuse.create_score(session_id="s-1", name="solved", value=1, data_type="BOOLEAN")
langfuse.flush()
import time
deadline = time.monotonic() + 20
while True:
    try:
        read = langfuse.api.trace.get(trace_id)
        if len(read.observations) == 2 and len(read.scores) == 2:
            break
    except Exception as error:
        if time.monotonic() > deadline:
            raise
    assert time.monotonic() < deadline, read
    time.sleep(0.05)
metrics = getattr(langfuse.api, "metrics_v_2", None) or langfuse.api.metrics
documented = (
    "latency streamingLatency inputTokens outputTokens totalTokens outputTokensPerSecond tokensPerSecond"
    " inputCost outputCost totalCost timeToFirstToken countScores"
).split()
day = {{"fromTimestamp": "2020-01-01T00:00:00Z", "toTimestamp": "2100-01-01T00:00:00Z"}}
measured = metrics.metrics(query=json.dumps({{
    "view": "observations", "dimensions": [{{"field": "traceName"}}, {{"field": "name"}}],
    "metrics": [{{"measure": each, "aggregation": "sum"}} for each in documented],
    "filters": [{{"column": "type", "operator": "=", "value": "GENERATION", "type": "string"}}], **day,
}})).data
print(json.dumps({{
    "measured": measured, "trace": trace_id, "name": read.name, "user": read.user_id, "tags": sorted(read.tags),
    "observations": sorted(each.name for each in read.observations), "output": read.output,
    "scores": sorted(each.name for each in read.scores), "cost": read.total_cost,
    "listed": [each.id for each in langfuse.api.trace.list(user_id="u-1").data],
    "sessions": [each.id for each in langfuse.api.sessions.list().data],
    "usage": [[each.usage.input, each.usage.output] for each in read.observations if each.name == "answer"],
}}))
langfuse.shutdown()
"""

LANGFUSE_3 = LANGFUSE_3_4.format(
    extra_import="",
    root='langfuse.start_as_current_span(name="checkout", input="hi") as root',
    update='root.update_trace(user_id="u-1", session_id="s-1", tags=["b", "a"], output="bye")',
    generation='langfuse.start_as_current_generation(name="answer", model="gpt-4o", input="hi")',
)
LANGFUSE_4 = LANGFUSE_3_4.format(
    extra_import=", propagate_attributes",
    root='langfuse.start_as_current_observation(name="checkout", input="hi") as root, '
    'propagate_attributes(user_id="u-1", session_id="s-1", tags=["b", "a"])',
    update='root.update(output="bye")',
    generation='langfuse.start_as_current_observation(name="answer", as_type="generation", model="gpt-4o", input="hi")',
)

LITELLM = """
import litellm, time
litellm.success_callback = ["{callback}"]
litellm.failure_callback = ["{callback}"]
shared = {{"trace_name": "shared", "trace_user_id": "u-1", "tags": ["a"]}}
for number in range(3):
    litellm.completion(
        model="gpt-4o", messages=[{{"role": "user", "content": f"call {{number}}"}}], metadata=shared,
        mock_response="hello",
    )
time.sleep({patience})
"""

MEDIA = """
import json, time, urllib.request
from langfuse import Langfuse
from langfuse.media import LangfuseMedia

langfuse = Langfuse()
picture = LangfuseMedia(content_bytes={picture!r}, content_type="image/png")
if hasattr(langfuse, "trace"):
    trace_id = langfuse.trace(name="seen", input={{"image": picture}}).id
else:
    start = getattr(langfuse, "start_as_current_observation", None) or langfuse.start_as_current_span
    with start(name="seen", input={{"image": picture}}) as span:
        trace_id = span.trace_id
langfuse.flush()
api = getattr(langfuse, "api", None) or langfuse.client
if not hasattr(api, "media"):
    api = langfuse.client
deadline = time.monotonic() + 20
while True:
    try:
        kept = api.media.get(picture._media_id if hasattr(picture, "_media_id") else picture._content_sha256_hash
            .replace("+", "-").replace("/", "_")[:22])
        break
    except Exception:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.05)
read = urllib.request.urlopen(kept.url).read()
print(json.dumps({{"same": read == {picture!r}, "type": kept.content_type, "trace": trace_id, "id": kept.media_id}}))
langfuse.shutdown()
"""
"""Logs a picture, waits until it is uploaded and reads it back."""
