"""The message of a streamed answer while it arrives: JSON that only grows, so that each piece is written once."""

from __future__ import annotations

from everyspan.record.text import text_as_json

Pieces = list[str]

_GENAI_OPENS, _GENAI_CLOSES = '[{"role":"assistant","parts":[', '"}]}]'
_CHAT_OPENS, _CHAT_CLOSES = '{"role":"assistant","content":"', '"}'


class GrowingMessage:
    """One assistant message in two shapes: OpenTelemetry's GenAI messages, and the chat message that Langfuse shows.

    What `take_…` returns continues what it returned before; with its closing text behind, it is whole JSON. The chat
    message has the text alone: its other fields can not grow side by side in one piece of JSON.
    """

    def __init__(self) -> None:
        self._channel: object = None
        self._is_chat_open = False
        self._genai: Pieces = []
        self._chat: Pieces = []

    def add_text(self, text: str) -> None:
        """More of what the user reads."""
        if not text:
            return
        written = text_as_json(text)[1:-1]
        self._switch("text", '{"type":"text","content":"')
        self._genai.append(written)
        if not self._is_chat_open:
            self._is_chat_open = True
            self._chat.append(_CHAT_OPENS)
        self._chat.append(written)

    def add_reasoning(self, text: str) -> None:
        """More of what the model thinks."""
        if text:
            self._switch("reasoning", '{"type":"reasoning","content":"')
            self._genai.append(text_as_json(text)[1:-1])

    def add_tool_call(self, index: int, call_id: str, name: str, arguments: str) -> None:
        """More of a tool call; its id and name count when they come first, as they do."""
        named = f'"id":{text_as_json(call_id)},"name":{text_as_json(name)}'
        self._switch(("tool", index), f'{{"type":"tool_call",{named},"arguments":"')
        self._genai.append(text_as_json(arguments)[1:-1])

    def take_genai(self) -> tuple[str, str]:
        """What came since the last call, and what closes it; two empty texts when nothing ever came."""
        taken, self._genai = "".join(self._genai), []
        return taken, _GENAI_CLOSES if self._channel is not None else ""

    def take_chat(self) -> tuple[str, str]:
        """The same for the chat message."""
        taken, self._chat = "".join(self._chat), []
        return taken, _CHAT_CLOSES if self._is_chat_open else ""

    def _switch(self, channel: object, head: str) -> None:
        if channel != self._channel:
            self._genai.append(('"},' if self._channel is not None else _GENAI_OPENS) + head)
            self._channel = channel
