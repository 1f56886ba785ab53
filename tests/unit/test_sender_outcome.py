"""What each answer means for the spans that were sent."""

from __future__ import annotations

import pytest

from everyspan.sender.outcome import Answer, Outcome, judge, judge_failure

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}
REJECTED_TWO = (
    b"\x0a\x09\x08\x02\x12\x05no id"  # partial_success { rejected_spans: 2, error_message: "no id" }
)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, PROTOBUF, b""),
        Answer(204, {}, b""),
        Answer(202, JSON, b"{}"),
        Answer(200, JSON, b'{"partialSuccess":{}}'),
        Answer(200, JSON, b'{"partialSuccess":null}'),
        Answer(200, PROTOBUF, b"\x0a\x00"),
        Answer(200, PROTOBUF, b"\x0a\x07\x12\x05hello"),  # a warning: nothing was rejected
    ],
)
def test_a_success_that_is_otlp_means_the_spans_are_stored(answer: Answer) -> None:
    verdict = judge(answer)

    assert verdict.outcome is Outcome.STORED
    assert verdict.problem == ""


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"content-type": "text/html"}, b"<html>please log in</html>"),
        Answer(200, PROTOBUF, b"<html>please log in</html>"),
        Answer(200, {}, b"OK"),
        Answer(200, {"content-type": "text/plain"}, b"ok"),
        Answer(200, JSON, b'"ok"'),
        Answer(200, JSON, b"<html>"),
        Answer(200, JSON, b"[" * 200_000),
        Answer(200, JSON, b'{"partialSuccess":{"rejectedSpans":"many"}}'),
        Answer(200, PROTOBUF, REJECTED_TWO[:-3]),
    ],
)
def test_a_success_from_something_that_is_not_an_otlp_receiver_is_not_believed(answer: Answer) -> None:
    verdict = judge(answer)

    assert verdict.outcome is Outcome.TRY_LATER
    assert verdict.kind == "not otlp"


@pytest.mark.parametrize(
    "status", [300, 301, 302, 307, 308, 401, 403, 404, 405, 408, 410, 415, 429, 500, 502, 503]
)
def test_a_status_that_says_nothing_about_the_data_keeps_it(status: int) -> None:
    verdict = judge(Answer(status, {"location": "https://login.example/"}, b"whatever"))

    assert verdict.outcome is Outcome.TRY_LATER
    assert str(status) in verdict.problem


@pytest.mark.parametrize("status", [400, 413, 422])
def test_only_three_statuses_call_the_data_malformed_and_the_servers_words_are_kept(status: int) -> None:
    verdict = judge(Answer(status, {"content-type": "text/plain"}, b"span 7 has\nno trace id"))

    assert verdict.outcome is Outcome.REFUSED
    assert verdict.problem == f"HTTP {status}: span 7 has no trace id"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, PROTOBUF, REJECTED_TWO),
        Answer(200, JSON, b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no id"}}'),
        Answer(200, JSON, b'{"partial_success":{"rejected_spans":2,"error_message":"no id"}}'),
    ],
)
def test_a_partial_success_is_a_refusal_with_a_count(answer: Answer) -> None:
    verdict = judge(answer)

    assert verdict.outcome is Outcome.REFUSED
    assert verdict.rejected == 2
    assert verdict.problem == "2 rejected: no id"


def test_no_answer_at_all_always_means_try_later() -> None:
    for error in (
        ConnectionRefusedError(111, "refused"),
        TimeoutError("waited 10 s"),
        OSError("no route to host"),
    ):
        verdict = judge_failure(error)

        assert verdict.outcome is Outcome.TRY_LATER
        assert verdict.problem


def test_the_servers_wish_to_be_left_alone_is_passed_on() -> None:
    assert judge(Answer(429, {"retry-after": "17"}, b"")).retry_after == "17"
