"""litellm's `langfuse` callback in a program with everyspan: one generation for each call.

In an environment of its own, because that callback wants Langfuse's SDK 4.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from everyspan.testing import FakeProvider
from everyspan.testing.sink import Sink
from tests.clients.environments import python_with
from tests.programs import clean_environment

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]

PROGRAM = """
import os
later = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("LANGFUSE_")}
if os.environ["KNOWN_AT"] == "init":
    os.environ.update(later)
import everyspan, litellm
everyspan.init()
os.environ.update(later)
litellm.success_callback = litellm.failure_callback = ["langfuse"]
with everyspan.span("batch_operation"):
    for number in range(3):
        list(litellm.completion(
            model="anthropic/claude-haiku-4-5", messages=[dict(role="user", content="Mail")], stream=number == 1))
from litellm.litellm_core_utils import litellm_logging
litellm_logging.executor.shutdown()  # the callback has been told of all of them
litellm_logging.langFuseLogger.flush()
everyspan.flush()
"""


@pytest.mark.parametrize("known_at", ["init", "the first call"])
def test_litellms_langfuse_callback_adds_no_second_generation(known_at: str, tmp_path: Path) -> None:
    with Sink() as sink, FakeProvider() as provider:
        environment = {
            **clean_environment(tmp_path),
            "PYTHONPATH": "src",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "KNOWN_AT": known_at,
            "LANGFUSE_PUBLIC_KEY": "pk-lf-here",
            "LANGFUSE_SECRET_KEY": "sk-lf-here",
            "LANGFUSE_HOST": sink.url.removesuffix("/v1/traces"),
            "ANTHROPIC_API_KEY": "sk-test",
            "ANTHROPIC_BASE_URL": provider.url,
        }
        python = python_with("langfuse==4.14.3", "litellm==1.106.2")
        done = subprocess.run(
            [python, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        spans = sink.spans

    (batch,) = [span for span in spans if span.name == "batch_operation"]
    calls = [span for span in spans if span is not batch]
    assert [call.parent_id for call in calls] == [batch.span_id] * 3, [call.name for call in calls]
    assert {span.scope for span in spans} == {"everyspan"}
