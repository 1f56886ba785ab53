"""One destination's lane: the one POST under way to it, and what came of the last."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator
from typing import NamedTuple

from everyspan.clock import monotonic_s
from everyspan.errors import SettingsError
from everyspan.model.receipt import Receipt
from everyspan.sender.exchange import NotHttpError, Wait
from everyspan.sender.http import Poster
from everyspan.sender.outcome import Answer, Outcome, Verdict, judge, judge_failure
from everyspan.sender.owed import BATCH_BYTES, Owed
from everyspan.sender.problem import Failure, Problems
from everyspan.sender.retry import LONGEST_WAIT_S, BackOff
from everyspan.spool import Batch, Log
from everyspan.wire.frame import Kind, only

LONGEST_PATIENCE_S = 60.0
_LONGEST_WAIT_IN_A_HURRY_S = 1.0
"""While a flush waits, a destination that comes back is noticed within a second, however long it was away."""

_Flight = Generator[Wait, None, Answer]


class Timing(NamedTuple):
    """How patient a lane is, and by which clock.

    Attributes:
        answer_s: the silence of a server that ends an attempt. It doubles after each such attempt, up to a
            minute, so that a destination that is merely slow gets to acknowledge at last.
        linger_s: how long the first span waits for others to share its POST.
        clock: monotonic seconds.
    """

    answer_s: float = 10.0
    linger_s: float = 0.1
    clock: Callable[[], float] = monotonic_s


class Lane:
    """Ships what one destination is owed, one POST at a time.

    `begin`, `step`, `expire` and `adopt` never block and belong to one thread. They raise nothing: a failure of
    our own becomes a number in `errors` and a pause. `receipt`, `attempts` and `failure` may be read anywhere.
    """

    def __init__(
        self,
        *,
        log: Log | None,
        owed: Owed,
        poster: Poster,
        problems: Problems,
        timing: Timing,
        errors: Counter[str],
    ) -> None:
        self.log = log
        self.owed = owed
        self.attempts = 0
        """POSTs begun."""
        self.failure = Failure(0, "")
        """The last attempt that failed."""
        self.urgent = False
        """Somebody waits: no lingering, and the living log first."""
        self._poster = poster
        self._problems = problems
        self._timing = timing
        self._errors = errors
        self._back_off = BackOff(clock=timing.clock)
        self._patience_s = timing.answer_s
        self._dirty = True
        self._linger_until = -math.inf
        self._foreign: bool | None = None
        """Whether the destination is no collector of ours; None before it has said so."""
        self._flight: _Flight | None = None
        self._wait: Wait | None = None
        self._expires = math.inf
        self._closed = False
        self._batch: Batch | None = None  # what the flight carries

    @property
    def waits_for(self) -> Wait | None:
        """What the POST under way waits for; None when there is none."""
        return self._wait

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing was left at the last look."""
        return not self._dirty and self._flight is None

    @property
    def failing(self) -> bool:
        """Whether the last attempt did not get through."""
        return self._problems.failing

    def due_in_s(self) -> float:
        """Seconds until something has to be done here though no socket stirs; infinite when there is nothing."""
        now = self._timing.clock()
        if self._flight is not None:
            return max(0.0, self._expires - now)
        if not self._dirty:
            return math.inf
        linger_s = 0.0 if self.urgent else max(0.0, self._linger_until - now)
        return max(self._back_off.wait_s(), linger_s)

    def notice(self) -> None:
        """Something was appended: send it after lingering for more."""
        if self.idle:
            self._linger_until = self._timing.clock() + self._timing.linger_s
        self._dirty = True

    def hurry(self) -> None:
        """Somebody waits: look now, and cut short a pause that was our own idea."""
        self._dirty = True
        self._linger_until = -math.inf
        self._back_off.hurry()

    def begin(self) -> None:
        """Start the next POST when one is due."""
        if self._flight is None and self._dirty and self.due_in_s() <= 0:
            self._guarded(self._begin)

    def step(self, error: Exception | None = None) -> None:
        """Go on with the POST under way: its socket stirred, or `error` befell it."""
        self._guarded(lambda: self._step(error))

    def expire(self) -> None:
        """Give up a POST whose time is over. Step first: a frozen process finds the answer waiting."""
        if self._wait is not None and self._timing.clock() >= self._expires:
            self.step(TimeoutError(f"waited {self._wait.within_s:g} s for {self._wait.doing}"))

    def adopt(self) -> None:
        """Take over what dead writers left; not while the destination fails, so that others may."""
        if not self.failing:
            self._guarded(self._adopt, pause=False)

    def take_over_own(self) -> None:
        """The living log has been closed: ship its last frames like those of the dead."""
        if self._flight is None and not self.failing and not self._closed:
            self._closed = True
            self._guarded(self._adopt, pause=False)

    def stop(self) -> None:
        """Drop the POST under way, the connection and what was adopted; all of it stays in the spool."""
        self._flight = self._wait = None
        self._poster.close()
        self.owed.release()

    def abandon(self) -> None:
        """In a forked child: let go of what is the parent's, without a word to anybody."""
        self._poster.close()
        self.owed.release()

    def receipt(self) -> Receipt:
        """The living log's spans, true at this moment."""
        if self.log is None:
            return self.inherited()
        counts, late = self.log.counts(), self.owed.late
        delivered, set_aside = counts.acknowledged + late.delivered, counts.set_aside + late.set_aside
        dropped = sum(counts.dropped.values())
        # Spans that were open when the log was closed are told as interrupted: nobody appended them as SPANs.
        recorded = counts.spans + late.interrupted
        return Receipt(
            recorded=recorded,
            delivered=delivered,
            pending=recorded - delivered - set_aside - dropped,
            set_aside=set_aside,
            dropped=dropped,
            destination=self._problems.url,
            problem=self._problems.text,
        )

    def inherited(self) -> Receipt:
        """Spans of dead writers, as far as they were adopted."""
        tally = self.owed.inherited
        return Receipt(
            recorded=tally.recorded,
            delivered=tally.delivered,
            pending=tally.pending,
            set_aside=tally.set_aside,
            dropped=tally.dropped,
            destination=self._problems.url,
            problem=self._problems.text,
        )

    def _guarded(self, work: Callable[[], None], *, pause: bool = True) -> None:
        """The one guard of a lane: whatever breaks in it costs a pause, or only a number, never the thread."""
        try:
            work()
        except Exception as error:  # noqa: BLE001
            self._errors[type(error).__name__] += 1
            if not pause:
                return
            self._flight = self._wait = None
            self._poster.close()
            self._fail(Verdict(Outcome.TRY_LATER, f"{type(error).__name__}: {error}", type(error).__name__))

    def _adopt(self) -> None:
        if self.owed.adopt(own=self._closed):
            self._dirty = True

    def _begin(self) -> None:
        self._dirty = False  # before looking: what is appended from here on sets it again
        # Other receivers have no use for a request without spans.
        batch = self.owed.next(
            spans_only=self._foreign is True, own_first=self.urgent, tell=self._foreign is False
        )
        if batch is None:
            return
        self._dirty = True
        self.attempts += 1
        # Where every frame is a span there is nothing to leave out: it saves looking at each.
        body = only(batch.body, Kind.SPAN) if self._foreign and batch.spans < batch.frames else batch.body
        self._batch = batch
        self._flight = self._poster.post(body, self._headers(batch), within_s=self._patience_s)
        self._step(None)

    def _headers(self, batch: Batch) -> dict[str, str]:
        aside = self.owed.aside
        # What a dead writer set aside may stand in no segment any more: then only its file's name tells the number.
        spooled_to = max(batch.spooled_to, aside.highest)
        headers = {"everyspan-writer": self.owed.writer, "everyspan-spooled-to": str(spooled_to)}
        if batch.closed:
            headers["everyspan-closed"] = "true"
        if aside.text and not self._foreign:
            headers["everyspan-set-aside"] = aside.text
        return headers

    def _step(self, error: Exception | None) -> None:
        assert self._flight is not None
        try:
            self._wait = next(self._flight) if error is None else self._flight.throw(error)
            self._expires = self._timing.clock() + self._wait.within_s
            return
        except StopIteration as done:
            answer: Answer | None = done.value
            assert answer is not None
            verdict = judge(answer)
        except SettingsError as problem:
            answer, verdict = None, Verdict(Outcome.TRY_LATER, str(problem), "settings")
        except (OSError, NotHttpError) as problem:
            answer, verdict = None, judge_failure(problem)
        self._flight = self._wait = None
        self._settle(verdict, answer)

    def _settle(self, verdict: Verdict, answer: Answer | None) -> None:
        if verdict.outcome is Outcome.TRY_LATER:
            if verdict.kind == "timeout":
                self._patience_s = min(2 * self._patience_s, LONGEST_PATIENCE_S)
            self.owed.try_later()
            self._fail(verdict)
            return
        batch = self._batch
        assert batch is not None
        # Ack after the answer, never before: dying between the two sends the batch again, and the stamp exposes
        # the copy; the other order loses it unseen.
        large = len(batch.body) > BATCH_BYTES // 2
        self._back_off.succeeded()
        self._problems.over()
        if verdict.outcome is Outcome.STORED:
            assert answer is not None
            self._patience_s = self._timing.answer_s
            self._foreign = "everyspan-collector" not in answer.headers
            self.owed.stored()
        else:
            everything = verdict.rejected >= batch.spans > 0
            spans = self.owed.refused(reason=verdict.problem, all_spans=everything)
            if spans:
                self._problems.set_aside(spans, verdict.problem)
        if not large and not self.owed.bisecting:
            self._linger_until = self._timing.clock() + self._timing.linger_s

    def _fail(self, verdict: Verdict) -> None:
        self._dirty = True
        longest_s = _LONGEST_WAIT_IN_A_HURRY_S if self.urgent else LONGEST_WAIT_S
        self._back_off.failed(retry_after=verdict.retry_after, longest_s=longest_s)
        self._problems.delays(verdict.kind, verdict.problem)
        self.failure = Failure(self.attempts, verdict.kind)
