"""Picks up a changed relay.toml without a restart, and keeps the old rules while the new ones have a fault.

Every process that applies rules looks at the file itself, about once a second. What a change touches is judged again by the
full pass that the clock then finds due (`workers/schedule.py`). Secrets come from the environment, which a running process
cannot read anew: a connection that was not there when it started needs a restart.
"""

from __future__ import annotations

import hashlib
import threading
import tomllib
from typing import TYPE_CHECKING

from mapping.errors import Fault, RulesInvalid
from mapping.rules import parse

if TYPE_CHECKING:
    from pathlib import Path

    from mapping.rules import Connection
    from workers.services import Services


class RulesWatch:
    """Looks at the rules file of one process. What it holds when this is made counts as known."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._path: Path = services.settings.config_path
        self._lock = threading.Lock()
        self._stamp = self._stat()
        self._digest = self._read()[1]

    def look(self) -> bool:
        """True when other rules were taken over. An unreadable file, or one with faults, changes nothing and is logged once."""
        with self._lock:
            stamp = self._stat()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            content, digest = self._read()
            if content is None or digest == self._digest:
                return False
            self._digest = digest
            connections = self._parse(content)
            if connections is None:
                return False
            return self._take_over(connections)

    def _parse(self, content: bytes) -> dict[str, Connection] | None:
        faults: tuple[Fault, ...]
        try:
            return parse(tomllib.loads(content.decode()))
        except RulesInvalid as error:
            faults = error.faults
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            faults = (Fault(str(self._path.name), f"is no TOML: {error}", "Mend it; capsule-relay check names the place."),)
        for fault in faults:
            self.services.log.error("rules", path=fault.path, fault=fault.message, hint=fault.hint, action="the old rules stay")
        return None

    def _take_over(self, connections: dict[str, Connection]) -> bool:
        services, able = self.services, self.services.settings.credentials
        for name in [name for name, one in connections.items() if name not in able or (one.capsule.account or name) not in able]:
            services.log.warning("rules", connection=name, action="left out: a new connection needs a restart")
            del connections[name]
        changed = sorted(
            name for name in {*connections, *services.connections} if connections.get(name) != services.connections.get(name)
        )
        if not changed:
            return False
        services.exchange(connections)
        services.log.info("rules", changed=changed, action="taken over")
        return True

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            held = self._path.stat()
        except OSError:
            return None
        return held.st_mtime_ns, held.st_size, held.st_ino

    def _read(self) -> tuple[bytes | None, str]:
        try:
            content = self._path.read_bytes()
        except OSError:
            return None, ""
        return content, hashlib.sha256(content).hexdigest()
