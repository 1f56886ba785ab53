"""The page in a real browser: live, by keyboard alone, and honest about what is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.cost.table import Table
from everyspan.model.usage import Usage
from everyspan.query.repricing import reprice
from everyspan.server import Server, running
from everyspan.store.reads import CostFilter
from everyspan.store.repricing import repricer
from everyspan.wire.decode import wrap
from everyspan.wire.frame import Kind, pack
from tests.browsing import deliver, launched, needs_chromium, tab
from tests.collector_requests import START_NS, TRACE_ID, body, generation, span
from tests.store_rows import call, span_id, trace_id
from tests.store_rows import span as stored_span

WRITER = "0000042-0123456789ab"

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as opened:
        yield opened


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    with tab(browser) as opened:
        opened.goto(server.url)
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as opened:
        yield opened


def frame(seq: int, sent: Any) -> bytes:
    sent.attributes.add(key="everyspan.stamp").value.string_value = f"{WRITER}:{seq:016x}"
    return pack(Kind.SPAN, seq, body(sent), nonce=7)


def agent_run() -> list[bytes]:
    """A trace of three spans, of which the last was interrupted, frame by frame as our sender ships it."""
    root = span(1, name="checkout", attributes={"langfuse.observation.type": "chain", "input.value": "hello"})
    call = generation(2, **{"gen_ai.input.messages": json.dumps([{"role": "user", "content": "hello"}])})
    call.attributes.add(key="gen_ai.output.messages").value.string_value = "the answer"
    cut = generation(3, **{"everyspan.end": "interrupted"})
    for child in (call, cut):
        child.parent_span_id = root.span_id
        child.start_time_unix_nano = START_NS + 200_000_000
    cut.status.code = 2
    close = wrap(Kind.CLOSE, json.dumps({"writer": WRITER, "last": 3}).encode())
    frames = [frame(seq, sent) for seq, sent in enumerate((root, call, cut), start=1)]
    return [*frames, pack(Kind.CLOSE, 0, close, nonce=7)]


def send(server: Server, *frames: bytes) -> None:
    deliver(server, b"".join(frames), writer=WRITER, spooled_to=3)


def test_a_trace_appears_by_itself_and_the_audit_turns_green_only_when_all_of_it_is_there(
    page: Any, server: Server
) -> None:
    frames = agent_run()
    page.get_by_text("No traces yet").wait_for()

    send(server, frames[0], frames[2])
    page.locator("#verdict", has_text="missing").wait_for()
    page.locator("#traces tbody tr").wait_for()
    send(server, frames[1], frames[3])
    page.locator("#verdict.good", has_text="complete: 3 of 3").wait_for()

    page.locator("#traces tbody tr", has_text="$0.00700").wait_for()
    row = page.locator("#traces tbody tr").inner_text()
    assert all(part in row for part in ("checkout", "gpt-4o", "1 s", "2,000 → 200"))
    assert sum("live" in url for url in page.asked) == 1
    assert page.wrong == []


def test_the_audit_says_which_numbers_are_missing_and_of_whom(page: Any, server: Server) -> None:
    frames = agent_run()
    send(server, frames[0], frames[2])

    page.locator("#verdict").click()

    page.locator("#seal.bad", has_text="Missing").wait_for()
    writer = page.locator("#writers tbody tr").inner_text()
    assert WRITER in writer
    assert "shop" in writer
    assert "2 missing, unexplained" in writer
    send(server, frames[1], frames[3])
    page.locator("#seal.good", has_text="Complete: 3 of 3 spans").wait_for()


def test_a_keyboard_is_enough_to_find_a_trace_and_read_a_span_and_go_back(page: Any, server: Server) -> None:
    send(server, *agent_run())
    page.locator("#traces tbody tr").wait_for()

    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.locator("[role=treeitem]").nth(2).wait_for()
    page.keyboard.press("j")
    page.keyboard.press("ArrowRight")
    page.locator(".turn.r-user .part-text").wait_for()

    assert f"/traces/{TRACE_ID}" in page.url
    assert page.locator(".turn.r-user .part-text").inner_text() == "hello"
    assert page.locator("[role=treeitem][aria-selected=true]").get_attribute("aria-level") == "2"
    page.keyboard.press("e")
    page.get_by_text("Interrupted: the process died").wait_for()
    page.keyboard.press("Escape")
    page.locator("#detail").wait_for(state="detached")
    page.keyboard.press("Escape")
    page.locator("#traces tbody tr").wait_for()
    assert page.wrong == []


def test_a_branch_folds_and_an_address_opens_the_span_that_it_names(page: Any, server: Server) -> None:
    send(server, *agent_run())
    page.goto(f"{server.url}/traces/{TRACE_ID}?span=w%3A{WRITER}%3A2")
    page.locator("[role=treeitem][aria-selected=true]", has_text="chat gpt-4o").wait_for()

    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")

    page.locator("[role=treeitem]").nth(1).wait_for(state="detached")
    assert page.locator("[role=treeitem]").get_attribute("aria-expanded") == "false"
    page.keyboard.press("ArrowRight")
    page.locator("[role=treeitem]").nth(2).wait_for()


def test_a_large_trace_is_walked_from_end_to_end_with_few_elements_in_the_document(
    page: Any, server: Server
) -> None:
    shared = {"trace_id": trace_id(1)}
    rows = [stored_span(1, **shared)]
    rows += [call(number, parent_id=span_id(1), **shared) for number in range(2, 3001)]
    server.store.insert(rows)

    page.goto(f"{server.url}/traces/{trace_id(1)}")
    page.locator("#row-10").wait_for()
    page.keyboard.press("End")
    page.locator("#row-2999[aria-selected=true]").wait_for()

    elements = page.evaluate("document.querySelectorAll('*').length")
    assert page.locator("#waterfall").get_attribute("aria-label") == "3,000 spans"
    assert elements < 1000
    page.keyboard.press("Home")
    page.locator("#row-0[aria-selected=true]").wait_for()
    page.keyboard.press("ArrowLeft")
    page.locator("#row-1").wait_for(state="detached")
    assert page.locator("#row-0").inner_text().count("+2,999") == 1
    assert page.wrong == []


def test_a_server_that_goes_away_is_said_and_forgiven(page: Any, server: Server) -> None:
    page.locator("#link.good").wait_for()

    page.route("**/api/**", lambda route: route.abort())
    page.reload()
    page.get_by_role("alert").first.wait_for()
    page.unroute("**/api/**")

    page.locator("#link.good").wait_for()
    page.get_by_text("No traces yet").wait_for()
    page.get_by_role("alert").wait_for(state="detached")


def test_a_budget_that_is_reached_is_told_on_every_page_and_leads_to_what_it_went_to(
    browser: Any, tmp_path: Path
) -> None:
    budgets = tmp_path / "budgets.toml"
    budgets.write_text(
        "[[budget]]\nname = 'nightly <b>'\nusd = 0.2\ntag = 'night'\n[[budget]]\nname = 'large'\nusd = 1000\n",
        encoding="utf-8",
    )
    now_ns = time.time_ns()
    with running(tmp_path / "data", budgets=budgets) as server, tab(browser) as page:
        server.store.insert([call(1, "0.25", tags=("night",), start_ns=now_ns, end_ns=now_ns + 1)])
        page.goto(f"{server.url}/latency")
        banner = page.wait_for_selector("#budgets")

        said = banner.inner_text()
        page.click("#budgets a")
        page.wait_for_selector("#total")

        assert "Budget reached: nightly <b>. $0.25 of $0.2 today, tag night." in said
        assert "large" not in said
        assert page.inner_text("#total") == "$0.25"


@pytest.fixture
def repriced(server: Server) -> Server:
    """A server with one call that was recorded at $0.003 and repriced at $0.0035."""
    usage = Usage(input_tokens=1_000, output_tokens=100)
    server.store.insert([call(1, "0.003", model="gpt-4o", usage=usage, user="ann", session="s-1")])
    assert reprice(repricer(server.store), Table.load(), CostFilter(), write=True).changed == 1
    return server


def test_the_list_a_trace_and_its_spans_are_shown_at_either_price_as_the_address_says(
    page: Any, repriced: Server
) -> None:
    page.goto(repriced.url)
    page.locator("#traces tbody tr", has_text="$0.0030").wait_for()

    page.get_by_role("button", name="repriced").click()

    page.locator("#traces tbody tr", has_text="$0.0035").wait_for()
    page.locator("#totals", has_text="$0.0035").wait_for()
    assert page.url.endswith("/?prices=latest")
    page.get_by_role("link", name="span 1").click()
    page.locator("#trace-cost", has_text="$0.0035").wait_for()
    page.keyboard.press("j")
    page.locator("#detail tfoot", has_text="$0.0035").wait_for()
    page.reload()
    page.locator("#detail tfoot", has_text="$0.0035").wait_for()
    page.get_by_role("button", name="repriced", pressed=True).click()
    page.locator("#detail tfoot", has_not_text="$0.0035").wait_for()
    page.locator("#trace-cost", has_not_text="$0.0035").wait_for()
    assert "prices" not in page.url
    assert page.wrong == []


def test_a_switch_that_is_on_looks_so(page: Any, repriced: Server) -> None:
    def background(name: str) -> Any:
        return page.get_by_role("button", name=name).evaluate("one => getComputedStyle(one).backgroundColor")

    page.goto(f"{repriced.url}/?prices=latest")
    page.get_by_role("button", name="repriced", pressed=True).wait_for()

    assert background("repriced") != background("errors")
    assert background("errors") == "rgba(0, 0, 0, 0)"


@pytest.mark.parametrize(("people", "who"), [("sessions", "s-1"), ("users", "ann")])
def test_people_are_shown_at_either_price_and_lead_to_their_traces_at_the_same(
    page: Any, repriced: Server, people: str, who: str
) -> None:
    page.goto(f"{repriced.url}/{people}")
    row = page.locator("table.list tbody tr", has_text=who)
    row.filter(has_text="$0.003").filter(has_not_text="$0.0035").wait_for()

    page.get_by_role("button", name="repriced").click()

    row.filter(has_text="$0.0035").wait_for()
    page.get_by_role("link", name=who).click()
    page.locator("#traces tbody tr", has_text="$0.0035").wait_for()
    assert page.url.endswith(f"={who}&prices=latest")
    assert page.wrong == []


def test_a_limit_of_cost_and_the_newest_costs_together_are_refused_in_words(
    page: Any, repriced: Server
) -> None:
    page.goto(f"{repriced.url}/?min_cost=0.001&prices=latest")

    page.get_by_role("alert").filter(has_text="about the recorded costs").wait_for()

    page.get_by_role("button", name="repriced", pressed=True).click()
    page.locator("#traces tbody tr", has_text="$0.0030").wait_for()
    page.get_by_role("alert").wait_for(state="detached")


def test_costs_are_told_apart_by_the_key_that_calls_came_with(page: Any, server: Server) -> None:
    server.store.insert([call(1, "0.5", key_id="pk-shop"), call(2, "0.25", key_id="pk-desk")])
    page.goto(f"{server.url}/cost?range=all")

    page.get_by_role("button", name="key", exact=True).click()
    page.get_by_role("link", name="pk-desk").click()

    page.locator("#total", has_text="$0.25").wait_for()
    assert "key_id=pk-desk" in page.url
    page.get_by_role("button", name="remove the filter key pk-desk").click()
    page.locator("#total", has_text="$0.75").wait_for()
    assert page.wrong == []
