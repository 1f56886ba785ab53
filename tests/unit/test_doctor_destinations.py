"""The doctor's visit to a destination: one empty request to a real socket, and what the answer means."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from everyspan.doctor.destinations import examine_destinations
from everyspan.doctor.finding import Finding, Level
from everyspan.server import running
from everyspan.settings import otlp_destination
from everyspan.testing.sink import Sink

KEY = "sk-very-secret-key"


def visit(url: str, *, api_key: str | None = None, explicit: bool = True) -> dict[str, Finding]:
    """What is found at `url`, by code."""
    destination = otlp_destination(url, api_key=api_key)
    found = examine_destinations([destination], explicit=explicit, allow_key_in_clear=False)
    return {finding.code: finding for finding in found}


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as opened:
        yield opened


def test_our_collector_is_recognised_and_its_clock_compared(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        found = visit(server.url)

    assert {code: finding.level for code, finding in found.items()} == {
        "destination.takes": Level.OK,
        "clock.agrees": Level.OK,
    }
    assert "an everyspan collector" in found["destination.takes"].says


def test_what_is_sent_holds_no_span_and_the_key(sink: Sink) -> None:
    visit(sink.url, api_key=KEY)

    (request,) = sink.requests
    assert (request.body, request.spans) == (b"", ())
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_a_refused_key_is_a_problem_in_the_servers_words_without_the_key(sink: Sink) -> None:
    sink.answer(401, body=f"no account has {KEY}".encode())

    found = visit(sink.url, api_key=KEY)["destination.refused"]

    assert found.level is Level.PROBLEM
    assert "HTTP 401: no account has *** (check the key)" in found.says


def test_a_redirect_is_a_problem_and_is_not_followed(sink: Sink) -> None:
    with Sink() as elsewhere:
        sink.redirect(elsewhere.url)

        found = visit(sink.url, api_key=KEY)["destination.refused"]

        assert (found.level, elsewhere.requests) == (Level.PROBLEM, [])
        assert elsewhere.url in found.says


def test_a_page_that_answers_200_is_no_receiver(sink: Sink) -> None:
    sink.answer_page()

    assert visit(sink.url)["destination.refused"].level is Level.PROBLEM


def test_a_receiver_that_dislikes_an_empty_request_is_reached_all_the_same(sink: Sink) -> None:
    sink.answer(400, body=b"no spans")

    found = visit(sink.url)["destination.answers"]

    assert (found.level, "no spans" in found.says) == (Level.NOTE, True)


@pytest.mark.parametrize(("explicit", "level"), [(True, Level.PROBLEM), (False, Level.WARNING)])
def test_where_nothing_listens_it_matters_whether_somebody_named_it(*, explicit: bool, level: Level) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))

        found = visit(f"http://127.0.0.1:{held.getsockname()[1]}", explicit=explicit)

    assert found["destination.unreachable"].level is level


def test_a_key_is_not_sent_in_clear_to_another_machine() -> None:
    found = visit("http://collector.example", api_key=KEY)["destination.settings"]

    assert (found.level, KEY in found.says) == (Level.PROBLEM, False)


@contextmanager
def a_server_that_is(ahead_s: float) -> Iterator[str]:
    """A receiver whose clock is so many seconds ahead of ours."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + ahead_s, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("ahead_s", "how"), [(3_600, "behind"), (-3_600, "ahead of")])
def test_a_clock_that_is_an_hour_off_is_a_warning_with_its_direction(ahead_s: int, how: str) -> None:
    with a_server_that_is(ahead_s) as url:
        found = visit(url)["clock.differs"]

    assert found.level is Level.WARNING
    assert f"3,600 s {how} that of {url}" in found.says or f"3,599 s {how} that of {url}" in found.says


def test_two_seconds_are_no_difference() -> None:
    with a_server_that_is(2) as url:
        assert visit(url)["clock.agrees"].level is Level.OK
