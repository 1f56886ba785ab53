"""litellm's proxy server as a process with everyspan in it: what passes through it is recorded once.

Runs with `make test-proxy`, which has litellm[proxy] in an environment of its own.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from everyspan.testing import FakeProvider
from everyspan.testing.sink import Sink
from tests.programs import clean_environment

pytest.importorskip("litellm_proxy_extras", reason="litellm[proxy] is installed by make test-proxy")

PROGRAM = """
import sys
import everyspan
everyspan.init()
from litellm.proxy.proxy_cli import run_server
run_server(["--config", sys.argv[1], "--host", "127.0.0.1", "--port", sys.argv[2]])
"""
CONFIG = """
model_list:
  - model_name: small
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: {openai_url}
      api_key: k
  - model_name: claude
    litellm_params:
      model: anthropic/claude-haiku-4-5
      api_base: {url}
      api_key: k
"""
KEY = "sk-" + "0123456789abcdef" * 4
START_S = 120.0


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as opened:
        yield opened


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the proxy does not listen; its exit code: {process.poll()}")


async def ask(port: int) -> None:
    client = openai.AsyncOpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)

    async def one(model: str, number: int) -> None:
        said = [{"role": "user", "content": f"[[words={6 + number}]] {model} {number}"}]
        asked: dict[str, Any] = {"model": model, "messages": said, "stream": number % 2 == 1}
        answer = await client.chat.completions.create(**asked)
        if number % 2:
            async for _ in answer:
                pass

    await asyncio.gather(*(one(model, number) for model in ("small", "claude") for number in range(4)))


@pytest.mark.timeout(240)
def test_each_call_through_the_proxy_is_one_span_with_its_usage(
    tmp_path: Path, provider: FakeProvider
) -> None:
    config, port = tmp_path / "config.yaml", free_port()
    config.write_text(CONFIG.format(openai_url=provider.openai_url, url=provider.url))

    with Sink() as sink:
        environment = {**clean_environment(tmp_path / "spool"), "EVERYSPAN_ENDPOINT": sink.url}
        environment |= {
            "PYTHONPATH": "src",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": KEY,
        }
        command = [sys.executable, "-c", PROGRAM, str(config), str(port)]
        with open(tmp_path / "proxy.log", "wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            wait_for(port, process)
            asyncio.run(ask(port))
        finally:
            process.terminate()
            process.wait(60)
        calls = [span for span in sink.spans if span.scope == "everyspan"]

    served = provider.ledger.calls
    assert len(calls) == len(served) == 8, (tmp_path / "proxy.log").read_text()[-2000:]
    told = sorted(int(str(call.attributes["gen_ai.usage.output_tokens"])) for call in calls)
    assert told == sorted(call.tokens.output for call in served)
    assert not [call for call in calls if "everyspan.unbilled" in call.attributes]
