"""How the fake provider should misbehave, said by the request itself or by the test.

A request says it in the last user message, as `[[delay=0.5]]` or `[[status=429 retry-after=1 times=2]]`, or in the
header `x-fake-provider: delay=0.5 gap=0.1`. A test in the same process says it with `provider.script(...)`.

| word | effect |
|---|---|
| `delay=S` | wait S seconds before the first byte |
| `gap=S` | wait S seconds between the chunks of a stream |
| `status=N` | answer with this HTTP error: 400, 401, 403, 404, 413, 429, 500, 503, 529 |
| `retry-after=S` | with `status`: the header `retry-after` |
| `times=N` | misbehave for the first N requests with this model and text only, then answer properly |
| `cut-after=N` | break the connection off after N pieces of the answer (a plain answer: in the middle of its body) |
| `fail-after=N` | send the API's error event after N pieces of a stream (a plain answer: HTTP 500) |
| `hang-after=N` | fall silent after N pieces, until the client leaves (a plain answer: in the middle of its body) |
| `drop` | close the connection without an answer |
| `hang` | never answer |
| `words=N` | an answer of exactly N words, which is N tokens |
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass, replace

_DIRECTIVE = re.compile(r"\[\[([a-z0-9=. -]+)\]\]")
_SECONDS = {"delay": "delay_s", "gap": "gap_s", "retry-after": "retry_after_s"}
_NUMBERS = {
    "status": "status",
    "times": "times",
    "cut-after": "cut_after",
    "fail-after": "fail_after",
    "hang-after": "hang_after",
    "words": "words",
}
_FLAGS = frozenset({"drop", "hang"})


class ScriptError(ValueError):
    """A directive that the provider does not know; it answers such a request with HTTP 400 and these words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What to do with one request; the default is to answer it at once and in full."""

    delay_s: float = 0.0
    gap_s: float = 0.0
    status: int = 200
    retry_after_s: float | None = None
    times: int | None = None
    cut_after: int | None = None
    fail_after: int | None = None
    hang_after: int | None = None
    drop: bool = False
    hang: bool = False
    words: int | None = None

    def behaved(self) -> Script:
        """The same without the faults: what is left after `times` requests."""
        return Script(delay_s=self.delay_s, gap_s=self.gap_s, words=self.words)


PROPER = Script()


def parse_script(text: str) -> Script:
    """The script in words such as `delay=0.5 cut-after=3`.

    Raises:
        ScriptError: a word is unknown or its value is no number.
    """
    values: dict[str, object] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        try:
            if name in _FLAGS and not value:
                values[name] = True
            elif name in _SECONDS:
                values[_SECONDS[name]] = float(value)
            elif name in _NUMBERS:
                values[_NUMBERS[name]] = int(value)
            else:
                raise ScriptError(
                    f"unknown directive {word!r}; everyspan.testing.provider.script lists the words"
                )
        except ValueError as error:
            raise ScriptError(f"bad directive {word!r}: {error}") from error
    return replace(PROPER, **values)  # type: ignore[arg-type]  # the names come from the tables above


def script_in(text: str) -> Script:
    """The script that a message carries in `[[…]]`; several pairs of brackets add up.

    Raises:
        ScriptError: as `parse_script`.
    """
    if "[[" not in text:
        return PROPER
    return parse_script(" ".join(_DIRECTIVE.findall(text)))


@dataclass(frozen=True, slots=True)
class _Rule:
    script: Script
    model: str | None
    containing: str

    def fits(self, model: str, prompt: str) -> bool:
        return (self.model is None or self.model == model) and self.containing in prompt


class Scripts:
    """Decides which script a request gets: the test's newest fitting rule, else the request's own. Thread-safe."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._used: Counter[object] = Counter()
        self._lock = threading.Lock()

    def add(self, script: Script, *, model: str | None = None, containing: str = "") -> None:
        """Apply `script` to requests for `model` (any when None) whose last user message has `containing` in it."""
        with self._lock:
            self._rules.append(_Rule(script, model, containing))

    def clear(self) -> None:
        """Forget the rules and the counts of `times`."""
        with self._lock:
            self._rules.clear()
            self._used.clear()

    def pick(self, model: str, prompt: str, *, own: Script) -> Script:
        """The script for this request; `own` is what the request itself asked for."""
        with self._lock:
            for index, rule in reversed(list(enumerate(self._rules))):
                if rule.fits(model, prompt) and self._has_times_left(index, rule.script):
                    return rule.script
            if own.times is None or self._has_times_left((model, prompt), own):
                return own
        return own.behaved()

    def _has_times_left(self, key: object, script: Script) -> bool:
        if script.times is None:
            return True
        self._used[key] += 1
        return self._used[key] <= script.times
