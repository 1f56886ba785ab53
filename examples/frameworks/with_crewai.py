"""CrewAI: a crew of one agent with one task."""

import os

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false")

from crewai import LLM, Agent, Crew, Task
from openinference.instrumentation.crewai import CrewAIInstrumentor

import everyspan

everyspan.init()
CrewAIInstrumentor().instrument()

llm = LLM(model="openai/gpt-4o-mini", base_url=os.environ.get("OPENAI_BASE_URL"))
writer = Agent(role="writer", goal="write one sentence", backstory="a technical writer", llm=llm)
task = Task(description="Say what a span is.", expected_output="one sentence", agent=writer)

print(Crew(agents=[writer], tasks=[task]).kickoff())
print(everyspan.flush())
