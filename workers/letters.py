"""Dead letters of records: what was tried, what came back, what to do. Kept until the record is in step or a person acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mapping.errors import MappingError
from workers import errors
from workers.version import VERSION

if TYPE_CHECKING:
    from workers.agenda import Agenda
    from workers.flows.run import Run
    from workers.ledger import Vault

ANSWER_BYTES: Final = 1024
SEALED: Final = b"1"  # the sweep, which holds no key, writes plain letters that begin with 0


class Letters:
    """Writes letters, encrypted, in the step that closes the record."""

    def __init__(self, agenda: Agenda, vault: Vault) -> None:
        self.agenda = agenda
        self.vault = vault

    def bury(self, run: Run, error: Exception, line: dict[str, Any]) -> None:
        """Makes the record of this run a dead letter, unless something newer about it has come."""
        taken = run.taken
        letter: dict[str, Any] = {
            "record": taken.record.pack(),
            "seq": taken.seq,
            "class": type(error).__name__,
            "text": str(error),
            "advice": advice(error),
            "attempts": taken.attempts + 1,
            "opened": taken.opened_ms,
            "at": taken.now_ms,
            "version": VERSION,
        }
        if isinstance(error, errors.Permanent | errors.Temporary):
            letter |= {"system": error.system, "status": error.status, "answer": error.answer[:ANSWER_BYTES]}
        if isinstance(error, errors.Permanent):
            letter |= {"method": error.method, "route": error.route, "body": error.body.decode(errors="replace")}
        try:
            end = self.agenda.bury(taken.record, taken.token, letter=SEALED + self.vault.seal(letter), touched=run.touched)
        except errors.QueueAway as away:
            line["unanswered"] = str(away)
            return
        line["end"] = end
        if end == "buried":
            run.services.counts.add("dead", taken.record.connection)


def advice(error: Exception) -> str:
    """One sentence for the person who reads the letter."""
    if isinstance(error, errors.WorkerError):
        return error.advice
    if isinstance(error, MappingError):
        return "Capsule's answer has not the expected shape: look at the record in Capsule, then replay."
    return "A fault of ours: look for this record in the log, then replay after an upgrade."
