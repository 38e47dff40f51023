"""OfficeRnD's v2 protocol without its network: what to ask, what an answer means. Pure (reference/officernd.md §2).

What is unknown there is read the way that is safe both ways: a cursor may be absent, null or empty; a reset may be seconds
left or a point in time; a 500 that we do not know may or may not have had its effect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import quote, urlencode

from mapping.officernd_fields import COMPANY, LINK, MEMBER, OPPORTUNITY, PATHS
from mapping.officernd_match import link_of, match_key
from workers.answers import Answer, Body, NotJson
from workers.errors import CredentialsRefused, Misconfigured, NoAnswer, RateLimited, Refused, SystemDown
from workers.limits import Observation, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM: Final = "officernd"
PAGE: Final = 50  # §2.4
LINK_PROPERTY: Final = LINK.partition(".")[2]  # §3.11
MATCHED_BY: Final[Mapping[str, str]] = {MEMBER: "email", COMPANY: "name"}  # §2.6: what their lists can be filtered by

LOCATION: Final = "location"
STATUS: Final = "opportunity-status"
CUSTOM_PROPERTY: Final = "custom-property"
ALL_PATHS: Final[Mapping[str, str]] = {
    **PATHS,
    LOCATION: "/locations",
    STATUS: "/opportunity-statuses",
    CUSTOM_PROPERTY: "/custom-properties",
}

# The least that works (§1.4): nothing is ever deleted, so no scope for it is asked.
SCOPES: Final = (
    "flex.community.members.read",
    "flex.community.members.create",
    "flex.community.members.update",
    "flex.community.companies.read",
    "flex.community.companies.create",
    "flex.community.companies.update",
    "flex.community.opportunities.read",
    "flex.community.opportunities.create",
    "flex.community.opportunities.update",
    "flex.community.opportunityStatuses.read",
    "flex.space.locations.read",
    "flex.settings.customProperties.read",
)

Side: TypeAlias = Literal["read", "write"]
MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 3_600_000
# §2.8: about 400 reads a minute are known, 100 writes are assumed; the daily numbers are only learned from the headers.
PER_MINUTE: Final[Mapping[Side, int]] = {"read": 400, "write": 100}
UNKNOWN_WAIT_MS: Final = 30_000
LONGEST_MINUTE_WAIT_MS: Final = 60_000

# §2.7: sentences of a 500 that repeat for ever. Parts of them, in lower case.
PERMANENT: Final = (
    "is required",
    "was not found",
    "cast to objectid failed",
    "input must be a 24 character hex string",
    "must be a string of 12 bytes",
    "validation failed",
    "already exists",
    "already in use",
)
WRONG_SLUG: Final = "organization not found"
ADDRESS_ADVICE: Final = "Check officernd.organization (the slug) and officernd.api_url of this connection in relay.toml."

_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
_EPOCH_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Read:
    """One GET. `route` is its template, the only part that an error or a metric may name."""

    route: str
    path: str
    query: tuple[tuple[str, str], ...] = ()

    def url(self, base: str) -> str:
        """The whole address below `base`, which ends in the organisation's slug. Values are encoded: a `+` stays one (§2.6)."""
        return base + self.path + (f"?{urlencode(self.query, quote_via=quote)}" if self.query else "")


def base_url(api_url: str, organization: str) -> str:
    """The address under which everything of an organisation lies (§2.2)."""
    return f"{api_url.rstrip('/')}/organizations/{quote(organization, safe='')}"


def is_id(text: str) -> bool:
    """Whether this can be the id of a record there: 24 hex digits (§3)."""
    return _OBJECT_ID.fullmatch(text) is not None


def one(resource: str, downstream_id: str) -> Read:
    """One record by its id.

    Raises:
        ValueError: it is not an id, so it must not become part of an address.
    """
    if not is_id(downstream_id):
        raise ValueError("An id of OfficeRnD has 24 hex digits.")
    path = ALL_PATHS[resource]
    return Read(f"GET {path}/{{id}}", f"{path}/{downstream_id}")


def page(resource: str, filters: Mapping[str, str], *, cursor: str | None = None) -> Read:
    """A page of a list, of those that pass the filters (§2.4, §2.6: a key that is not documented is refused)."""
    path = ALL_PATHS[resource]
    following = (("$cursorNext", cursor),) if cursor else ()
    return Read(f"GET {path}", path, (*filters.items(), ("$limit", str(PAGE)), *following))


