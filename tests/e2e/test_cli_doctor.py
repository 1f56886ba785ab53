"""`everyspan doctor`, alone and with a program that it runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.testing import FakeProvider
from everyspan.testing.sink import Sink

KEY = "sk-very-secret-key"


@pytest.fixture
def collector() -> Iterator[Sink]:
    with Sink() as opened:
        yield opened


class Doctor:
    """Runs `everyspan doctor` with only these variables."""

    def __init__(self, folder: Path, collector: Sink) -> None:
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONUTF8": "1",
            "EVERYSPAN_SPOOL_DIR": str(folder / "spool"),
            "EVERYSPAN_ENDPOINT": collector.url,
            "EVERYSPAN_EXIT_TIMEOUT": "0.5",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }

    def __call__(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "everyspan.cli.main", "doctor", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, env={**self.environ, **environ}, check=False
        )

    def look_at(self, program: str, **environ: str) -> Examined:
        """What is found in a program of these lines."""
        script = self.folder / "script.py"
        script.write_text(program)
        return Examined(self("--json", "--", str(script), "one", "--json", **environ))


class Examined:
    """The answer of `everyspan doctor --json`."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.exit_code, self.stderr = done.returncode, done.stderr
        self.said: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}

    def codes(self, level: str) -> set[str]:
        return {each["code"] for each in self.said["findings"] if each["level"] == level}

    def says(self, code: str) -> str:
        (found,) = [each["says"] for each in self.said["findings"] if each["code"] == code]
        return str(found)

    def all(self, code: str) -> list[str]:
        return [str(each["says"]) for each in self.said["findings"] if each["code"] == code]


@pytest.fixture
def doctor(tmp_path: Path, collector: Sink) -> Doctor:
    return Doctor(tmp_path, collector)


def test_where_all_is_well_it_says_so_and_ends_with_0(doctor: Doctor, collector: Sink) -> None:
    done = doctor()

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{collector.url} takes spans" in done.stdout
    assert "PROBLEM" not in done.stdout


def test_a_problem_is_printed_with_what_to_do_and_ends_with_1(doctor: Doctor) -> None:
    done = doctor(OTEL_SDK_DISABLED="true")

    assert done.returncode == 1
    assert re.search(r"PROBLEM +OTEL_SDK_DISABLED is true.*\n +-> unset OTEL_SDK_DISABLED\n", done.stdout)
    assert done.stdout.splitlines()[-1].startswith("1 problem")


def test_json_holds_the_verdict_and_no_key(doctor: Doctor, collector: Sink) -> None:
    collector.answer(403, body=f"{KEY} may not".encode())

    done = doctor("--json", EVERYSPAN_API_KEY=KEY)

    answer = json.loads(done.stdout)
    assert (done.returncode, answer["fine"], answer["problems"]) == (1, False, 1)
    assert set(answer["findings"][0]) == {"level", "code", "says", "do"}
    assert KEY not in done.stdout + done.stderr


def test_the_local_collector_that_nobody_named_and_nobody_started_is_no_problem(doctor: Doctor) -> None:
    # Port 4319 may be taken on the machine of whoever runs this: both answers end with 0.
    done = doctor(EVERYSPAN_ENDPOINT="")

    assert done.returncode == 0


def test_a_program_is_run_and_seen_from_inside(doctor: Doctor, collector: Sink) -> None:
    program = "import sys, everyspan\nwith everyspan.span('step'):\n    print(sys.argv[1:])\n"

    found = doctor.look_at(program)

    assert (found.exit_code, found.said["fine"]) == (0, True)
    assert "['one', '--json']\n" in found.stderr  # what it prints does not mix with the JSON
    assert found.says("delivery.done") == f"1 of 1 span delivered to {collector.url}"
    assert [span.name for span in collector.spans] == ["step"]


CALL = """
litellm.completion(
    "openai/gpt-4o-mini", messages=[{{"role": "user", "content": "hello"}}], api_base={url!r}, api_key="k"
)
"""


def test_litellm_is_seen_to_be_instrumented_and_its_call_counted(doctor: Doctor) -> None:
    with FakeProvider() as provider:
        found = doctor.look_at("import litellm\n" + CALL.format(url=provider.openai_url))

    assert found.codes("problem") == set()
    assert found.says("calls.seen").startswith("1 call to models")
    assert "instrumented.litellm" in found.codes("ok")


def test_a_wrapper_that_hides_litellms_function_is_named_and_no_problem(doctor: Doctor) -> None:
    hiding = "import litellm\nreal = litellm.completion\nlitellm.completion = lambda *a, **k: real(*a, **k)\n"
    with FakeProvider() as provider:
        found = doctor.look_at(hiding + CALL.format(url=provider.openai_url))

    assert found.codes("problem") == set()
    assert "from __main__" in found.says("instrumented.replaced")
    assert found.says("calls.seen").startswith("1 call to models")


def test_litellm_with_its_hooks_taken_out_is_a_problem(doctor: Doctor) -> None:
    found = doctor.look_at("import litellm\nfrom everyspan.instrument import patch\npatch.restore_all()\n")

    assert found.codes("problem") == {"instrumented.litellm", "instrumented.openai"}  # which litellm imports
    assert "litellm.completion, litellm.acompletion" in found.says("instrumented.litellm")


