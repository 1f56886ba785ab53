"""A process of its own that turns inbox entries into rows, so that reading them and storing them take a core each.

It is started when there is much to do, and ended when there has been nothing for a while. It holds nothing that is not
in the inbox: it reads requests from a pipe and writes what they turned into to another one, and ends with the first
pipe, so also when the server is killed.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import pickle
import queue
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from typing import IO

from everyspan.collector.accept import unseal
from everyspan.collector.limits import Limits
from everyspan.collector.portable import from_bytes, to_bytes
from everyspan.collector.reader import Read, read
from everyspan.errors import CollectorError

_LOGGER = logging.getLogger(__name__)
_SIZE = struct.Struct(">Q")
_READY, _DONE, _FAILED = b"\0", b"\1", b"\2"
_AHEAD = 2
"""Requests that are given to the process before the first one is answered."""
_PIPE_BYTES = 1 << 20
"""In the 64 KiB that a pipe holds otherwise a request takes thirty turns of two busy processes."""
_SWITCH_S = 0.0005
"""How long the thread that takes requests waits for the one that reads them: 5 ms, as usual, hold the server up."""
_END_S = 5.0
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def read_all(entries: Sequence[bytes], limits: Limits) -> Read:
    """What some inbox entries turned into.

    Raises:
        WireError, CollectorError: one of them is not what was let in.
    """
    everything = Read()
    for entry in entries:
        envelope, body = unseal(entry)
        everything.add(read(envelope, body, limits))
    return everything


class Decoder:
    """The process, seen from ours. For one thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._said_ready = False

    @property
    def pid(self) -> int:
        """The id of the process, 0 when there is none."""
        return 0 if self._process is None else self._process.pid

    def ready(self, *, timeout_s: float = 0.0) -> bool:
        """Whether it can be given work; starts it where it does not run. Does not wait unless told to.

        Raises:
            OSError: it cannot be started.
        """
        if self._process is None:
            self._start()
        if not self._said_ready:
            answers = self._pipes()[1]
            if select.select([answers], [], [], timeout_s)[0]:
                self._take()
                self._said_ready = True
        return self._said_ready

    def read(self, requests: Sequence[Sequence[bytes]]) -> Generator[Read]:
        """What each of these lists of inbox entries turned into, in order; the next ones are read meanwhile.

        Raises:
            CollectorError: one of them cannot be read, or the process died; it has ended, and the next `ready` starts
                a new one.
        """
        complete = False
        try:
            for request in requests[:_AHEAD]:
                self._give(request)
            for index in range(len(requests)):
                answer = self._take()
                if index + _AHEAD < len(requests):
                    self._give(requests[index + _AHEAD])
                yield from_bytes(answer)
            complete = True
        except OSError as broken:
            raise CollectorError(f"the process that reads requests died: {broken}", status=503) from broken
        finally:
            # Left in the middle, it would answer the next question with what was asked before.
            if not complete:
                self.close()

    def close(self) -> None:
        """End it, if it runs."""
        process, self._process, self._said_ready = self._process, None, False
        if process is None:
            return
        try:
            process.communicate(timeout=_END_S)
        except (subprocess.TimeoutExpired, OSError):
            process.kill()
            process.wait()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C in a terminal is for the server, which ends it in its own time.
            start_new_session=True,
        )
        for pipe in self._pipes():
            _widen(pipe)
        self._send(pickle.dumps(self._limits))

    def _give(self, entries: Sequence[bytes]) -> None:
        self._send(pickle.dumps(list(entries)))

    def _send(self, content: bytes) -> None:
        requests = self._pipes()[0]
        requests.write(_SIZE.pack(len(content)))
        requests.write(content)
        requests.flush()

    def _take(self) -> bytes:
        answers = self._pipes()[1]
        head = answers.read(1 + _SIZE.size)
        if len(head) <= _SIZE.size:
            raise BrokenPipeError("it answers no more")
        content = answers.read(_SIZE.unpack(head[1:])[0])
        if head[:1] == _FAILED:
            raise CollectorError(content.decode("utf-8", "replace"), status=400)
        return content

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process is not None
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        return requests, answers


def _widen(pipe: IO[bytes]) -> None:
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return  # only Linux lets us
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError as refused:
        # A user may have so many pages in pipes and no more: it works as it is, slower.
        _LOGGER.debug("the pipe of the process that reads requests stays as it is: %s", refused)


def main() -> None:
    """What the process does, until its pipe is closed."""
    requests = sys.stdin.buffer
    # Whatever else is printed in this process must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Rows hold no cycles; what is loaded stays. Looking for garbage among them every 700 objects took a tenth.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.setswitchinterval(_SWITCH_S)
    limits: Limits = pickle.loads(_received(requests))  # from the server that started us, through its pipe
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, waiting), daemon=True).start()
    try:
        _answer(answers, _READY, b"")
        while content := waiting.get():
            try:
                found = to_bytes(read_all(pickle.loads(content), limits))
            except Exception as failure:  # noqa: BLE001 - the server counts it and says it
                _answer(answers, _FAILED, f"{type(failure).__name__}: {failure}".encode("utf-8", "replace"))
            else:
                _answer(answers, _DONE, found)
    except BrokenPipeError:
        os._exit(0)  # the server is gone, and so is whoever would read a message about it


def _receive(requests: IO[bytes], waiting: queue.SimpleQueue[bytes]) -> None:
    """Take requests from the pipe while others are read: the server waits for nobody when it gives one."""
    content = b"?"
    while content:
        content = _received(requests)
        waiting.put(content)


def _received(requests: IO[bytes]) -> bytes:
    head = requests.read(_SIZE.size)
    return requests.read(_SIZE.unpack(head)[0]) if len(head) == _SIZE.size else b""


def _answer(answers: IO[bytes], how: bytes, content: bytes) -> None:
    answers.write(how + _SIZE.pack(len(content)))
    answers.write(content)
    answers.flush()
