"""What a reconcile page shows to be different. Pure: Capsule's bodies, ledger entries, what the downstream's lists show.

The outcome of a run depends on four things: the record's body, what the records show that it rests on, the rules, and what
the downstream holds. Each run leaves an account of the first three in its ledger entry (`account`); a record whose account
would be the same today, and whose downstream record holds what was written, needs no run (`compare`, `drifted`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from mapping.capsule import attached as attached_of
from mapping.capsule import opportunity as opportunity_of
from mapping.capsule import party as party_of
from mapping.judge import judge_party, needs_party
from mapping.records import Attached, Opportunity, Organisation, Person
from mapping.values import word_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mapping.plan import Same
    from mapping.rules import Connection
    from mapping.values import Json

ACCOUNT: Final = "account"
PASSES_ON: Final = "passes_on"
# Of a record that Capsule does not show: whatever it shows later is something else.
NO_ACCOUNT: Final[Mapping[str, Any]] = {"body": "", "rules": "", "rests": {}, "tags": [], "alone": False}
DIGEST_BYTES: Final = 12
# What changes without a meaning for us, at any depth; one that an operator's own field names counts all the same.
RESTLESS: Final = ("updatedAt", "lastContactedAt", "pictureURL", "lastLoginAt")

Why = Literal["new", "changed", "came in", "fell out", "rules", "rests", "held", "failed"]


class Known(Protocol):
    """What of a ledger entry is needed here."""

    @property
    def id(self) -> str | None:
        """The downstream's id."""

    @property
    def is_in(self) -> bool:
        """Whether its last run found it to be in."""

    @property
    def outcome(self) -> str:
        """How its last run ended."""

    @property
    def state(self) -> Mapping[str, Any]:
        """What the flow keeps."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A record that must be opened. `releases`: by what was seen, its run would conclude that it is no longer in."""

    why: Why
    releases: bool = False


def account(
    connection: Connection,
    record: Person | Organisation | Opportunity | Attached,
    rests: Mapping[str, tuple[Mapping[str, Any], str | None]],
) -> dict[str, Any]:
    """What a run keeps of that which its outcome rests on.

    `rests`: for each other record (`kind|id`) that it was judged by, what was read of it and its downstream id.
    """
    party = isinstance(record, Person | Organisation)
    kind = "party" if party else record.kind if isinstance(record, Attached) else "opportunity"
    return {
        "body": fingerprint(connection, record.raw),
        "rules": rules_digest(connection, kind),
        "rests": {name: [dict(seen), number] for name, (seen, number) in rests.items()},
        "tags": carried(connection, record),
        "alone": _alone(connection, record),
    }


def _alone(connection: Connection, record: Person | Organisation | Opportunity | Attached) -> bool:
    """Whether it has a right of its own to be in, whatever becomes of others."""
    if isinstance(record, Attached):
        return not needs_party(connection, record)
    return not isinstance(record, Opportunity) and judge_party(connection, record, None).is_in


