"""The server: wires inbox, store, collector and web to one port, and decides nothing."""

from __future__ import annotations

import fcntl
import gc
import ipaddress
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from everyspan.clock import monotonic_s
from everyspan.collector.collector import Collector
from everyspan.collector.issued import KeyFile
from everyspan.collector.keys import Keys
from everyspan.collector.limits import Limits
from everyspan.collector.otlp_http import METRICS_PATHS, TRACES_PATHS
from everyspan.collector.retention import Retention
from everyspan.errors import SettingsError, StoreError
from everyspan.settings import DEFAULT_PORT
from everyspan.store.store import Store, open_store
from everyspan.web import langfuse, pages
from everyspan.web.api import Api
from everyspan.web.connections import ConnectionLimits, limited
from everyspan.web.endpoint import not_served
from everyspan.web.guard import App, Guard, Receive, Scope, Send
from everyspan.web.jaeger import Jaeger
from everyspan.web.jaeger_v3 import JaegerV3
from everyspan.web.live import Live
from everyspan.web.probes import Probes
from everyspan.web.views import Views

DEFAULT_HOST = "127.0.0.1"
_OTLP_PATHS = frozenset((*TRACES_PATHS, *METRICS_PATHS))
_SHUTDOWN_S = 10
_ORPHANED_S = 5.0
_SWITCH_S = 0.0005
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def serve(options: Options, *, ready: Callable[[Server], None] = lambda server: None) -> None:
    """Run until SIGTERM or SIGINT; then finish the requests under way and return. For the main thread.

    What was answered with 200 is on disk and in the store after this returns, or in the inbox for the next start.

    Args:
        ready: called once, when requests are answered.

    Raises:
        SettingsError: the address cannot be bound, is open to others without a key, or a key is malformed.
        StoreError: the data directory is in use by another server, or cannot be used.
    """
    # SQLite gives Python's lock away at every row, and gets it back after this long beside a thread that computes:
    # at the usual 5 ms, requests would keep what they brought from being stored.
    sys.setswitchinterval(_SWITCH_S)
    # What is loaded stays, and rows hold no cycles: looking for garbage among them every 700 objects took an eighth of
    # what it takes to store spans.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    with _opened(options) as server:
        gc.freeze()
        server.run(lambda url: ready(server))


@contextmanager
def running(data_dir: Path, *, keys: Sequence[str] = (), port: int = 0, **more: Any) -> Iterator[Server]:
    """A server in a thread of this process, for tests and notebooks; answers requests inside the block.

    Args:
        more: further fields of `Options`.

    Raises:
        SettingsError, StoreError: as for `serve`.
    """
    options = Options(data_dir=data_dir, host=DEFAULT_HOST, port=port, keys=tuple(keys), **more)
    with _opened(options) as server:
        up = threading.Event()
        thread = threading.Thread(target=server.run, args=(lambda url: up.set(),), name="everyspan-server")
        thread.start()
        try:
            while not up.wait(0.05):
                if not thread.is_alive():
                    raise StoreError(f"the server at {server.url} ended before it answered anything")
            yield server
        finally:
            server.stop()
            thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything a server is told."""

    data_dir: Path
    """The inbox, issued keys, and the store unless it is elsewhere."""
    store: str = ""
    """The address of the store, as `open_store` takes it; empty for a SQLite file in the data directory."""
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    """0 for a free one."""
    grpc_port: int | None = None
    """Take OTLP/gRPC there too, 0 for a free one; needs grpcio (`pip install everyspan[grpc]`)."""
    keys: tuple[str, ...] = ()
    """`public:secret` pairs; see `Keys`."""
    retain: Mapping[str, int] = field(default_factory=dict)
    """Days by project, `*` for the others; see `days_by_project`."""
    limits: Limits | None = None
    budgets: Path | None = None
    """A file of limits on what calls may cost, for the API and the page; see `cost.budget`."""
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)


class Server:
    """An opened server; `run` answers requests until `stop`."""

    stopping: Callable[[], None] = staticmethod(lambda: None)
    """What `stop` calls first: streams that would never end by themselves end now."""
    grpc_address = ""
    """Where it takes OTLP/gRPC, as `host:port`; empty when it does not."""
    routes: tuple[Route, ...] = ()
    """Everything behind the guard: what is answered beside OTLP."""

    def __init__(
        self, app: App, sock: socket.socket, *, store: Store, collector: Collector, limits: ConnectionLimits
    ) -> None:
        self.store = store
        self.collector = collector
        host, port = sock.getsockname()[:2]
        self.url = f"http://{_bracketed(host)}:{port}"
        """Where it listens."""
        self._sock = sock
        config = uvicorn.Config(
            app,
            http=limited(limits),  # type: ignore[arg-type]
            access_log=False,
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_S,
            ws="none",
        )
        self._uvicorn = _Uvicorn(config)

    def run(self, ready: Callable[[str], None] = lambda url: None) -> None:
        """Answer requests until `stop`, or SIGTERM or SIGINT when this is the main thread."""
        self._uvicorn.ready = lambda: ready(self.url)
        with _signals(self.stop):
            self._uvicorn.run(sockets=[self._sock])

    def stop(self) -> None:
        """Take no more requests; `run` returns when those under way are answered. A second call does not wait."""
        self.stopping()
        self._uvicorn.force_exit = self._uvicorn.should_exit
        self._uvicorn.should_exit = True


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handling, which ends by killing the process before our files are closed."""

    ready: Callable[[], None]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()


