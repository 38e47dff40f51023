"""One sentence for each way in which a record ends as a dead letter: what the person who reads it at night can do.

A letter is written when trying again by itself is over, so no sentence may promise that.
"""

from __future__ import annotations

from typing import Final

from mapping.errors import MappingError
from workers import errors

KILLER: Final = (
    "Look in the log for what ended the workers (memory, a crash) near these times; replay it after an upgrade: it runs alone, "
    "so it harms no other record."
)
LOCKED: Final = "Add the key that was used before to the end of RELAY_SECRET_KEY (comma list, newest first)."
SHAPE: Final = "Capsule's answer has not the expected form: open the record in Capsule and save it, then replay; else report it."
BUG: Final = "A fault of ours: look for this record in the log and report the lines; replay it after an upgrade."
_EXHAUSTED: Final = (
    "It was tried for about a day. Make sure with `capsule-relay check --live` that {system} answers, then replay it."
)


def of_error(error: Exception) -> str:
    """The advice for a record that was given up because of this error."""
    if isinstance(error, errors.Temporary):
        if type(error) is errors.Temporary and not error.system:
            return BUG
        return _EXHAUSTED.format(system=error.system or "the other side")
    if isinstance(error, errors.Refused):
        return _of_refusal(error)
    if isinstance(error, errors.WorkerError):
        return error.advice
    if isinstance(error, MappingError):
        return SHAPE
    return BUG


def of_delivery(connection: str, *, cut: bool) -> str:
    """The advice for a delivery that could not be read. `cut`: its body was longer than what is kept."""
    sync = f"`capsule-relay sync {connection} --full` finds at once whatever it would have told"
    if cut:
        return f"Only its beginning was kept, so it cannot be replayed: {sync}, then discard it."
    return f"{sync}; then discard it, or keep it to replay after an upgrade that reads this form."


def _of_refusal(error: errors.Refused) -> str:
    """What the words of a refusal tell to do; the general advice where they tell nothing (reference/officernd.md §2.7)."""
    said = error.answer.lower()
    if "should not exist" in said:
        return (
            "OfficeRnD has no such field or custom property: add it there (Settings, Data & Extensibility), or take the line out "
            "of [connections.NAME.fields] in relay.toml; then replay."
        )
    if error.status == 404:  # noqa: PLR2004 - "not found"
        return "What it refers to is not there any more: run `capsule-relay sync NAME --full`, then replay."
    if error.status == 500:  # noqa: PLR2004 - of those, only sentences that are known to repeat
        return (
            "OfficeRnD fails on this content each time: compare the fields of `dead show --reveal` with the record in Capsule, "
            "mend the one that its answer names, then replay."
        )
    if error.status in (400, 422) and error.system == "officernd":
        return (
            "OfficeRnD refuses a value; its answer names the field. Correct it in Capsule, which alone has it tried again, or "
            "the line of [connections.NAME.fields] that fills it, then replay."
        )
    return error.advice
