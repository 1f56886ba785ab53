"""The server: an event loop on a thread of its own, books, and a table of paths."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from everyspan.testing.ledger import Ledger
from everyspan.testing.provider.answer import PromptCache
from everyspan.testing.provider.http import Connection, Exchange, Request
from everyspan.testing.provider.paths import KNOWN_PATHS, api_for
from everyspan.testing.provider.script import Script, Scripts
from everyspan.testing.provider.serving import Serving
from everyspan.testing.rates import LIST_PRICES, Rates

# Clients that gather thousands of calls connect all at once; the kernel caps this at net.core.somaxconn.
_BACKLOG = 8192


class FakeProvider:
    """The server, on a thread of its own. Start it with `start()` or as a context manager.

    Args:
        port: 0 takes a free one.
        ledger_path: the file for the ledger; without it the books are in memory only.
        prices: by model name without its date, instead of the list prices.
    """

    def __init__(
        self, *, port: int = 0, ledger_path: Path | None = None, prices: Mapping[str, Rates] = LIST_PRICES
    ) -> None:
        self.ledger = Ledger(ledger_path, prices=prices)
        self._asked_port = port
        self._scripts = Scripts()
        self._cache = PromptCache()
        self._connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._bound = threading.Event()
        self._failure: OSError | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The base URL for Anthropic clients, and for LiteLLM's `ANTHROPIC_BASE_URL`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI clients."""
        return f"{self.url}/v1"

    def script(self, script: Script, *, model: str | None = None, containing: str = "") -> None:
        """Misbehave: apply `script` to requests for `model` (any when None) with `containing` in the last user message.

        The newest rule that fits wins over older ones and over what the request asks for.
        """
        self._scripts.add(script, model=model, containing=containing)

    def behave(self) -> None:
        """Take back every `script`."""
        self._scripts.clear()

    def start(self) -> Self:
        """Listen; on return requests are served.

        Raises:
            OSError: the port is taken.
        """
        self._thread = threading.Thread(target=self._run, name="fake-provider", daemon=True)
        self._thread.start()
        self._bound.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Break off what is being served and close the ledger. Safe to repeat."""
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self.ledger.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        loop = self._loop = asyncio.new_event_loop()
        try:
            server = loop.run_until_complete(
                loop.create_server(self._connect, "127.0.0.1", self._asked_port, backlog=_BACKLOG)
            )
        except OSError as error:
            self._failure = error
            self._bound.set()
            loop.close()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._bound.set()
        try:
            loop.run_forever()
        finally:
            server.close()
            loop.run_until_complete(self._break_off())
            loop.close()

    async def _break_off(self) -> None:
        # Each running answer learns that its client is gone and writes its last line into the ledger.
        for connection in list(self._connections):
            connection.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)

    def _connect(self) -> Connection:
        return Connection(self._handle, self._connections)

    async def _handle(self, request: Request, exchange: Exchange) -> None:
        api = api_for(request.path)
        if request.method != "POST" or api is None:
            known = ", ".join(f"POST {path}" for path in KNOWN_PATHS)
            exchange.answer(
                404, {"content-type": "text/plain"}, f"this fake provider answers {known}\n".encode()
            )
            return
        await Serving(api, request, exchange, self.ledger, self._scripts).serve(self._cache)