@contextmanager
def _opened(options: Options) -> Iterator[Server]:
    """Everything in order, and given up in the reverse order whatever happens."""
    keys = Keys(options.keys, issued=KeyFile(options.data_dir))
    if not keys and not _is_loopback(options.host):
        raise SettingsError(
            f"{options.host} can be reached from other machines and the server has no key; "
            "make one with `everyspan keys create`, give one with --key public:secret (or EVERYSPAN_KEYS), "
            "or bind 127.0.0.1"
        )
    with ExitStack() as opened:
        opened.enter_context(_locked(options.data_dir))
        opened.enter_context(keys.quotas.kept(options.data_dir / "quotas"))
        sock = opened.enter_context(_bound(options.host, options.port))
        store = open_store(options.store or options.data_dir / "spans.db")
        opened.callback(store.close)
        collector = Collector(options.data_dir / "inbox", store, keys, options.limits)
        opened.callback(collector.close)
        retention = Retention(store, options.retain)
        retention.start()
        opened.callback(retention.stop)
        views = Views(options.data_dir / "views.json")
        live = Live(lambda: (collector.moved.bodies, collector.moved.failures))
        api = [
            *Api(store, collector, views=views, budgets=options.budgets).routes(),
            *views.routes(),
            *live.routes(),
            *Jaeger(store).routes(),
            *JaegerV3(store).routes(),
        ]
        api += Probes(collector, retention).routes()
        routes = [*api, *langfuse.routes(store), *pages.routes()]
        served = Starlette(routes=routes, exception_handlers={404: not_served, 405: not_served})
        guard = Guard(served, keys, host=options.host)
        app, limits = _by_path(collector.door, guard), options.connections
        server = Server(app, sock, store=store, collector=collector, limits=limits)
        server.stopping, server.routes = live.close, tuple(routes)
        if options.grpc_port is not None:
            port = opened.enter_context(_grpc(options, collector, keys))
            server.grpc_address = f"{_bracketed(options.host)}:{port}"
        yield server


def _grpc(options: Options, collector: Collector, keys: Keys) -> AbstractContextManager[int]:
    try:
        from everyspan.collector.otlp_grpc import listening
    except ImportError:
        raise SettingsError(
            "OTLP/gRPC needs grpcio; install it with: pip install 'everyspan[grpc]'"
        ) from None
    return listening(f"{_bracketed(options.host)}:{options.grpc_port}", collector.intake, keys)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _by_path(door: App, guard: App) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (door if scope["path"] in _OTLP_PATHS else guard)(scope, receive, send)

    return app


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Hold the directory: two servers would move each other's inbox."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as unusable:
        raise StoreError(f"the data directory {data_dir} cannot be used: {unusable}") from None
    try:
        if not _taken(lock):
            raise StoreError(
                f"{data_dir} is in use by the server with process id {_holder(lock) or 'unknown'}; "
                "stop it, or choose another directory with --data-dir"
            )
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    """Whether the lock is ours.

    A process that a server was about to start when it was killed holds the server's lock, until it has become another
    program. That takes a moment, which the next server waits for.
    """
    until_s = monotonic_s() + _ORPHANED_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _is_alive(_holder(lock)) or monotonic_s() > until_s:
                return False
            time.sleep(0.01)
        else:
            return True


def _holder(lock: int) -> int:
    """The process that took the lock last; 0 when it has not said so."""
    said = os.pread(lock, 20, 0)
    return int(said) if said.isdigit() else 0


def _is_alive(pid: int) -> bool:
    if not pid:
        return False  # it died before it could say who it is
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as unknown:
        raise SettingsError(f"cannot listen on {host}: {unknown}") from None
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
        except OSError as taken:
            raise SettingsError(f"cannot listen on {host}, port {port}: {taken.strerror}") from None
        yield sock


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name: nobody knows what it will mean tomorrow


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT mean `stop`, in the main thread; elsewhere Python has no say in signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        stop()

    before = {each: signal.signal(each, handler) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
