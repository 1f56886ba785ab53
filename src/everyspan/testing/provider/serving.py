"""One request to the fake provider: what it asks, what its script says, what is owed for the answer."""

from __future__ import annotations

import json
from dataclasses import replace

from everyspan.testing.ledger import Entry, Ledger, Outcome, account_of
from everyspan.testing.provider.answer import Answer, PromptCache, Question, compose, new_id
from everyspan.testing.provider.api import Api, BadRequestError, Json
from everyspan.testing.provider.http import Exchange, Request
from everyspan.testing.provider.script import Script, ScriptError, Scripts, parse_script, script_in
from everyspan.testing.rates import Tokens

_PROMPT_CHARACTERS = 200


class Serving:
    """One request on its way through: what it asks, what the script says, what is owed."""

    def __init__(
        self, api: Api, request: Request, exchange: Exchange, ledger: Ledger, scripts: Scripts
    ) -> None:
        self._api = api
        self._request = request
        self._exchange = exchange
        self._ledger = ledger
        self._scripts = scripts
        self._request_id = new_id("req_", length=24)
        self._account_key = api.api_key(request.headers)

    async def serve(self, cache: PromptCache) -> None:
        """Answer, or misbehave as told."""
        try:
            question = self._api.question(_decoded(self._request.body))
            script = self._script(question)
        except (BadRequestError, ScriptError) as error:
            self._refuse(400, str(error))
            return
        if not self._account_key:
            self._refuse(401, "no API key in the request", question)
        elif not await self._exchange.pause(script.delay_s):
            self._note(question, outcome=Outcome.ABORTED, status=0)
        elif script.drop:
            self._note(question, outcome=Outcome.DROPPED, status=0)
            self._exchange.break_off()
        elif script.hang:
            await self._exchange.until_gone()
            self._note(question, outcome=Outcome.ABORTED, status=0)
        elif script.status != 200:
            self._refuse(script.status, "as the script says", question, retry_after_s=script.retry_after_s)
        else:
            answer = compose(
                question, response_id=self._api.new_response_id(), cache=cache, words=script.words
            )
            await (self._stream if question.stream else self._plain)(question, answer, script)

    def _script(self, question: Question) -> Script:
        header = self._request.headers.get("x-fake-provider")
        own = script_in(question.prompt) if header is None else parse_script(header)
        script = self._scripts.pick(question.model, question.prompt, own=own)
        if script.fail_after is not None and not question.stream:
            # Half a JSON body has no place for an error event: the API answers with the status instead.
            return Script(delay_s=script.delay_s, status=500)
        return script

    async def _plain(self, question: Question, answer: Answer, script: Script) -> None:
        body = json.dumps(self._api.plain(answer)).encode()
        headers = self._headers("application/json")
        entry = self._entry(question, answer.tokens, response_id=answer.response_id)
        if script.cut_after is None and script.hang_after is None:
            self._ledger.note(replace(entry, outcome=Outcome.SERVED))
            self._exchange.answer(200, headers, body)
            return
        self._ledger.begin(entry)
        self._exchange.answer(200, headers, body, only_bytes=len(body) // 2)
        if script.hang_after is not None:
            await self._exchange.until_gone()
        outcome = Outcome.CUT if script.hang_after is None else Outcome.ABORTED
        self._ledger.end(self._request_id, outcome=outcome, tokens=answer.tokens)
        self._exchange.break_off()

    async def _stream(self, question: Question, answer: Answer, script: Script) -> None:
        self._ledger.begin(self._entry(question, answer.tokens_after(0), response_id=answer.response_id))
        self._exchange.begin_stream(self._headers(self._api.stream_type))
        opening = self._api.opening(answer)
        if opening:  # an empty chunk would end the answer
            self._exchange.send_chunk(opening)
        outcome, sent = await self._pieces(answer, script)
        # The books first: whoever sees the end of the answer may look into them at once.
        self._ledger.end(self._request_id, outcome=outcome, tokens=answer.tokens_after(sent))
        if outcome is Outcome.SERVED:
            self._exchange.send_chunk(self._api.closing(answer))
            self._exchange.send_chunk(b"")
        elif outcome is Outcome.FAILED:
            self._exchange.send_chunk(self._api.stream_error())
            self._exchange.send_chunk(b"")
        else:
            self._exchange.break_off()

    async def _pieces(self, answer: Answer, script: Script) -> tuple[Outcome, int]:
        """Send the text; returns how that ended and how many pieces were sent."""
        for index in range(len(answer.pieces)):
            if index == script.cut_after:
                return Outcome.CUT, index
            if index == script.fail_after:
                return Outcome.FAILED, index
            if index == script.hang_after:
                await self._exchange.until_gone()
            if not await self._exchange.pause(script.gap_s):
                return Outcome.ABORTED, index
            self._exchange.send_chunk(self._api.piece(answer, index))
        return Outcome.SERVED, len(answer.pieces)

    def _refuse(
        self,
        status: int,
        message: str,
        question: Question | None = None,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        headers = self._headers("application/json")
        if retry_after_s is not None:
            headers["retry-after"] = f"{retry_after_s:g}"
        body = json.dumps(self._api.error(status, message, request_id=self._request_id)).encode()
        self._note(question, outcome=Outcome.REFUSED, status=status)
        self._exchange.answer(status, headers, body)

    def _note(self, question: Question | None, *, outcome: Outcome, status: int) -> None:
        """Write down a request that nothing is owed for."""
        asked = question or Question(model="", blocks=(), prompt="")
        self._ledger.note(replace(self._entry(asked, Tokens()), status=status, outcome=outcome))

    def _entry(self, question: Question, tokens: Tokens, *, response_id: str = "") -> Entry:
        return Entry(
            request_id=self._request_id,
            response_id=response_id,
            provider=self._api.name,
            model=question.model,
            stream=question.stream,
            tokens=tokens,
            account=account_of(self._account_key),
            prompt=question.prompt[:_PROMPT_CHARACTERS],
        )

    def _headers(self, content_type: str) -> dict[str, str]:
        return {
            "content-type": content_type,
            "server": "fake-provider",
            **self._api.headers(self._request_id),
        }


def _decoded(body: bytes) -> Json:
    try:
        decoded = json.loads(body)
    except ValueError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise BadRequestError("the body is not a JSON object")
    return decoded
