"""Picks up a changed relay.toml without a restart, and keeps the old rules while the new file has a fault.

The workers do the same for themselves (workers/rules_watch.py). Secrets come from the environment, which a running process
cannot read anew, so those of a signed relay that is new need a restart; everything else here is derived from what is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from receiver.log import say
from receiver.settings import DEFAULT_CONFIG, SettingsInvalid, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from receiver.settings import Settings


class RulesWatch:
    """Looks at the rules file of one process. What it is when this is made counts as known."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._path = Path(environ.get("RELAY_CONFIG", "").strip() or DEFAULT_CONFIG)
        self._stamp = self._stat()

    def look(self) -> Settings | None:
        """Other settings when the file has changed and can be used; a fault is logged once for each change."""
        stamp = self._stat()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        if stamp is None:
            return None  # Being replaced, or gone: the old rules stay.
        try:
            settings = load(self._environ)
        except SettingsInvalid as invalid:
            for fault in invalid.faults:
                said = {"path": fault.path, "fault": fault.message, "hint": fault.hint, "action": "the old rules stay"}
                say("rules", said, level="error")
            return None
        say("rules", {"connections": len(settings.connections), "action": "taken over"})
        return settings

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            held = self._path.stat()
        except OSError:
            return None
        return held.st_mtime_ns, held.st_size, held.st_ino
