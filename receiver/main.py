"""The receiver's front door: `uvicorn --factory receiver.main:app`. The only place here that reads the environment."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Final

from receiver import log, slow, tracing
from receiver.app import build
from receiver.calm import calm
from receiver.rules_watch import RulesWatch
from receiver.settings import SettingsInvalid, load

if TYPE_CHECKING:
    from starlette.types import ASGIApp

COLLECT_EVERY: Final = 10_000
"""Objects made before Python looks for cycles. A delivery makes many and leaves no cycle; the default looks every few of them."""


def app() -> ASGIApp:
    """Builds the application from the environment.

    Raises:
        SystemExit: the settings cannot be used; every fault has been named on standard error.
    """
    log.configure(os.environ.get("RELAY_LOG_FORMAT", ""), os.environ.get("RELAY_LOG_LEVEL", ""))
    log.tame_uvicorn()
    slow.watch()
    calm()
    environ = dict(os.environ)
    watch = RulesWatch(environ)  # before the file is read: a change in between is then seen as one
    try:
        settings = load(environ)
    except SettingsInvalid as invalid:
        sys.stderr.write(f"The receiver cannot start. To mend:\n{invalid}\n")
        raise SystemExit(2) from None
    built = build(settings, reload=watch.look, spans=tracing.start(environ))
    # What is loaded by now stays, so the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    return built
