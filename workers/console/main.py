"""The console's front door: `uvicorn --factory workers.console.main:app`. It reads the environment."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from workers import tracing
from workers.console.app import build
from workers.console.calm import calm
from workers.log import configure
from workers.services import build as build_services
from workers.settings import SettingsInvalid, load

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def app() -> ASGIApp:
    """Builds the application from the environment.

    Raises:
        SystemExit: the settings cannot be used; every fault has been named on standard error.
    """
    try:
        settings = load(os.environ)
    except SettingsInvalid as invalid:
        sys.stderr.write(f"The console cannot start. To mend: {invalid}\n")
        raise SystemExit(2) from None
    configure(settings.log_format, settings.log_level, process="console")
    tracing.start(os.environ, process="console")
    calm()
    return build(build_services(settings))
