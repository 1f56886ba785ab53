"""Every page over an afternoon's traces: what is found, what it adds up to, and that everybody can read it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from everyspan.server import Server, running
from everyspan.store.scores import Score
from tests.browsing import complaints, deliver, launched, needs_chromium, tab
from tests.collector_requests import get
from tests.web_traces import WRITER, Story, afternoon

pytestmark = needs_chromium

BUDGETS = """
[[budget]]
name = "all of it"
usd = "0.0001"
per = "month"

[[budget]]
name = "what ada may"
usd = "500"
per = "month"
user = "ada@acme.example"
"""
HOUR_NS = 3600 * 10**9
PAGES = (
    "/",
    "/cost",
    "/latency",
    "/sessions?prices=latest",
    "/users",
    "/completeness",
    "/api",
    "/?model=nobody",
)


class Desk(NamedTuple):
    """A server that holds the afternoon."""

    server: Server
    traces: list[str]

    @property
    def url(self) -> str:
        return self.server.url

    def json(self, path: str) -> Any:
        return get(f"{self.url}/api/v1/{path}").json


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as opened:
        yield opened


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "budgets.toml").write_text(BUDGETS)
    with running(folder, budgets=folder / "budgets.toml") as server:
        story = Story(7)
        ids = [trace.hex() for trace in afternoon(story, until_ms=time.time() * 1000, hours=30, tickets=24)]
        deliver(server, story.frames(closed=True), writer=WRITER, spooled_to=story.seq)
        yield Desk(server, ids)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with tab(browser) as opened:
        yield opened


def test_the_batch_is_found_and_its_three_generations_are_nested_and_cost_what_the_ledger_says(
    desk: Desk, page: Any
) -> None:
    page.goto(desk.url)

    page.get_by_role("link", name="batch_operation").click()
    page.locator("[role=treeitem]").nth(3).wait_for()

    levels = page.locator("[role=treeitem]").evaluate_all("rows => rows.map((row) => row.ariaLevel)")
    summary = desk.json(f"traces/{desk.traces[-1]}")["summary"]
    assert levels == ["1", "2", "2", "2"]
    assert Decimal(page.locator("#trace-cost").inner_text().removeprefix("$")) == Decimal(summary["cost"])
    assert page.wrong == []


def test_the_sum_of_a_call_is_shown_line_by_line_and_adds_up(desk: Desk, page: Any) -> None:
    spans = desk.json(f"traces/{desk.traces[-1]}?bodies=no")["spans"]
    page.goto(f"{desk.url}/traces/{desk.traces[-1]}?span={spans[1]['key']}")

    page.locator(".sum tfoot").wait_for()

    amounts = page.locator(".sum tbody td:last-child").all_inner_texts()
    total = page.locator(".sum tfoot td:last-child").inner_text()
    assert len(amounts) == 2
    assert sum(Decimal(each.removeprefix("$")) for each in amounts) == Decimal(total.removeprefix("$"))
    assert Decimal(total.removeprefix("$")) == Decimal(spans[1]["cost"])


def test_scores_stand_beside_what_they_judge(desk: Desk, page: Any) -> None:
    trace = desk.traces[2]
    span = desk.json(f"traces/{trace}?bodies=no")["spans"][0]
    shared: dict[str, Any] = {
        "project": "default",
        "trace_id": trace,
        "at_ns": 1,
        "created_ns": 1,
        "comment": "by hand",
    }
    store = desk.server.store
    store.put_scores(
        [
            Score(id="1", name="helpful", data_type="BOOLEAN", value=1, **shared),
            Score(id="2", name="tone", data_type="NUMERIC", value=0.75, span_id=span["span_id"], **shared),
        ]
    )

    page.goto(f"{desk.url}/traces/{trace}?span={span['key']}")

    page.locator("#detail .score", has_text="tone 0.75").wait_for()
    assert page.locator(".trace-head .score").all_text_contents() == ["helpful yes"]


def test_filters_are_typed_survive_a_reload_and_fit_the_totals(desk: Desk, page: Any) -> None:
    page.goto(desk.url)
    page.locator("#traces tbody tr").first.wait_for()

    page.keyboard.press("/")
    page.keyboard.type("tag:beta errors:yes plan")
    page.keyboard.press("Enter")
    page.wait_for_url("**tag=beta**")
    page.reload()

    wanted = desk.json("traces?tag=beta&errors=yes&text=plan")["traces"]
    page.locator(".chip", has_text="beta").wait_for()
    page.wait_for_function(
        "count => document.querySelectorAll('#traces tbody tr').length === count", arg=len(wanted)
    )
    assert 0 < len(wanted) < len(desk.traces)
    assert page.locator("#totals").inner_text().startswith(f"{len(wanted)} trace")
    page.get_by_role("button", name="remove the filter tag beta").click()
    page.wait_for_url(lambda url: "beta" not in url)


def test_sums_of_traces_say_how_many_of_their_calls_have_no_certain_price(desk: Desk, page: Any) -> None:
    states = desk.json("traces/totals")["states"]
    session = next(
        group for group in desk.json("groups?by=session")["groups"] if "unpriced" in group["totals"]["states"]
    )
    page.goto(desk.url)

    page.locator("#totals b").first.wait_for()

    totals = page.locator("#totals").inner_text()
    assert f"{states['unpriced']} unpriced" in totals
    assert f"{states['estimated']} estimated" in totals
    page.goto(f"{desk.url}/sessions")
    row = page.locator("#sessions tr", has_text=session["value"])
    row.wait_for()
    assert f"{session['totals']['states']['unpriced']} unpriced" in row.inner_text()


def test_older_traces_follow_without_a_gap_or_a_copy(desk: Desk, page: Any) -> None:
    page.route(
        "**/api/v1/traces?limit=60", lambda route: route.continue_(url=f"{desk.url}/api/v1/traces?limit=5")
    )
    page.goto(desk.url)

    page.get_by_role("button", name="Older traces").click()
    page.wait_for_function("count => document.querySelectorAll('#traces tbody tr').length === count", arg=25)

    links = page.locator("#traces td.name > a").evaluate_all("links => links.map((link) => link.pathname)")
    assert links == [f"/traces/{trace}" for trace in reversed(desk.traces)]


def test_the_cost_page_says_the_exact_total_and_what_is_not_in_it(desk: Desk, page: Any) -> None:
    page.goto(f"{desk.url}/cost")

    page.locator("#costs tbody tr").first.wait_for()

    total = desk.json("costs?by=model")["total"]
    assert Decimal(page.locator("#total").inner_text().removeprefix("$")) == Decimal(total["cost"])
    assert f"{total['states']['unpriced']} unpriced" in page.locator("#doubts").inner_text()
    page.get_by_role("button", name="user", exact=True).click()
    page.get_by_role("link", name="ada@acme.example").wait_for()
    assert page.url.endswith("/cost?by=user")
    page.locator("canvas").wait_for()


def test_the_collectors_budgets_are_bars_beside_the_costs_and_a_banner_elsewhere(
    desk: Desk, page: Any
) -> None:
    budgets = {each["name"]: each for each in desk.json("budgets")["budgets"]}
    page.goto(desk.url)
    page.locator("#budgets", has_text="Budget reached: all of it").wait_for()

    page.get_by_role("link", name="What it went to").click()
    page.locator("#budget-bars .budget").nth(1).wait_for()

    reached, within = page.locator("#budget-bars .budget").all()
    assert page.locator("#budgets").count() == 0
    assert "reached" in reached.inner_text()
    assert reached.locator(".meter.over").count() == 1
    spent = within.locator("b").inner_text().removeprefix("$")
    assert Decimal(spent) == Decimal(budgets["what ada may"]["spent"]) > 0
    assert "user ada@acme.example" in within.inner_text()


def test_a_call_that_follows_a_failed_one_says_so(desk: Desk, page: Any) -> None:
    page.goto(f"{desk.url}/traces/{desk.traces[3]}")

    row = page.locator("[role=treeitem]", has_text="fell back")
    row.wait_for()

    above = page.locator("[role=treeitem]", has_text="error")
    assert "gpt-4o" in row.inner_text()
    assert "claude-sonnet-4-5" in above.inner_text()
    assert page.locator("[role=treeitem]", has_text="tried again").count() == 0


def test_a_stretch_of_time_is_compared_with_the_one_before(desk: Desk, page: Any) -> None:
    until_ns = desk.json("traces?limit=1")["traces"][0]["started_ns"]
    middle_ns, since_ns = until_ns - 8 * HOUR_NS, until_ns - 16 * HOUR_NS
    before = desk.json(f"costs?since_ns={since_ns}&until_ns={middle_ns}")["total"]["cost"]

    page.goto(f"{desk.url}/cost?since_ns={middle_ns}&until_ns={until_ns}")
    page.get_by_text("before:").wait_for()

    assert page.get_by_text("before:").inner_text() == f"before: ${before.rstrip('0')}"
    assert page.locator("#costs thead").inner_text().count("Before") == 1


def test_a_saved_view_is_found_again(desk: Desk, page: Any) -> None:
    page.goto(f"{desk.url}/?tag=beta")

    page.get_by_role("button", name="save view").click()
    page.keyboard.type("beta testers")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="forget").wait_for()
    page.goto(desk.url)
    page.get_by_label("Saved views").select_option("beta testers")

    page.wait_for_url("**tag=beta")


@pytest.mark.parametrize(
    ("width", "scheme", "pages"),
    [(1400, "light", ("/cost?prices=latest",)), (1400, "dark", PAGES), (360, "light", ("/",))],
    ids=["light", "dark", "narrow"],
)
def test_axe_finds_nothing_on_any_page_and_no_page_is_wider_than_the_screen(
    desk: Desk, browser: Any, width: int, scheme: str, pages: tuple[str, ...]
) -> None:
    spans = desk.json(f"traces/{desk.traces[3]}?bodies=no")["spans"]
    trace = f"/traces/{desk.traces[3]}"
    with tab(browser, width=width, color_scheme=scheme, reduced_motion="reduce") as page:
        found = {}
        for address in (*pages, f"{trace}?span={spans[-1]['key']}"):
            page.goto(desk.url + address)
            page.locator("main :is(table, .empty, #waterfall, .endpoint)").first.wait_for()
            if "span=" in address:
                page.locator(".turn").first.wait_for()
            found[address] = complaints(page)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found[address].append("wider than the screen")

        assert {address: said for address, said in found.items() if said} == {}
        assert page.wrong == []


def test_dark_and_light_can_be_chosen_against_the_system(desk: Desk, browser: Any) -> None:
    with tab(browser, color_scheme="light") as page:
        page.goto(desk.url)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")

        page.get_by_role("button", name="colours: as the system").click()
        page.get_by_role("button", name="colours: light").click()
        page.reload()

        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


PAYLOADS = (
    "<img src=x onerror=alert({n})>",
    "<script>alert({n})</script>",
    '"><svg onload=alert({n})>',
    "javascript:alert({n})",
    "<iframe srcdoc='<script>parent.alert({n})</script>'></iframe>",
    "![x](http://192.0.2.1/{n}.png)",
    "<link rel=stylesheet href=http://192.0.2.1/{n}.css>",
    "${{alert({n})}} {{{{constructor.constructor('alert({n})')()}}}}",
    "<style>@import 'http://192.0.2.1/{n}.css'</style>",
    "\u202e</textarea><a href=javascript:alert({n}) autofocus onfocus=alert({n})>x</a>",
)


def test_a_hundred_hostile_texts_are_shown_as_text_and_nothing_runs_or_leaves(
    browser: Any, tmp_path: Path
) -> None:
    hostile = [PAYLOADS[number % len(PAYLOADS)].format(n=number) for number in range(100)]
    story = Story(1)
    trace = story.trace()
    root = story.span(
        trace, hostile[0], at_ms=time.time() * 1000, took_ms=9000, langfuse__trace__tags=hostile[:3],
        user__id=hostile[1], session__id=hostile[2], langfuse__trace__name=hostile[0],
    )  # fmt: skip
    said = [{"role": "user", "parts": [{"type": "text", "content": text}]} for text in hostile]
    for text in hostile:
        story.call(
            trace, text, provider=text, asked="", answer="", at_ms=time.time() * 1000, took_ms=5, parent=root,
            gen_ai__input__messages=json.dumps(said), gen_ai__output__messages=text,
        )  # fmt: skip

    with running(tmp_path) as server, tab(browser) as page:
        deliver(server, story.frames(closed=True), writer=WRITER, spooled_to=story.seq)
        for address in PAGES:
            page.goto(server.url + address)
            page.locator("main :is(table, .empty, .endpoint)").first.wait_for()
        page.goto(f"{server.url}/traces/{trace.hex()}?span=w%3A{WRITER}%3A2")
        page.get_by_role("button", name="more messages").click()
        shown = page.locator(".turn .part-text").all_inner_texts()
        page.keyboard.press("End")
        page.locator(f"[role=treeitem][id=row-{len(hostile)}]").wait_for()

        assert shown[: len(hostile)] == hostile
        assert page.locator("main :is(img, iframe, script, style, link, object)").count() == 0
        assert page.wrong == []
        assert {url for url in page.asked if not url.startswith(server.url)} == set()
        policy = get(server.url).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "<script>" not in get(server.url).body.decode()
