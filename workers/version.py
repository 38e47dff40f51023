"""The version of Capsule Relay, where the workers look for it."""

from __future__ import annotations

from mapping.version import VERSION

__all__ = ["VERSION"]
