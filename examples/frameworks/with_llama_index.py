"""LlamaIndex: chats, plain, streamed and gathered."""

import asyncio

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

import everyspan

everyspan.init()
LlamaIndexInstrumentor().instrument()

llm = OpenAI(model="gpt-4o-mini", additional_kwargs={"stream_options": {"include_usage": True}})
plain = OpenAI(model="gpt-4o-mini")


async def main() -> None:
    """Three at once."""
    await asyncio.gather(*(plain.acomplete(f"What is {number}?") for number in range(3)))


print(plain.chat([ChatMessage(role="user", content="What is a call?")]).message.content)
for _ in llm.stream_chat([ChatMessage(role="user", content="What is a stream?")]):
    pass
asyncio.run(main())
print(everyspan.flush())