def by_link(link_id: int | str) -> dict[str, str]:
    """The filter for the record that carries a Capsule id (§3.11)."""
    return {f"properties[{LINK_PROPERTY}]": str(link_id)}


def matchable(resource: str, text: str) -> str:
    """The form in which members are found by e-mail and companies by name; "" for what is found by neither."""
    by = MATCHED_BY.get(resource)
    return match_key(by, text) if by else ""


def match_of(resource: str, body: Body) -> str:
    """What a record is found by when it carries no Capsule id: `matchable` of its e-mail or name; "" without one."""
    text = body.get(MATCHED_BY.get(resource, ""))
    return matchable(resource, text) if isinstance(text, str) else ""


def template(path: str) -> str:
    """A path with its ids replaced by `{id}`: what an error or a metric may name."""
    return "/".join("{id}" if is_id(part) else part for part in path.split("/"))


def windows(organization: str, side: Side, *, per_minute: int | None = None) -> tuple[Window, Window]:
    """The limits that a call of one side counts against: a minute's and a day's, per organisation."""
    prefix = f"{SYSTEM}:{organization}:{side}"
    return (
        Window(f"{prefix}-minute", PER_MINUTE[side] if per_minute is None else per_minute, MINUTE_MS),
        Window(f"{prefix}-day", 0, DAY_MS),
    )


def observations(headers: Mapping[str, str], organization: str) -> tuple[Observation, ...]:
    """What the headers say of each window that they name (§2.8)."""
    found = []
    for bucket in ("read-minute", "read-day", "write-minute", "write-day"):
        limit, left = _count(headers, f"x-ratelimit-limit-{bucket}"), _count(headers, f"x-ratelimit-remaining-{bucket}")
        if limit is not None or left is not None:
            name = f"{SYSTEM}:{organization}:{bucket}"
            found.append(Observation(name, limit=limit or None, remaining=left, reset_in_ms=_reset_in_ms(headers, bucket)))
    return tuple(found)


def refusal(headers: Mapping[str, str], side: Side) -> tuple[Literal["minute", "day"], int]:
    """Which window a 429 means and how long it lasts in ms.

    The largest of all `Retry-After…` headers, else the reset of the bucket that is empty, else half a minute; a wait for the
    minute's window is cut at a minute (§2.8).
    """
    spent = [span for span in ("minute", "day") if _count(headers, f"x-ratelimit-remaining-{side}-{span}") == 0]
    told = {name: int(text) * 1000 for name, text in headers.items() if name.startswith("retry-after") and _digits(text)}
    daily = "day" in spent or any(name.endswith("-day") for name in told)
    wait = max(told.values(), default=0)
    if not wait:
        wait = max((_reset_in_ms(headers, f"{side}-{span}") or 0 for span in spent), default=0)
    wait = max(wait or UNKNOWN_WAIT_MS, 1000)
    return ("day", min(wait, DAY_MS)) if daily else ("minute", min(wait, LONGEST_MINUTE_WAIT_MS))


def decipher_read(answer: Answer, *, route: str) -> Any | None:  # noqa: ANN401 - a list may come bare; the caller narrows it
    """The document of an answer to a GET, None for "no such item" (§2.7).

    Raises:
        RateLimited: 429.
        CredentialsRefused: 401 (no token, an expired one or a missing scope: they cannot be told apart), 403.
        SystemDown: 500, 503, an answer that is not OfficeRnD's JSON, or a redirect (maintenance, or a wrong address).
        NoAnswer: 502, 504.
        Misconfigured: "Organization not found", or a route that is not there: slug or address are wrong.
        Refused: another 4xx, or a 500 whose sentence is known to repeat.
    """
    status = answer.status
    where = f"{SYSTEM}: {route}: {status}"
    if status in (200, 404):
        try:
            document = answer.json()
        except NotJson as error:
            raise SystemDown(f"{where}: {error}", system=SYSTEM, status=status, answer=answer.excerpt()) from None
        if status == 200:  # noqa: PLR2004 - "found"
            return document
        if answer.message().startswith("Cannot GET"):  # The route is not there, which says nothing of the record.
            raise Misconfigured(f"{where}: no such route", advice=ADDRESS_ADVICE, system=SYSTEM, status=status, route=route)
        return None
    _refuse(answer, route=route, side="read", body=b"")
    if status in (502, 504):
        raise NoAnswer(where, system=SYSTEM, status=status, answer=answer.excerpt())
    raise SystemDown(where, system=SYSTEM, status=status, answer=answer.excerpt())


