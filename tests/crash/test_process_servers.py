"""Servers that fork their workers: what each request or task recorded has arrived when the server has ended."""

from __future__ import annotations

import http.client
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.testing.sink import Sink
from tests.processes import Program, deliver_the_rest, missing_numbers, parents

REQUESTS = 12

WSGI = """
import everyspan
everyspan.init()

def app(environ, start_response):
    with everyspan.span("request " + environ["PATH_INFO"][1:]):
        with everyspan.span("inside " + environ["PATH_INFO"][1:]):
            pass
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

# Imported once, by the parent that forks the workers.
WSGI_WITH_LITELLM = """
import litellm
import everyspan
everyspan.init()

def app(environ, start_response):
    number = environ["PATH_INFO"][1:]
    with everyspan.span("request " + number):
        litellm.completion(
            model="openai/gpt-4o-mini", messages=[{"role": "user", "content": number}], mock_response="yes")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

ASGI = """
import everyspan
everyspan.init()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        print("ready")
        await receive()
        with everyspan.span("shutdown"):
            pass
        await send({"type": "lifespan.shutdown.complete"})
        return
    with everyspan.span("request " + scope["path"][1:]):
        with everyspan.span("inside " + scope["path"][1:]):
            pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""

TASKS = """
import sys
import celery, everyspan
from celery.signals import worker_ready

everyspan.init()
app = celery.Celery("tasks", broker="filesystem://")
folder = sys.argv.pop()
app.conf.broker_transport_options = {
    "data_folder_in": folder, "data_folder_out": folder, "control_folder": folder + "/control"
}
app.conf.worker_max_tasks_per_child = 1

@app.task
def work(number):
    with everyspan.span(f"request {number}"):
        with everyspan.span(f"inside {number}"):
            pass

@worker_ready.connect
def ask(**_):
    for number in range(int(sys.argv.pop())):
        work.delay(number)

app.worker_main(["worker", "--concurrency=2", "--pool=prefork", "--loglevel=ERROR"])
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(speaks_everyspan=True) as running:
        yield running


def tree(requests: int) -> dict[str, str]:
    """What `requests` requests leave."""
    return {
        **{f"request {number}": "" for number in range(requests)},
        **{f"inside {number}": f"request {number}" for number in range(requests)},
    }


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def ask(port: int) -> None:
    for number in range(REQUESTS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", f"/{number}")
        assert connection.getresponse().read() == b"ok"
        connection.close()


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["no preload", "preload"])
def test_gunicorn(sink: Sink, tmp_path: Path, preload: list[str]) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "shop.py").write_text(WSGI)
    (tmp_path / "conf.py").write_text("def when_ready(server): print('ready')")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    command += ["--config", str(tmp_path / "conf.py"), "--chdir", str(tmp_path), *preload, "shop:app"]
    with Program(command, spool=tmp_path / "spool", sink=sink) as program:
        program.wait_for("ready")
        ask(port)

        assert program.end(signal.SIGTERM) == 0

    assert parents(sink) == tree(REQUESTS)
    assert len(sink.spans) == 2 * REQUESTS
    assert missing_numbers(sink) == {}
    assert list(tmp_path.rglob("*.seg")) == []


def test_litellm_in_the_workers_of_gunicorn(sink: Sink, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "shop.py").write_text(WSGI_WITH_LITELLM)
    (tmp_path / "conf.py").write_text("def when_ready(server): print('ready')")
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--preload"]
    command += ["--config", str(tmp_path / "conf.py"), "--chdir", str(tmp_path), "shop:app"]
    with Program(command, spool=tmp_path / "spool", sink=sink) as program:
        program.wait_for("ready")
        ask(port)

        assert program.end(signal.SIGTERM, within_s=60) == 0

    calls = [span for span in sink.spans if span.name.startswith("chat ")]
    requests = {span.span_id for span in sink.spans if span.name.startswith("request ")}
    assert len(calls) == len(requests) == REQUESTS
    assert {span.parent_id for span in calls} == requests
    assert missing_numbers(sink) == {}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_uvicorn_shuts_down_as_it_does_without_us_and_leaves_nothing(
    sink: Sink, tmp_path: Path, loop: str
) -> None:
    pytest.importorskip(loop)
    (tmp_path / "shop.py").write_text(ASGI)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--port",
        str(port),
        "--loop",
        loop,
        "--app-dir",
        str(tmp_path),
    ]
    command += ["--log-level", "error", "shop:app"]
    with Program(command, spool=tmp_path / "spool", sink=sink) as program:
        program.wait_for("ready")
        with_server(port)

        assert program.end(signal.SIGTERM) == -signal.SIGTERM

    assert parents(sink) == {**tree(REQUESTS), "shutdown": ""}
    assert missing_numbers(sink) == {}
    assert list(tmp_path.rglob("*.seg")) == []


def with_server(port: int) -> None:
    """Ask, once the port is open: uvicorn opens it after its lifespan has begun, and says nothing then."""
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    ask(port)


def test_celery_with_a_new_process_for_each_task(sink: Sink, tmp_path: Path) -> None:
    pytest.importorskip("celery")
    script = tmp_path / "tasks.py"
    script.write_text(TASKS)
    (tmp_path / "broker").mkdir()
    command = [sys.executable, str(script), "4", str(tmp_path / "broker")]
    with Program(command, spool=tmp_path / "spool", sink=sink) as program:
        sink.wait_for(8, timeout_s=25)

        assert program.end(signal.SIGTERM) == 0

    deliver_the_rest(sink, tmp_path / "spool")
    assert parents(sink) == tree(4)
    assert len({span.stamp.partition(":")[0] for span in sink.spans}) == 4  # a process, and a writer, each
    assert missing_numbers(sink) == {}
