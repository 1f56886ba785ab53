"""A real browser for the tests of the page: Debian's Chromium, driven by Playwright, without network of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from everyspan.server import Server
from tests.collector_requests import post, settled

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
AXE = Path(__file__).parent / "assets" / "axe.min.js"
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

needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium here: `apt-get install chromium`, or set CHROMIUM to one"
)


@contextmanager
def launched() -> Iterator[Any]:
    """A browser."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: `make setup` installs it"
    )
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@contextmanager
def tab(browser: Any, *, width: int = 1400, height: int = 900, **options: Any) -> Iterator[Any]:
    """A page that remembers what it asked for (`asked`) and what went wrong in it (`wrong`)."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    opened = context.new_page()
    opened.asked = []
    opened.wrong = []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("console", lambda said: opened.wrong.append(said.text) if said.type == "error" else None)
    opened.on("dialog", lambda dialog: opened.wrong.append(f"dialog {dialog.message}"))
    opened.set_default_timeout(10_000)
    try:
        yield opened
    finally:
        context.close()


def deliver(server: Server, content: bytes, *, writer: str, spooled_to: int) -> None:
    """POST frames as a writer would that has given out so many numbers, and wait until they are stored."""
    answer = post(
        f"{server.url}/v1/traces", content, everyspan_writer=writer, everyspan_spooled_to=str(spooled_to)
    )
    assert answer.partial_success == (0, "")
    settled(server.url)


def complaints(page: Any) -> list[str]:
    """What axe finds wrong with the page as it is now, one line for each element."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
