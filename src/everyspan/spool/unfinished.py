"""What is known of a call whose process died: what had arrived of its answer, and its tokens, by estimate."""

from __future__ import annotations

import json
from collections.abc import Iterable

from everyspan.errors import WireError
from everyspan.wire.encode import encode_interrupted
from everyspan.wire.envelope import find_span, inside
from everyspan.wire.part import ATTRIBUTE, read_part, text_attribute
from everyspan.wire.protobuf import LENGTH
from everyspan.wire.values import Pieces, add_attributes

BYTES_PER_TOKEN = 4
"""UTF-8 bytes that stand for one token, rounded up over a whole input or output.

English is at 4 to 5 with today's tokenizers, code at 3 to 4, Chinese at 3. No tokenizer is right for every model.
"""

_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
_OPERATION, _SHED_BYTES = "gen_ai.operation.name", "everyspan.shed.input_bytes"
_INPUTS = ("gen_ai.input.messages", "langfuse.observation.input")
_OUTPUTS = ("gen_ai.output.messages", "langfuse.observation.output")
_TOOLS = "gen_ai.tool.definitions"
_INPUT_TOKENS, _OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
_SOURCE = "everyspan.usage.source"
_LANGFUSE_TYPE, _LANGFUSE_USAGE = "langfuse.observation.type", "langfuse.observation.usage_details"

_READ = frozenset({_OPERATION, _SHED_BYTES, *_INPUTS, _TOOLS, _LANGFUSE_TYPE})
_NO_TEXT = frozenset({"type", "role", "id", "url", "mime_type", "detail", "image_url", "input_audio", "file"})
"""Keys in messages whose values the model does not read as text, or that are no text at all."""


_DIED = "the process ended before the call did"
_LOST = "the process ended in order, and the call's end was not recorded"


def interrupted_span(
    start_payload: bytes, parts: Iterable[bytes], *, end_ns: int, closed: bool = False
) -> bytes:
    """The payload of the SPAN frame for a call that never ended, from its START frame's and its PART frames'.

    A part that is missing leaves a hole in the text and nothing else. For a model call the input is estimated, unless
    the provider had already told it, and so is the output when some of it had arrived; `everyspan.usage.source` is
    `estimated` then. The same arguments make the same bytes.

    Args:
        closed: the process ended in order. Then a DROP frame tells that the call's end was dropped, or it had none.

    Raises:
        WireError: there is no span in `start_payload`.
    """
    began = _texts(start_payload)
    known, texts = _joined(parts)
    said: dict[str, object] = dict(texts)
    if began.get(_OPERATION) in _OPERATIONS:
        said |= _estimated(began, known, texts)
    more: Pieces = [*known.values()]
    add_attributes(more, ATTRIBUTE, said.items())
    why = _LOST if closed else _DIED
    return encode_interrupted(start_payload, end_ns=end_ns, more=b"".join(more), why=why)


def _joined(payloads: Iterable[bytes]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Attributes as the parts know them last, and the texts that grew, closed."""
    known: dict[str, bytes] = {}
    pieces: dict[str, list[str]] = {}
    closes: dict[str, str] = {}
    for payload in payloads:
        part = read_part(payload)
        known |= part.attributes
        closes |= part.closes
        for key, text in part.grows:
            pieces.setdefault(key, []).append(text)
    return known, {key: "".join(each) + closes.get(key, "") for key, each in pieces.items()}


def _estimated(began: dict[str, str], known: dict[str, bytes], texts: dict[str, str]) -> dict[str, object]:
    said: dict[str, object] = {_SOURCE: "estimated"}
    usage: dict[str, int] = {}
    sent = next((began[name] for name in _INPUTS if name in began), None)
    if _INPUT_TOKENS not in known:
        read_bytes = text_bytes(sent) if sent is not None else 0
        if sent is not None and sent is began.get(_INPUTS[0]):
            read_bytes += len(began.get(_TOOLS, "").encode())
        read_bytes += _shed_bytes(began.get(_SHED_BYTES, ""))
        if read_bytes:
            usage["input"] = said[_INPUT_TOKENS] = tokens_in(read_bytes)
    arrived = next((texts[name] for name in _OUTPUTS if name in texts), None)
    if arrived is not None:
        usage["output"] = said[_OUTPUT_TOKENS] = tokens_in(text_bytes(arrived))
    if _LANGFUSE_TYPE in began and usage:
        said[_LANGFUSE_USAGE] = json.dumps(usage)
    return said if len(said) > 1 or _INPUT_TOKENS in known else {}


def _shed_bytes(said: str) -> int:
    # Ours is a number; an attribute of the user's by that name may be anything.
    return int(said) if said.isascii() and said.isdigit() and len(said) < 16 else 0


def tokens_in(size_bytes: int) -> int:
    """The estimate for so many bytes of text."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def text_bytes(messages: str) -> int:
    """UTF-8 bytes of the texts in messages written as JSON; of all of it when it is none."""
    try:
        return _bytes_in(json.loads(messages))
    except (ValueError, RecursionError):
        return len(messages.encode("utf-8", "backslashreplace"))


def _bytes_in(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "backslashreplace"))
    if isinstance(value, dict):
        return sum(_bytes_in(held) for key, held in value.items() if key not in _NO_TEXT)
    if isinstance(value, list):
        return sum(_bytes_in(held) for held in value)
    return 0


def _texts(payload: bytes) -> dict[str, str]:
    """The attributes of the span in a START payload that are read here."""
    found: dict[str, str] = {}
    for field in inside(payload, find_span(payload).span):
        if field.number == 9 and field.wire_type == LENGTH:
            try:
                key, text = text_attribute(payload, field)
            except WireError:
                continue  # an attribute of the user's that nobody can read costs no estimate
            if key in _READ:
                found[key] = text
    return found