def test_the_sdks_are_seen_to_be_instrumented_and_to_have_lost_their_hooks(doctor: Doctor) -> None:
    program = "import anthropic, botocore.client, openai\nfrom google import genai\n"
    hooked = doctor.look_at(program)
    bare = doctor.look_at(f"{program}from everyspan.instrument import patch\npatch.restore_all()\n")

    codes = {f"instrumented.{library}" for library in ("anthropic", "botocore", "google-genai", "openai")}
    assert codes <= hooked.codes("ok")
    assert bare.codes("problem") == codes
    assert "SyncAPIClient.request, AsyncAPIClient.request of openai" in bare.says("instrumented.openai")


def test_callbacks_of_litellms_and_langfuses_wrapper_are_named(doctor: Doctor) -> None:
    found = doctor.look_at(
        "import langfuse.openai, litellm\nlitellm.success_callback = ['langfuse_otel', 'helicone']\n"
    )

    said = found.all("overlap.callback")
    assert ["'langfuse_otel' is taken over" in said[0], "'helicone' goes on beside" in said[1]] == [
        True,
        True,
    ]
    assert "langfuse.openai is at work" in found.says("overlap.active")


def test_a_sampler_of_the_programs_own_provider_is_a_warning(doctor: Doctor) -> None:
    found = doctor.look_at(
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased\n"
        "trace.set_tracer_provider(TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.25))))\n"
    )

    assert (found.exit_code, found.codes("warning")) == (0, {"provider.sampler"})
    assert "keeps 0.25 of all traces" in found.says("provider.sampler")


def test_an_exporter_of_its_own_to_the_same_place_doubles_and_one_to_another_does_not(
    doctor: Doctor, collector: Sink
) -> None:
    program = (
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n"
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter\n"
        "trace.set_tracer_provider(TracerProvider())\n"
        "exporter = OTLPSpanExporter(endpoint={url!r})\n"
        "trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(exporter))\n"
    )
    with Sink() as other:
        twice = doctor.look_at(program.format(url=collector.url))
        once = doctor.look_at(program.format(url=other.url))

    assert (twice.codes("problem"), once.codes("problem")) == ({"provider.double"}, set())
    assert collector.url in twice.says("provider.double")


def test_a_private_provider_is_named_with_where_its_spans_go(doctor: Doctor) -> None:
    found = doctor.look_at(
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor\n"
        "private = TracerProvider()\n"
        "private.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))\n"
    )

    assert "SimpleSpanProcessor" in found.says("provider.other")


# What opentelemetry-instrumentation offers its instrumentors, as far as the doctor looks at it.
INSTRUMENTORS = """
import sys, types
module = sys.modules["opentelemetry.instrumentation.instrumentor"] = types.ModuleType("instrumentor")
class BaseInstrumentor:
    _instance = None
    is_instrumented_by_opentelemetry = False
    def __new__(cls):
        cls._instance = cls._instance or object.__new__(cls)
        return cls._instance
module.BaseInstrumentor = BaseInstrumentor
class Working(BaseInstrumentor):
    is_instrumented_by_opentelemetry = True
class Idle(BaseInstrumentor): ...
class Unused(BaseInstrumentor): ...
Working(), Idle()
"""


def test_only_an_instrumentation_that_is_switched_on_is_said_to_be_at_work(doctor: Doctor) -> None:
    found = doctor.look_at(INSTRUMENTORS)

    assert "__main__.Working is at work" in found.says("overlap.active")


def test_a_program_that_fails_is_seen_all_the_same(doctor: Doctor) -> None:
    found = doctor.look_at("import everyspan\nwith everyspan.span('step'):\n    raise SystemExit(3)\n")

    assert found.exit_code == 0
    assert found.says("delivery.done").startswith("1 of 1 span")


def test_a_program_that_is_killed_can_not_be_seen_and_that_is_said(doctor: Doctor) -> None:
    found = doctor.look_at("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")

    assert (found.exit_code, found.codes("problem")) == (1, {"program.unseen"})
    assert "killed by signal 9" in found.says("program.unseen")


def test_a_script_that_is_not_there_is_exit_code_2(doctor: Doctor) -> None:
    done = doctor("--", "no-such-script.py")

    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-script.py" in done.stderr


def test_spans_that_a_dead_program_left_are_named_before_they_are_drained(
    doctor: Doctor, collector: Sink
) -> None:
    dying = "import os, everyspan\nwith everyspan.span('step'):\n    pass\nos._exit(0)\n"
    environ = {**doctor.environ, "EVERYSPAN_ENDPOINT": "http://127.0.0.1:9"}
    subprocess.run([sys.executable, "-c", dying], env=environ, check=True)

    done = doctor("--json")

    found = {each["code"]: each["says"] for each in json.loads(done.stdout)["findings"]}
    assert found["waiting.nobody"].startswith("for http://127.0.0.1:9/v1/traces, ")
    assert "1 span of ended processes" in found["waiting.nobody"]
