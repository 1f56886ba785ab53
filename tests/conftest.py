"""Settings for every test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# litellm otherwise asks the internet for its price list at import, and waits.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

# How long examples take says how busy the machine is, not whether a promise holds.
settings.register_profile("everyspan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("everyspan")
