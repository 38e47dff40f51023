"""Profiles for the property tests: the machine is shared, so no deadline; `HYPOTHESIS_PROFILE=thorough` looks longer."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "relay", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("relay"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "relay"))
