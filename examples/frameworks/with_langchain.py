"""LangChain: a chain, plain, streamed and gathered; OpenInference gives the structure."""

import asyncio

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from openinference.instrumentation.langchain import LangChainInstrumentor

import everyspan

everyspan.init()
LangChainInstrumentor().instrument()

chain = ChatPromptTemplate.from_template("What is {thing}?") | ChatOpenAI(
    model="gpt-4o-mini", stream_usage=True
)


async def main() -> None:
    """Three at once, and one as a stream."""
    await asyncio.gather(*(chain.ainvoke({"thing": thing}) for thing in ("a span", "a trace", "a bill")))
    async for _ in chain.astream({"thing": "a stream"}):
        pass


print(chain.invoke({"thing": "a call"}).content)
asyncio.run(main())
print(everyspan.flush())
