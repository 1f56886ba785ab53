"""What the fake model says and how many tokens that is: the same request always gets the same answer.

The rules, so that a test can predict them:

- Input: a text counts a token for every four bytes of UTF-8, begun ones included; every block of text (system,
  message, tool definition, tool result) is counted for itself. Any other block, such as an image, counts 100.
- Output: the answer is 6 to 24 words, chosen by a digest of model and prompt; a word is a token, `max_tokens` cuts
  it short. A stream carries a word in each chunk.
- Cache: what stands before and in a block marked with `cache_control` is written to the cache the first time and
  read from it ever after, by exact text and model. OpenAI's API marks nothing: there `prompt_cache_key` puts all
  blocks but the last into the cache.
"""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from everyspan.testing.rates import Tokens, undated

OTHER_BLOCK_TOKENS = 100
_LEAST_WORDS, _MOST_WORDS = 6, 24
_TEXT = (
    "the answer to this is a short one because every word in it was chosen by a digest of your prompt and costs "
    "exactly one token so that whoever adds up the bill can do it twice and find the same sum both times"
)
_WORDS = _TEXT.split()
_SERVED_AS = {
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4o": "gpt-4o-2024-08-06",
}
# Not the module's own functions: a program under test may call random.seed(), and ids must not repeat.
_random = random.Random()


class Mark(StrEnum):
    """Where a cached prefix ends, and how long it is kept."""

    NONE = ""
    FIVE_MINUTES = "5m"
    ONE_HOUR = "1h"
    FREE = "free"
    """OpenAI's: writing costs what reading without a cache costs."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the prompt; `text` is None when it is no text."""

    text: str | None
    mark: Mark = Mark.NONE

    @property
    def tokens(self) -> int:
        """What the model reads here."""
        return OTHER_BLOCK_TOKENS if self.text is None else count_tokens(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request, whichever API it came through."""

    model: str
    blocks: Sequence[Block]
    prompt: str
    """The text of the last user message."""
    stream: bool = False
    max_tokens: int | None = None
    include_usage: bool = True
    """False when an OpenAI stream did not ask for the chunk with the usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says to a question."""

    response_id: str
    model: str
    """The model that answered, with its date."""
    pieces: tuple[str, ...]
    """Joined they are the text; each is one token and one chunk of a stream."""
    tokens: Tokens
    """For the whole answer."""
    cut_by_limit: bool
    include_usage: bool = True

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)

    def tokens_after(self, pieces: int) -> Tokens:
        """What is owed when only the first `pieces` were sent."""
        return Tokens(
            fresh_input=self.tokens.fresh_input,
            cache_read=self.tokens.cache_read,
            cache_write_5m=self.tokens.cache_write_5m,
            cache_write_1h=self.tokens.cache_write_1h,
            output=pieces,
        )


@dataclass(slots=True)
class PromptCache:
    """Prefixes that were marked before."""

    _known: set[tuple[str, bytes]] = field(default_factory=set)

    def read(self, model: str, blocks: Sequence[Block]) -> Tokens:
        """Split the input by what the cache has, and remember its marked prefixes."""
        total = sum(block.tokens for block in blocks)
        marks = self._marked_prefixes(model, blocks)
        if not marks:
            return Tokens(fresh_input=total)
        hit = max((tokens for key, tokens, _ in marks if key in self._known), default=0)
        _, marked, kind = marks[-1]
        self._known.update(key for key, _, _ in marks)
        written = 0 if kind is Mark.FREE else marked - hit
        return Tokens(
            fresh_input=total - hit - written,
            cache_read=hit,
            cache_write_5m=written if kind is Mark.FIVE_MINUTES else 0,
            cache_write_1h=written if kind is Mark.ONE_HOUR else 0,
        )

    def _marked_prefixes(
        self, model: str, blocks: Sequence[Block]
    ) -> list[tuple[tuple[str, bytes], int, Mark]]:
        digest, tokens = hashlib.sha256(), 0
        found: list[tuple[tuple[str, bytes], int, Mark]] = []
        for block in blocks:
            digest.update(b"\0" + (block.text or "").encode("utf-8", "surrogatepass"))
            tokens += block.tokens
            if block.mark is not Mark.NONE:
                found.append(((model, digest.digest()), tokens, block.mark))
        return found


def count_tokens(text: str) -> int:
    """A token for every four bytes of UTF-8, begun ones included."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def compose(question: Question, *, response_id: str, cache: PromptCache, words: int | None = None) -> Answer:
    """The answer to a question; `words` asks for a certain length."""
    digest = hashlib.sha256(f"{question.model}\0{question.prompt}".encode("utf-8", "surrogatepass")).digest()
    length = _LEAST_WORDS + digest[0] % (_MOST_WORDS - _LEAST_WORDS + 1) if words is None else words
    limit = question.max_tokens
    cut = limit is not None and limit < length
    if limit is not None and cut:
        length = limit
    offset = digest[1]
    chosen = [_WORDS[(offset + index) % len(_WORDS)] for index in range(length)]
    pieces = tuple(word if index == 0 else f" {word}" for index, word in enumerate(chosen))
    read = cache.read(question.model, question.blocks)
    return Answer(
        response_id=response_id,
        model=_SERVED_AS.get(undated(question.model), question.model),
        pieces=pieces,
        tokens=read + Tokens(output=len(pieces)),
        cut_by_limit=cut,
        include_usage=question.include_usage,
    )


def new_id(prefix: str, *, length: int) -> str:
    """An id as providers make them: `prefix` and random letters and digits."""
    return prefix + "".join(_random.choices(string.ascii_letters + string.digits, k=length))