def fingerprint(connection: Connection, body: Mapping[str, Json]) -> str:
    """A digest of a Capsule record without what changes with no meaning for us."""
    restless = _restless(connection)
    plain = json.dumps(_settled(body, restless), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _digest(plain)


def rules_digest(connection: Connection, kind: str) -> str:
    """A digest of the rules that bear on records of a kind: a change of others re-judges nothing."""
    held = connection.model_dump(mode="json")
    names = ["tags_to_sync", "sync_untagged_contacts", "default_location", "on_gone", "locations"]
    if kind == "opportunity":
        names += ["sync_opportunities", "opportunity_statuses"]
    if (product := held["unified"]) is not None:
        names = [*names, "models"]
        held = {**held, "models": product["models"]}
    own = held["fields"]
    mine = {name: own[name] for name in own if name == "every" or (name == "opportunity") == (kind == "opportunity")}
    # The order of the locations matters (the first match wins), that of the other tables does not.
    locations = list(connection.locations.items())
    return _digest(json.dumps([{name: held[name] for name in names}, locations, mine], sort_keys=True))


def rules_digests(connection: Connection) -> str:
    """A digest of all rules that bear on any record: when it changes, a full pass is due."""
    return _digest("".join(rules_digest(connection, kind) for kind in ("party", "opportunity")))


def carried(connection: Connection, record: Person | Organisation | Opportunity | Attached) -> list[str]:
    """Those tags of the rules that a party carries, as keys; what the pass over tags of interest looks for."""
    if isinstance(record, Opportunity | Attached) or record.tags is None:
        return []
    there = {word_key(tag) for tag in record.tags}
    return sorted(there.intersection(word_key(tag) for tag in connection.tags.tags))


def rests_of(entry: Known | None) -> tuple[str, ...]:
    """The records (`kind|id`) that the last run judged this one by."""
    return tuple(entry.state.get(ACCOUNT, {}).get("rests", {})) if entry is not None else ()


def compare(
    connection: Connection,
    kind: str,
    body: Mapping[str, Json],
    entry: Known | None,
    others: Mapping[str, Known | None],
    *,
    letter: bool,
    full: bool,
) -> Finding | None:
    """Whether a record that a page shows must be opened, and why; None when its run would find nothing new.

    `others` are the ledger entries of the records that `rests_of` names, and of the record's own organisation or party;
    `letter`: it is a dead letter. What is held or failed is tried again by a full pass alone.

    Raises:
        UnreadableRecord: the body has not the shape of a record.
    """
    if entry is None:
        return Finding("new")
    kept = entry.state.get(ACCOUNT)
    if letter and full:
        return Finding("failed")
    kept = kept or NO_ACCOUNT
    changed = kept["body"] != fingerprint(connection, body)
    by_rules = kept["rules"] != rules_digest(connection, kind)
    by_others = any(_differs(others.get(name), seen) for name, seen in kept["rests"].items())
    if changed or by_rules or by_others:
        stays = _stays(connection, kind, body, others, kept["rests"])
        if entry.is_in and not stays:
            return Finding("fell out", releases=True)
        if not entry.is_in and stays:
            return Finding("came in")
        return Finding("changed" if changed else "rules" if by_rules else "rests")
    return Finding("held") if full and entry.outcome == "held" else None


def drifted(wrote: Mapping[str, Json], observed: Mapping[str, Json], same: Same) -> tuple[str, ...]:
    """The fields of ours that the downstream's list shows to hold something else than was written."""
    return tuple(name for name, value in wrote.items() if not same(name, observed.get(name), value))


def agrees(entry: Known | None, seen: Mapping[str, Any]) -> bool:
    """Whether another record's own last run saw what was read of it. One that never ran counts as out, passing nothing on."""
    if entry is None or PASSES_ON not in entry.state:
        return not any(seen.get(name) for name in ("in", "organisation_in", "location"))
    return dict(entry.state[PASSES_ON]) == dict(seen)


def follows(entry: Known, leaving: Iterable[str]) -> bool:
    """Whether a record that is in would leave because these (`kind|id`) leave: it has no right of its own to be in."""
    kept = entry.state.get(ACCOUNT)
    return kept is not None and entry.is_in and not kept["alone"] and any(name in kept["rests"] for name in leaving)


def concerned(kind: str, body: Mapping[str, Json]) -> str | None:
    """The organisation of a person or the party of another record, as `kind|id`, from a list's body."""
    other = body.get("organisation" if kind == "party" else "party") if kind != "user" else None
    number = other.get("id") if isinstance(other, dict) else None
    return f"party|{number}" if isinstance(number, int) else None


def _differs(other: Known | None, seen: list[Any]) -> bool:
    passed_on, number = seen
    return not agrees(other, passed_on) or (other.id if other is not None else None) != number


def _stays(
    connection: Connection, kind: str, body: Mapping[str, Json], others: Mapping[str, Known | None], rests: Iterable[str]
) -> bool:
    """Whether the record is in by what is seen here, with what it rests on as the ledger knows it."""
    # A task of an opportunity rests on that one's party, which its own body does not name.
    other = others.get(concerned(kind, body) or next(iter(rests), ""))
    passed_on: Mapping[str, Any] = other.state.get(PASSES_ON, {}) if other is not None else {}
    if kind == "opportunity":
        deal = opportunity_of(body)
        through = passed_on.get("in") or passed_on.get("organisation_in")
        return connection.sync_opportunities and not deal.restricted and bool(through)
    if kind != "party":
        one = attached_of(kind, body)
        through = passed_on.get("in") or passed_on.get("organisation_in")
        return not one.restricted and (not needs_party(connection, one) or bool(through))
    party = party_of(body)
    if judge_party(connection, party, None).is_in:
        return True
    if party.restricted or not isinstance(party, Person) or connection.tags.excludes(party.tags or ()) is not None:
        return False
    return connection.sync_untagged_contacts and bool(passed_on.get("in"))


def _restless(connection: Connection) -> frozenset[str]:
    texts = [own.text for kind in ("person", "organisation", "opportunity") for own in connection.fields.of(kind)]
    return frozenset(name for name in RESTLESS if not any(name in text for text in texts))


def _settled(value: Any, restless: frozenset[str]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {name: _settled(one, restless) for name, one in value.items() if name not in restless}
    return [_settled(one, restless) for one in value] if isinstance(value, list) else value


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
