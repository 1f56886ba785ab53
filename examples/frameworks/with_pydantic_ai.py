"""pydantic-ai: an agent, plain, streamed and gathered; it speaks OpenTelemetry by itself."""

import asyncio

from pydantic_ai import Agent

import everyspan

everyspan.init()
Agent.instrument_all()

agent = Agent("openai-chat:gpt-4o-mini", system_prompt="Answer in one sentence.")


async def main() -> None:
    """Three at once, and one as a stream."""
    done = await asyncio.gather(*(agent.run(f"What is {number}?") for number in range(3)))
    print(done[0].output)
    async with agent.run_stream("What is a stream?") as stream:
        async for _ in stream.stream_text():
            pass


asyncio.run(main())
print(everyspan.flush())
