"""What the calls of a check have in common: what one side said, and when to stop asking it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from mapping.errors import Fault
from workers.errors import CredentialsRefused, Misconfigured, WorkerError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_PAGES: Final = 200  # of one list: 20,000 tags, or a server that never ends

T = TypeVar("T")
# The access token of an account that was connected by OAuth, None when nobody is signed in.
Bearer = Callable[[str], "str | None"]


def nobody(_account: str) -> str | None:
    """Nobody is signed in: what a check believes that has no data store."""
    return None


@dataclass(frozen=True, slots=True)
class Asked:
    """What one side of one connection said. `unasked`: why it could not be asked, or not to the end; else empty.

    `facts` are for the person at the terminal and may hold the name of the token's user: they are never logged.
    """

    connection: str
    side: str  # "Capsule" or "OfficeRnD"
    facts: Mapping[str, str | int] = field(default_factory=dict, repr=False)
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    unasked: str = ""


class Stop(Exception):
    """This side can be asked nothing more: a fault of the settings, or a failure that says nothing of them."""

    def __init__(self, *, fault: Fault | None = None, unasked: str = "") -> None:
        super().__init__(unasked or str(fault))
        self.fault = fault
        self.unasked = unasked


def understood(call: Callable[[], T], *, refused: Callable[[CredentialsRefused], Fault] | None = None, misplaced: str = "") -> T:
    """What the call returns; the workers' errors in the words of a check.

    Raises:
        Stop: with a fault of the settings at `misplaced` or from `refused`, or with why nothing could be asked.
    """
    try:
        return call()
    except CredentialsRefused as error:
        raise Stop(fault=refused(error) if refused else None, unasked="" if refused else str(error)) from None
    except Misconfigured as error:
        if not misplaced:
            raise Stop(unasked=str(error)) from None
        raise Stop(fault=Fault(misplaced, f"leads nowhere ({error})", error.advice)) from None
    except WorkerError as error:
        raise Stop(unasked=str(error)) from None
