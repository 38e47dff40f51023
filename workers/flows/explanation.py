"""What is known of one record: the value that `flows.explain` returns, its state in a word and its answer in a sentence.

It holds personal data, for the person who asked: it is shown and never logged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mapping.agenda import RecordKey
from mapping.rules_faults import quoted
from workers.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.trace import Step
    from workers.ledger import Entry
    from workers.letters import Letter
    from workers.standing import Standing

# What a person may type -> Capsule's kind in the agenda.
KINDS: Final[Mapping[str, str]] = {
    "party": "party",
    "person": "party",
    "organisation": "party",
    "organization": "party",
    "opportunity": "opportunity",
    "kase": "kase",
    "project": "kase",
    "task": "task",
    "user": "user",
    "entry": "entry",
}
LARGEST_ID: Final = 2**63 - 1


def record_of(name: str, kind: str, number: str) -> RecordKey:
    """The record that the words name.

    Raises:
        Misconfigured: there is no such kind, or that is no id.
    """
    if kind.lower() not in KINDS:
        words = ", ".join(sorted(set(KINDS) - {"organization"}))
        raise Misconfigured(f"{quoted(kind)} is no kind of record.", advice=f"Write one of {words}.")
    if not (number.isascii() and number.isdigit() and 0 < int(number) <= LARGEST_ID):
        raise Misconfigured(
            f"{quoted(number)} is no id of Capsule.", advice="It is the whole number at the end of the record's address there."
        )
    return RecordKey(name, KINDS[kind.lower()], int(number))


@dataclass(frozen=True, slots=True)
class Field:
    """One field that we would write, and where its value comes from. `when`: "always", or "creating" for a value sent once."""

    name: str
    value: Any = field(repr=False)
    source: str
    when: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that holds something else than it should. `stuck`: the downstream does not let us change it."""

    name: str
    there: Any = field(repr=False)
    wanted: Any = field(repr=False)
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A write that a run would send now. `covers` are the fields that it brings in step."""

    method: str
    path: str
    covers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is known of one record. Times are ms of Redis' clock.

    `state` is one word for programs (see `STATES`), `answer` one sentence for a person. `capsule` is the record as Capsule
    answered it just now, None when it shows none or was not asked; `steps` are the rules that were asked, in order. `body`
    is what the downstream should hold, `held` why a person must decide first, `waits_for` another record that must be in
    step before. `there` is what the downstream holds now, flat, and `differences` what is not as it should be; `calls` what
    a run would send. `unasked` names each side that could not be asked, with the reason.
    """

    record: RecordKey
    state: str
    answer: str
    capsule: Mapping[str, Any] | None = field(repr=False)
    steps: tuple[Step, ...]
    is_in: bool | None
    why: str
    resource: str
    body: tuple[Field, ...]
    notes: tuple[str, ...]
    held: tuple[str, str] | None
    waits_for: tuple[RecordKey, str] | None
    downstream_id: str | None
    there: Mapping[str, Any] | None = field(repr=False)
    differences: tuple[Difference, ...]
    calls: tuple[Call, ...]
    entry: Entry | None
    standing: Standing
    letter: Letter | None = field(repr=False)
    links: Mapping[str, str]
    unasked: Mapping[str, str]


# In the order in which they are looked for: a dead letter is said before anything else.
STATES: Final = (
    "dead",
    "paused",
    "waiting",
    "under way",
    "unknown",
    "gone",
    "out",
    "held",
    "waits for another",
    "never seen",
    "differs",
    "in step",
)


def state_of(told: Explanation, *, gone: bool) -> str:
    """One of `STATES`. `gone`: Capsule was asked, and shows no such record."""
    standing = told.standing
    checks = (
        ("dead", told.letter is not None),
        ("paused", standing.pause is not None and bool(standing.place)),
        ("waiting", standing.place == "due"),
        ("under way", bool(standing.place)),
        ("unknown", bool(told.unasked)),
        ("gone", gone),
        ("out", told.is_in is False),
        ("held", told.held is not None),
        ("waits for another", told.waits_for is not None),
        ("never seen", told.entry is None),
        ("differs", bool(told.calls)),
    )
    return next((name for name, holds in checks if holds), "in step")


def answer_of(told: Explanation, state: str, downstream: str) -> str:
    """The state in a sentence."""
    standing, entry = told.standing, told.entry
    would = "it would be created" if told.downstream_id is None else "it would be brought in step"
    sentences = {
        "dead": "It is a dead letter: nothing is done for it until it changes, or somebody replays it.",
        "paused": f"It waits, as its connection is paused: {standing.pause.reason if standing.pause else ''}.",
        "waiting": f"It is tried again later, as attempt {standing.attempts + 1}.",
        "under way": "A worker has it right now." if standing.place == "lease" else "It waits for a worker to take it.",
        "unknown": " ".join(f"{side} could not be asked: {why}" for side, why in told.unasked.items()),
        "gone": "Capsule does not show it: it was deleted or merged, or is hidden from our Capsule user.",
        "out": f"It is kept out: {told.why}.",
        "held": f"It is held, until a person decides: {told.held[1] if told.held else ''}.",
        "waits for another": f"It waits for {told.waits_for[0].kind} {told.waits_for[0].id}: {told.waits_for[1]}."
        if told.waits_for
        else "",
        "never seen": f"It was never looked at. It is in, and {would} when an event or a sync opens it.",
        "differs": f"It is in, and {downstream} holds something else: {would} when an event or a full sync opens it.",
        "in step": "It is in step.",
    }
    if state == "out" and entry is None:
        return f"{sentences['out']} It was never looked at."
    return sentences[state]


def kind_fault(asked: str, told: Explanation) -> str:
    """What to say when a party is not of the kind that was asked for, "" when it is, or when that is not known."""
    kind = told.capsule.get("type") if told.capsule is not None and told.record.kind == "party" else None
    words = {"person": "a person", "organisation": "an organisation"}
    wanted = {"organization": "organisation"}.get(asked, asked)
    if kind not in words or wanted not in words or kind == wanted:
        return ""
    return f"party {told.record.id} is {words[kind]}, not {words[wanted]}"
