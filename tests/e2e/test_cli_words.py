"""The command line where no collector is needed: what is typed wrongly, and what does not answer."""

from __future__ import annotations

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.version import __version__


def cli(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`everyspan <words>` in a process of its own, with only these variables."""
    env = {"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **environ}
    command = [sys.executable, "-m", "everyspan.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=env, check=False)


@pytest.mark.parametrize("words", [("version",), ("--version",)])
def test_version_is_printed(words: tuple[str, ...]) -> None:
    assert cli(*words).stdout == f"everyspan {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope",), "nope"),
        (("cost", "--by", "moon"), "moon"),
        (("traces", "--limit", "0"), "--limit"),
        (("trace",), "TRACE_ID"),
        (("traces", "--url", "collector:4319"), "collector:4319"),
        (("drain", "--endpoint", "ftp://elsewhere"), "ftp://elsewhere"),
        (("serve", "--host", "0.0.0.0", "--port", "0"), "--key"),
        (("serve", "--port", "0", "--key", "no-secret"), "public:secret"),
    ],
)
def test_what_is_typed_wrongly_is_one_line_and_exit_code_2(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = cli(*words, EVERYSPAN_DATA_DIR=str(tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"everyspan: [^\n]*\n", done.stderr)
    assert said in done.stderr


def test_a_setting_that_can_not_be_used_is_named() -> None:
    done = cli("drain", EVERYSPAN_FSYNC="sometimes")

    assert done.returncode == 2
    assert (
        done.stderr == "everyspan: EVERYSPAN_FSYNC is 'sometimes'; it takes one of: none, interval, always\n"
    )


def test_where_nothing_listens_the_collector_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    done = cli("traces", "--url", f"http://127.0.0.1:{port}")

    assert done.returncode == 3
    assert re.fullmatch(
        rf"everyspan: no collector answers at http://127\.0\.0\.1:{port} \(.*refused.*\); .*serve.*--url\n",
        done.stderr,
    )


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server that is no collector, and one that sends its visitors elsewhere."""

    keys_seen: list[str | None] = []

    def do_GET(self) -> None:
        self.keys_seen.append(self.headers["Authorization"])
        moved = self.path.startswith("/moved")
        self.send_response(302 if moved else 200)
        if moved:
            self.send_header("Location", self.path.removeprefix("/moved"))
        self.end_headers()
        self.wfile.write(b"<html>\x1b[31mhello\x1b[0m</html>")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of one."""
    Stranger.keys_seen.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_answers_but_is_no_collector_is_said_to_be_none(stranger: str) -> None:
    done = cli("cost", "--url", stranger)

    assert done.returncode == 3
    assert (
        done.stderr
        == f"everyspan: what answers at {stranger} is no everyspan collector; name yours with --url\n"
    )


def test_a_redirect_does_not_carry_the_key_elsewhere(stranger: str) -> None:
    done = cli("audit", "--url", f"{stranger}/moved", "--api-key", "secret")

    assert done.returncode == 3
    assert Stranger.keys_seen == ["Bearer secret"]
