"""Cursors: where a list goes on, sealed so that nobody can read, forge or carry one to another question."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.console.unified.problems import Problem
from workers.errors import Misconfigured

if TYPE_CHECKING:
    from workers.ledger import Vault

TRAIL: Final = 20
WRONG: Final = "The cursor is not one of ours, or belongs to another question. Begin again with an empty one."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: the page of the source (from 1), how many records of it are behind us, and the source's page size.

    `trail` are the beginnings of the pages before it, oldest first, at most TRAIL: the way back.
    """

    page: int = 1
    skip: int = 0
    size: int = 0
    trail: tuple[tuple[int, int], ...] = ()

    def next(self, page: int, skip: int, size: int) -> Place:
        """The place of the page behind this one."""
        return Place(page, skip, size, (*self.trail, (self.page, self.skip))[-TRAIL:])

    def previous(self) -> Place | None:
        """The place of the page before this one, None at the start."""
        if not self.trail:
            return None
        page, skip = self.trail[-1]
        return Place(page, skip, self.size, self.trail[:-1])


class Cursors:
    """Seals places for one question of one connection."""

    def __init__(self, vault: Vault, connection: str, model: str, essence: str) -> None:
        self._vault = vault
        self._of = hashlib.sha256(repr((connection, model, essence)).encode()).hexdigest()[:32]

    def open(self, text: str) -> Place:
        """The place; of an empty text the start (reference/unified-crm.md §1.4).

        Raises:
            Problem: 400, it is not one of ours for this question.
        """
        if not text:
            return Place()
        try:
            of, page, skip, size, trail = self._vault.open(text.encode("ascii"))
        except (Misconfigured, UnicodeEncodeError, ValueError, TypeError):
            raise Problem(400, WRONG) from None
        if of != self._of:
            raise Problem(400, WRONG)
        return Place(page, skip, size, tuple((one[0], one[1]) for one in trail))

    def seal(self, place: Place | None) -> str | None:
        """The text of a place."""
        if place is None:
            return None
        return self._vault.seal([self._of, place.page, place.skip, place.size, [list(one) for one in place.trail]]).decode()