def decipher_write(answer: Answer, *, route: str, body: bytes) -> Body:
    """The record that a POST or PUT answers with; empty for a 204.

    Raises:
        RateLimited, CredentialsRefused, Misconfigured: as `decipher_read`; known to have had no effect, as is a redirect.
        Refused: 400, 404, 422 …, or a 500 whose sentence is known to repeat; known to have had no effect.
        SystemDown: 503, known to have had no effect.
        NoAnswer: 502, 504, an unknown 500 (it may have been stored: §2.7), or a success that cannot be read.
    """
    status = answer.status
    where = f"{SYSTEM}: {route}: {status}"
    if status == 204:  # noqa: PLR2004 - "no content"
        return {}
    if status in (200, 201):
        try:
            document = answer.json()
        except NotJson as error:
            raise NoAnswer(f"{where}: {error}", system=SYSTEM, status=status, answer=answer.excerpt()) from None
        if not isinstance(document, dict):
            raise NoAnswer(f"{where}: the answer is not an object", system=SYSTEM, status=status)
        return document
    _refuse(answer, route=route, side="write", body=body)
    if status == 503:  # noqa: PLR2004 - "unavailable"
        raise SystemDown(where, system=SYSTEM, status=status, answer=answer.excerpt())
    raise NoAnswer(where, system=SYSTEM, status=status, answer=answer.excerpt())


def _refuse(answer: Answer, *, route: str, side: Side, body: bytes) -> None:
    """Raises what both sides mean alike; returns for a failure that is neither."""
    status = answer.status
    where = f"{SYSTEM}: {route}: {status}"
    if status == 429:  # noqa: PLR2004 - "too many requests"
        span, wait = refusal(answer.headers, side)
        raise RateLimited(f"{where}: the {span}'s calls are used up", wait_ms=wait, system=SYSTEM, status=status)
    if status in (401, 403):
        raise CredentialsRefused(where, system=SYSTEM, status=status, answer=answer.excerpt())
    message = answer.message().lower() if status == 500 else ""  # noqa: PLR2004 - often the caller's fault here
    method = route.partition(" ")[0]
    if 300 <= status < 400:  # noqa: PLR2004 - every redirect; none of them has had an effect
        raise SystemDown(f"{where}: a redirect", advice=ADDRESS_ADVICE, system=SYSTEM, status=status)
    if WRONG_SLUG in message:
        raise Misconfigured(
            f"{where}: no such organisation",
            advice=ADDRESS_ADVICE,
            system=SYSTEM,
            status=status,
            answer=answer.excerpt(),
            method=method,
            route=route,
            body=body,
        )
    refused = 400 <= status < 500 and status not in (408, 425)  # noqa: PLR2004 - every other refusal
    if refused or any(part in message for part in PERMANENT):
        raise Refused(where, system=SYSTEM, status=status, answer=answer.excerpt(), method=method, route=route, body=body)


def results(document: Any, *, route: str) -> tuple[list[Body], str | None]:  # noqa: ANN401 - narrowed here
    """The records of a page and the cursor of the next, None at the end (§2.4). A bare array is a single page.

    Raises:
        SystemDown: there is no list of records in the answer.
    """
    found = document.get("results") if isinstance(document, dict) else document
    if not isinstance(found, list) or not all(isinstance(item, dict) and isinstance(item.get("_id"), str) for item in found):
        raise SystemDown(f"{SYSTEM}: {route}: there is no list of records in the answer", system=SYSTEM)
    cursor = document.get("cursorNext") if isinstance(document, dict) else None
    return found, cursor if isinstance(cursor, str) and cursor else None


def _digits(text: str) -> bool:
    return text.isascii() and text.strip().isdigit() and len(text) <= 14  # noqa: PLR2004 - no number has more


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if _digits(text) else None


def _reset_in_ms(headers: Mapping[str, str], bucket: str) -> int | None:
    """Seconds left, or a point in time (§2.8 only assumes the first), which is compared with the answer's own `Date`."""
    reset = _count(headers, f"x-ratelimit-reset-{bucket}")
    if reset is None or reset < _EPOCH_S:
        return None if reset is None else reset * 1000
    try:
        return max(round((reset - parsedate_to_datetime(headers["date"]).timestamp()) * 1000), 0)
    except (KeyError, ValueError):
        return None


__all__ = ["COMPANY", "MEMBER", "OPPORTUNITY", "Read", "Side", "link_of"]
