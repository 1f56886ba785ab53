"""A hooked library looks as it did, and unhooked it is what it was: every function of it, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import run_program

PROGRAM = """
import gc, inspect, pickle, sys, types
import {library}

def of_library(name):
    return isinstance(name, str) and (name + ".").startswith({library!r} + ".")

def held():
    owners = [module for name, module in list(sys.modules.items()) if of_library(name)]
    owners += [each for each in gc.get_objects() if isinstance(each, type) and of_library(each.__module__)]
    return {{(owner, name): value for owner in owners for name, value in vars(owner).items()
            if isinstance(value, types.FunctionType)}}

def inside(function):
    return function.__code__, function.__defaults__, function.__kwdefaults__, dict(function.__dict__)

def outside(function):
    try:
        signature = str(inspect.signature(function))
    except (NameError, TypeError, ValueError) as error:
        signature = type(error)
    try:
        same = pickle.loads(pickle.dumps(function)) is function
    except Exception as error:
        same = type(error)
    kinds = [ask(function) for ask in (inspect.iscoroutinefunction, inspect.isgeneratorfunction)]
    return signature, same, kinds, inspect.getsourcefile(function), function.__qualname__, function.__doc__

attributes = held()
known = list({{id(each): each for each in attributes.values()}}.values())
before = [inside(each) for each in known]
import everyspan
from everyspan.instrument import patch
everyspan.init()
hooked = [each for each in known if patch.is_exchanged(each)]
seen = [outside(each) for each in hooked]
patch.restore_all()
assert hooked
assert [outside(each) for each in hooked] == seen
assert [inside(each) for each in known] == before
assert all(vars(owner)[name] is value for (owner, name), value in attributes.items())
print("the same")
"""


@pytest.mark.parametrize("library", ["openai", "anthropic", "google.genai", "litellm", "botocore.client"])
def test_a_hooked_library_looks_as_it_did_and_unhooked_it_is_what_it_was(
    tmp_path: Path, library: str
) -> None:
    pytest.importorskip(library)

    assert run_program(PROGRAM.format(library=library), spool=tmp_path).strip() == "the same"
