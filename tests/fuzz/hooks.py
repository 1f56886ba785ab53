"""What Schemathesis checks beside its own: no answer holds what belongs to another project."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

CANARY = os.environ["EVERYSPAN_FUZZ_CANARY"].encode()


@schemathesis.check  # type: ignore[untyped-decorator]
def no_other_projects_data(context: Any, response: Any, case: Any) -> None:
    """The canary is random and in nobody's request, so an answer with it is a leak."""
    assert CANARY not in response.content, f"{case.method} {case.path} shows another project's data"
