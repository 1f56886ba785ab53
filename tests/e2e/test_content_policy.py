"""What reaches the disk of texts: masked, hashed, left out, with references for media; third-party spans included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from everyspan.testing import FakeProvider
from tests.programs import run_program

KEY = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz"
PROGRAM = """
import base64, json, openai, everyspan
from opentelemetry import trace
from everyspan.testing import Sink
{before}
with Sink() as sink:
    everyspan.init(sink.url{arguments})
    client = openai.OpenAI(api_key="k", base_url={url!r}, max_retries=0)
    with trace.get_tracer("other").start_as_current_span("other", attributes={{"note": "call {key} now"}}) as other:
        other.add_event("exception", {{"exception.message": "no access with {key}"}})
        {call}
    everyspan.flush(10)
    spans = {{s.name: dict(s.attributes, status=s.status_message) for s in sink.spans}}
    raw = b"".join(request.body for request in sink.requests)
    print(json.dumps(dict(spans=spans, leaked={key!r}.encode() in raw, faults=everyspan.stats()["faults"])))
"""
CALL = 'client.chat.completions.create(model="gpt-4o-mini", messages=[dict(role="user", content="My secret is {}")])'


def run(
    tmp_path: Path,
    provider: FakeProvider,
    *,
    arguments: str = "",
    before: str = "",
    call: str = CALL.format(KEY),
    environment: Mapping[str, str] | None = None,
) -> Any:
    code = PROGRAM.format(url=provider.openai_url, arguments=arguments, before=before, call=call, key=KEY)
    return json.loads(run_program(code, spool=tmp_path, environment=environment))


def test_keys_are_masked_on_every_span_by_default(tmp_path: Path, provider: FakeProvider) -> None:
    found = run(tmp_path, provider)

    assert not found["leaked"]
    assert "sk-ant-[masked]" in found["spans"]["chat gpt-4o-mini"]["gen_ai.input.messages"]
    assert found["spans"]["other"]["note"] == "call sk-ant-[masked] now"


def test_none_keeps_no_content_but_the_bill(tmp_path: Path, provider: FakeProvider) -> None:
    found = run(tmp_path, provider, environment={"EVERYSPAN_CONTENT": "none"})

    call = found["spans"]["chat gpt-4o-mini"]
    assert not {"gen_ai.input.messages", "gen_ai.output.messages"} & call.keys()
    assert call["everyspan.cost.state"] == "computed"
    assert call["gen_ai.usage.input_tokens"] == provider.ledger.calls[0].tokens.input


def test_hashed_tells_equal_texts_from_others(tmp_path: Path, provider: FakeProvider) -> None:
    found = run(tmp_path, provider, environment={"EVERYSPAN_CONTENT": "hashed"})

    call = found["spans"]["chat gpt-4o-mini"]
    assert call["gen_ai.input.messages"].startswith("sha256:")
    assert "secret" not in json.dumps(found["spans"])


def test_a_mask_sees_third_party_spans_and_not_what_is_billed(tmp_path: Path, provider: FakeProvider) -> None:
    found = run(tmp_path, provider, arguments=", mask=lambda name, text: 'gone'")

    call = found["spans"]["chat gpt-4o-mini"]
    assert (call["gen_ai.input.messages"], found["spans"]["other"]["note"]) == ("gone", "gone")
    assert call["gen_ai.request.model"] == "gpt-4o-mini"
    assert call["everyspan.cost.state"] == "computed"


def test_a_mask_that_fails_keeps_the_text_away(tmp_path: Path, provider: FakeProvider) -> None:
    found = run(tmp_path, provider, arguments=", mask=lambda name, text: 1 / 0")

    call = found["spans"]["chat gpt-4o-mini"]
    assert "secret" not in json.dumps(found["spans"])
    assert "not kept" in call["gen_ai.input.messages"]
    assert call["everyspan.cost.state"] == "computed"
    assert found["faults"]["mask a text: ZeroDivisionError"] > 0


PICTURE = """url = "data:image/png;base64," + base64.b64encode(bytes(3000)).decode()
        parts = [dict(type="text", text="what is this"), dict(type="image_url", image_url=dict(url=url))]
        client.chat.completions.create(model="gpt-4o-mini", messages=[dict(role="user", content=parts)])"""


def test_a_picture_is_a_reference_with_its_size(tmp_path: Path, provider: FakeProvider) -> None:
    found = run(tmp_path, provider, call=PICTURE)

    asked = found["spans"]["chat gpt-4o-mini"]["gen_ai.input.messages"]
    assert "everyspan:media:sha256:" in asked
    assert ":3000" in asked
    assert len(asked) < 500
    assert not (tmp_path / "media").exists()


def test_a_picture_is_kept_beside_the_spool_when_asked_for(tmp_path: Path, provider: FakeProvider) -> None:
    run(tmp_path, provider, call=PICTURE, environment={"EVERYSPAN_MEDIA": "keep"})

    (kept,) = (tmp_path / "media").iterdir()
    assert kept.read_bytes() == bytes(3000)
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_refusal_that_quotes_a_key_is_masked(tmp_path: Path, provider: FakeProvider) -> None:
    call = f"""
        try:
            with everyspan.span("failing"):
                raise ValueError("Incorrect API key provided: {KEY}")
        except ValueError:
            pass"""

    found = run(tmp_path, provider, call=call.strip())

    assert not found["leaked"]
    assert "sk-ant-[masked]" in found["spans"]["failing"]["status"]
