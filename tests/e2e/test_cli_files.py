"""Following, exporting and importing on the command line, and the same collector read by `everyspan.Client`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import everyspan
from everyspan.cli.main import main
from everyspan.errors import AnswerError
from everyspan.server import running
from tests.browsing import deliver
from tests.collector_requests import settled
from tests.web_traces import WRITER, Story, afternoon, batch

NOON_MS = 1_790_000_000_000.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("desk")) as server:
        story = Story(7)
        list(afternoon(story, until_ms=NOON_MS, hours=30, tickets=12))
        hostile = story.trace()
        story.span(hostile, "\x1b]0;owned\x07<b>bold</b>", at_ms=NOON_MS, took_ms=4)
        deliver(server, story.frames(closed=True), writer=WRITER, spooled_to=story.seq)
        yield server.url


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(list(words)) == code
    return capsys.readouterr().out


def test_traces_are_narrowed_by_every_filter_of_the_page(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def ids(*words: str) -> set[str]:
        said = json.loads(printed(capsys, "traces", "--url", url, "--json", *words))
        return {trace["trace_id"] for trace in said["traces"]}

    everything = ids()

    assert len(everything) == 14
    assert len(ids("--tag", "beta")) == 3
    assert len(ids("--text", "rotate key")) == 2
    assert 0 < len(ids("--errors", "--user", "ada@acme.example") | ids("--min-cost", "0.02")) < 14
    assert len(ids("--slower", "100ms")) == 13
    assert ids("--until", "2026-09-21T14:13:20") == everything - ids("--since", "2026-09-21T14:13:20")
    assert len(ids("--since", "2026-09-21T14:13:20")) == 1
    assert ids("--since", "1s") == set()


def test_a_time_that_is_none_is_refused_with_examples(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["traces", "--url", url, "--since", "yesteryear"]) == 2

    assert "say 2h, 7d, 2026-11-22 or 2026-11-22T14:30" in capsys.readouterr().err


def test_cost_shows_bars_on_a_terminal_and_none_in_a_pipe(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    piped = printed(capsys, "cost", "--url", url)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    shown = printed(capsys, "cost", "--url", url)

    assert "█" not in piped
    assert "█" * 24 in shown
    assert printed(capsys, "cost", "--url", url, "--csv", "--by", "user").startswith(
        "user,period,cost_usd,calls"
    )


def test_tail_prints_a_trace_that_arrives_while_it_follows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path) as server:
        arrived = threading.Event()

        def send() -> None:
            story = Story(1)
            while not arrived.is_set():
                batch(story, NOON_MS + story.seq)
                deliver(server, story.frames(closed=False), writer=WRITER, spooled_to=story.seq)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            said = printed(capsys, "tail", "--url", server.url, "--count", "1", "--json")
        finally:
            arrived.set()
            sender.join()

    assert json.loads(said)["name"] == "batch_operation"


def test_what_is_exported_as_otlp_and_imported_elsewhere_is_the_same_spans_and_the_same_money(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "spans.otlp"

    printed(capsys, "export", "--url", url, "--format", "otlp", "--output", str(file))
    with running(tmp_path / "other") as other:
        first = printed(capsys, "import", "--url", other.url, str(file))
        printed(capsys, "import", "--url", other.url, str(file))
        settled(other.url)
        here, there = everyspan.Client(url), everyspan.Client(other.url)
        before, after = rows(here), rows(there)
        assert here.cost_report().total == there.cost_report().total

    assert first == "14 requests sent\n"
    assert after == before
    assert list(tmp_path.glob(".*")) == []


def rows(client: everyspan.Client) -> list[dict[str, Any]]:
    """All spans, without what is new whenever one is received, and without the names that texts and sums came under."""
    changed = ("received_ns", "attributes", "cost_note")
    found = client.spans(limit=100).records()
    return sorted(
        ({name: value for name, value in row.items() if name not in changed} for row in found),
        key=lambda row: str(row["key"]),
    )


def test_a_file_that_is_no_otlp_is_refused_by_name(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello\n")

    assert main(["import", "--url", url, str(file)]) == 2

    assert f"{file} is no OTLP/JSON" in " ".join(capsys.readouterr().err.split())


def test_an_export_as_lines_holds_every_span_and_exact_money(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in printed(capsys, "export", "--url", url).splitlines()]

    client = everyspan.Client(url)
    billed = [Decimal(line["cost"]) for line in lines if line["cost"] and not line["unbilled"]]
    assert len(lines) == client.totals().spans
    assert sum(billed) == client.cost_report().total.cost


def test_a_chrome_trace_nests_spans_in_lanes_and_gives_those_at_the_same_time_lanes_of_their_own(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = everyspan.Client(url).traces(name="batch_operation")[0]

    said = json.loads(
        printed(capsys, "export", "--url", url, "--format", "chrome", "--trace", trace.trace_id)
    )

    name, *events = said["traceEvents"]
    assert name["args"]["name"].startswith("batch_operation")
    assert [event["tid"] for event in events] == [1, 1, 2, 3]
    assert {event["ph"] for event in events} == {"X"}


def test_the_client_gives_typed_values_and_the_audit(url: str) -> None:
    client = everyspan.Client(url)

    traces = client.traces(tag="support", limit=5)
    view = client.trace(traces[0].trace_id)

    assert len(traces) == 5
    assert view.summary == traces[0]
    assert isinstance(view.spans[2].cost, Decimal)
    assert [place.depth for place in view.tree][:3] == [0, 1, 2]
    assert client.audit().verdict == "complete"
    assert {group.value for group in client.groups("tag")} == {"support", "stable", "beta"}
    assert client.latency()[0].duration.p95_ns is not None
    assert sum(group.calls for group in client.costs("user", each="day")) == client.totals().calls


def test_a_trace_shows_itself_as_a_waterfall_in_which_all_text_is_escaped(url: str) -> None:
    client = everyspan.Client(url)
    hostile = next(trace for trace in client.traces() if "bold" in trace.name)

    shown = client.trace(hostile.trace_id)._repr_html_() + client.traces()._repr_html_()

    assert "&lt;b&gt;bold" in shown
    assert "<b>bold" not in shown
    assert "<script" not in shown


def test_what_is_not_installed_is_named_with_what_to_type(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(everyspan.EveryspanError, match="pip install pandas"):
        everyspan.Client(url).traces().df()


def test_a_collector_that_is_not_there_is_an_error_with_advice() -> None:
    with pytest.raises(AnswerError, match="everyspan serve") as caught:
        everyspan.Client("http://127.0.0.1:1").traces()

    assert not caught.value.reached


def test_frames_of_other_libraries_hold_the_same_rows(url: str) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed, and nothing here needs it")
    traces = everyspan.Client(url).traces()

    assert traces.arrow().column("trace_id").to_pylist() == [trace.trace_id for trace in traces]
