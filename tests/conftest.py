"""Settings for every test."""

from __future__ import annotations

import os

# litellm otherwise asks the internet for its price list at import, and waits.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
