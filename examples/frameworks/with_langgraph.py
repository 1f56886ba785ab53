"""LangGraph: a graph of two nodes that each ask a model."""

import asyncio
from typing import TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from openinference.instrumentation.langchain import LangChainInstrumentor

import everyspan

everyspan.init()
LangChainInstrumentor().instrument()

model = ChatOpenAI(model="gpt-4o-mini")


class State(TypedDict):
    """What goes from node to node."""

    text: str


async def draft(state: State) -> State:
    """The first node."""
    return {"text": str((await model.ainvoke(f"Draft: {state['text']}")).content)}


async def review(state: State) -> State:
    """The second one."""
    return {"text": str((await model.ainvoke(f"Review: {state['text']}")).content)}


graph = StateGraph(State)
graph.add_node("draft", draft)
graph.add_node("review", review)
graph.add_edge(START, "draft")
graph.add_edge("draft", "review")
graph.add_edge("review", END)
app = graph.compile()


async def main() -> None:
    """Two runs at once."""
    for done in await asyncio.gather(*(app.ainvoke({"text": text}) for text in ("one", "two"))):
        print(done["text"])


asyncio.run(main())
print(everyspan.flush())
