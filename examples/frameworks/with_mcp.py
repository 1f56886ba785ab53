"""MCP: a tool in a server of its own that asks a model; its call is part of the client's trace."""

import asyncio
import os
import sys

from openinference.instrumentation.mcp import MCPInstrumentor

import everyspan

everyspan.init()
MCPInstrumentor().instrument()  # carries the trace over; before mcp is imported, whose functions it replaces

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.server.fastmcp import FastMCP
from openai import AsyncOpenAI

server = FastMCP("words")


@server.tool()
async def explain(thing: str) -> str:
    """Say what a thing is."""
    asked = [{"role": "user", "content": f"What is {thing}?"}]
    answer = await AsyncOpenAI().chat.completions.create(model="gpt-4o-mini", messages=asked)  # type: ignore[arg-type,unused-ignore]
    return answer.choices[0].message.content or ""


async def main() -> None:
    """Ask the server, which is this file again."""
    command = StdioServerParameters(command=sys.executable, args=[__file__, "serve"], env=dict(os.environ))
    async with stdio_client(command) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        with everyspan.span("question"):
            print(await session.call_tool("explain", {"thing": "a span"}))


if sys.argv[1:] == ["serve"]:
    server.run()
else:
    asyncio.run(main())
    print(everyspan.flush())
