"""Which dead letters are meant."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.letters.letter import Letter


@dataclass(frozen=True, slots=True)
class Filter:
    """All conditions must hold; an empty one asks nothing.

    `kind` is `record`, `delivery`, or a record's kind (party, opportunity …). `error` is an error class. `before_ms` and
    `after_ms` bound the time of the last failure, in ms of Redis' clock, the first exclusively. `ids` are ids of letters or
    packed records.
    """

    connection: str = ""
    kind: str = ""
    error: str = ""
    system: str = ""
    status: int | None = None
    before_ms: int | None = None
    after_ms: int | None = None
    ids: frozenset[str] = frozenset()

    def admits(self, letter: Letter) -> bool:
        """Whether this letter is meant."""
        return (
            self.connection in ("", letter.connection)
            and self.kind in ("", letter.kind, letter.what)
            and self.error.lower() in ("", letter.error.lower())
            and self.system.lower() in ("", letter.system.lower())
            and self.status in (None, letter.status)
            and (self.before_ms is None or letter.last_ms < self.before_ms)
            and (self.after_ms is None or letter.last_ms >= self.after_ms)
            and (not self.ids or letter.id in self.ids or letter.field in self.ids)
        )

    def document(self) -> dict[str, Any]:
        """What is asked, without the empty conditions."""
        asked = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in asked.items()
            if value not in ("", None, frozenset())
        }
