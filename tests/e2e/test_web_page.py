"""The page in a real browser: what it shows, what it refuses to run, and that a keyboard is enough."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.server import Server, running
from everyspan.wire.decode import wrap
from everyspan.wire.frame import Kind, pack
from tests.collector_requests import START_NS, TRACE_ID, body, generation, post, settled, span

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: `make setup` installs it"
)

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WRITER = "0000042-0123456789ab"
CANARY = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium here: `apt-get install chromium`, or set CHROMIUM to one"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened = context.new_page()
    opened.asked = []
    opened.wrong = []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("console", lambda said: opened.wrong.append(said.text) if said.type == "error" else None)
    opened.on("dialog", lambda dialog: opened.wrong.append(f"dialog {dialog.message}"))
    opened.set_default_timeout(10_000)
    opened.goto(server.url)
    yield opened
    context.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as opened:
        yield opened


def frame(kind: Kind, seq: int, sent: Any) -> bytes:
    content = body(sent)
    return pack(kind, seq, content if kind is Kind.SPAN else b"\xd2\x3e" + content[1:], nonce=7)


def stamped(seq: int, sent: Any) -> Any:
    sent.attributes.add(key="everyspan.stamp").value.string_value = f"{WRITER}:{seq:016x}"
    return sent


def agent_run(*, name: str = "checkout", said: str = "hello") -> list[bytes]:
    """A trace of three spans, of which the last was interrupted, frame by frame as our sender ships it."""
    root = span(1, name=name, attributes={"langfuse.observation.type": "chain", "input.value": said})
    call = generation(2, **{"gen_ai.input.messages": json.dumps([{"role": "user", "content": said}])})
    call.attributes.add(key="gen_ai.output.messages").value.string_value = "the answer"
    cut = generation(3, **{"everyspan.end": "interrupted"})
    for child in (call, cut):
        child.parent_span_id = root.span_id
        child.start_time_unix_nano = START_NS + 200_000_000
    cut.status.code = 2
    frames = [
        frame(Kind.SPAN, seq, stamped(seq, sent)) for seq, sent in enumerate((root, call, cut), start=1)
    ]
    close = wrap(Kind.CLOSE, json.dumps({"writer": WRITER, "last": 3}).encode())
    return [*frames, pack(Kind.CLOSE, 0, close, nonce=7)]


def deliver(server: Server, *frames: bytes) -> None:
    answer = post(
        f"{server.url}/v1/traces", b"".join(frames), everyspan_writer=WRITER, everyspan_spooled_to="3"
    )
    assert answer.partial_success == (0, "")
    settled(server.url)


def test_a_trace_appears_by_itself_and_the_audit_turns_green_only_when_all_of_it_is_there(
    page: Any, server: Server
) -> None:
    frames = agent_run()

    deliver(server, frames[0], frames[2])
    page.get_by_text("missing: 0000042-0123456789ab shop: numbers 2 are missing").wait_for()
    before = page.locator("#verdict").inner_text()
    deliver(server, frames[1], frames[3])
    page.get_by_text("complete: 3 of 3 spans").wait_for()

    row = page.locator("#traces tbody tr").inner_text()
    assert before == "missing"
    assert page.locator("#verdict").get_attribute("class") == "badge good"
    assert all(part in row for part in ("checkout", "shop", "1 s", "2,000 → 200", "$0.007"))
    assert "gpt-4o" in page.locator("#costs tbody tr").inner_text()
    assert page.wrong == []


def test_the_tree_opens_and_closes_by_keyboard_and_shows_what_went_in_and_out(
    page: Any, server: Server
) -> None:
    deliver(server, *agent_run())

    link = page.get_by_role("link", name="checkout")
    link.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="level 2: chat gpt-4o").first.focus()
    page.keyboard.press("Enter")
    page.get_by_text("the answer").wait_for()

    lines = page.locator(".line").all_inner_texts()
    assert page.url.endswith(f"#trace/{TRACE_ID}")
    assert "$0.0035" in lines[1]
    assert "interrupted" in lines[2]
    page.go_back()
    link.wait_for()
    assert link.evaluate("element => element === document.activeElement")
    assert page.wrong == []


def test_what_a_model_said_is_text_and_never_markup(page: Any, server: Server) -> None:
    deliver(server, *agent_run(name=CANARY, said=CANARY))

    page.get_by_text(CANARY).first.click()
    page.get_by_role("button", name="level 1").click()
    page.locator("pre").first.wait_for()

    assert page.locator("pre").first.inner_text() == CANARY
    assert page.locator("img").count() == 0
    assert page.title() == "everyspan"
    assert page.wrong == []
    assert {url.partition("/api")[0].partition("/static")[0].rstrip("/") for url in page.asked} <= {
        server.url,
        "data:,",
    }


def test_a_server_that_goes_away_is_said_and_forgiven(page: Any, server: Server) -> None:
    page.get_by_text("No traces yet").wait_for()

    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("alert").wait_for()
    page.unroute("**/api/**")

    page.get_by_role("alert").wait_for(state="hidden")
