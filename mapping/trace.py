"""How a verdict and a value came about, told by the very code that decides: what `capsule-relay explain` shows.

Whoever judges or maps calls a listener with each step. Nobody listens in a run, so that costs a call of an empty function.
No text here holds a name, an e-mail or another tag of the record than those that the rules name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was asked. `about` is whom (`person 501`), `rule` the setting, or "capsule" for what Capsule shows.

    `says` is what this rule decides of it, "" if it leaves that to the next one.
    """

    about: str
    rule: str
    says: Literal["in", "out", ""]
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where the value of one field comes from, in words.

    `reads` names the keys of the record's own Capsule body that it is made of ("*": any of them); other keys do not bear on
    it. What it takes from the rules, from another record or from the downstream is in the words alone.
    """

    text: str
    reads: tuple[str, ...] = ()


Heard = Callable[[Step], None]
Told = Callable[[Source], None]


def unheard(_told: object) -> None:
    """For those whom only the result concerns."""
