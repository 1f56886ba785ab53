"""The pictures of the README and the tour: `python -m tests.web_screenshots` writes them into docs/images.

The same browser, server and traces as the tests of the page, so what they show is what is tested.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from everyspan.server import Server, running
from tests.browsing import deliver, launched, tab
from tests.collector_requests import get
from tests.web_traces import WRITER, Story, afternoon

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"


def main() -> None:
    """Take all of them."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _desk(Path(folder)) as server, launched() as browser:
        story = Story(7)
        list(afternoon(story, until_ms=time.time() * 1000, hours=30, tickets=50))
        deliver(server, story.frames(closed=True), writer=WRITER, spooled_to=story.seq)
        traces = get(f"{server.url}/api/v1/traces?errors=yes&name=answer_ticket").json["traces"]
        worst = max(traces, key=lambda trace: trace["errors"])["trace_id"]
        spans = get(f"{server.url}/api/v1/traces/{worst}/skeleton").json["spans"]
        one = f"/traces/{worst}?span={spans[-1][0]}"
        for name, address, wait, scheme, height in (
            ("traces", "/", "#traces tbody tr", "light", 560),
            ("trace", one, ".turn", "light", 720),
            ("cost", "/cost?range=24h", "#costs tbody tr", "dark", 860),
            ("latency", "/latency?range=7d", "#latency tbody tr", "light", 620),
            ("completeness", "/completeness", "#writers tbody tr", "light", 320),
        ):
            with tab(
                browser, width=1200, height=height, color_scheme=scheme, reduced_motion="reduce"
            ) as page:
                page.goto(server.url + address)
                page.locator(wait).first.wait_for()
                if name in ("cost", "latency"):
                    page.locator("canvas").first.wait_for()
                page.locator("#link.good").wait_for()
                _shoot(page, name)


def _desk(folder: Path) -> AbstractContextManager[Server]:
    budgets = folder / "budgets.toml"
    budgets.write_text(
        '[[budget]]\nname = "support desk"\nusd = 25\nper = "month"\nservice = "support-desk"\n'
        '[[budget]]\nname = "Claude"\nusd = "0.9"\nper = "month"\nmodel = "claude-sonnet-4-5"\n'
    )
    return running(folder, budgets=budgets)


def _shoot(page: Any, name: str) -> None:
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
