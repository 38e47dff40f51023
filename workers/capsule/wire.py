"""Capsule's protocol without its network: what to ask, and what an answer means. Pure (reference/capsule.md §2 to §5).

Nothing here follows an address that Capsule sends: of a `Link` only the page number is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson

from workers.answers import Answer, Body, NotJson
from workers.errors import CredentialsRefused, NoAnswer, RateLimited, Refused, SystemDown
from workers.limits import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SYSTEM: Final = "capsule"
MOST_IDS: Final = 10  # §3.7
MOST_PER_PAGE: Final = 100  # §3.3
HOURLY: Final = 4000  # §3.1
HOUR_MS: Final = 3_600_000
UNKNOWN_WAIT_MS: Final = 60_000
MOST_WAIT_MS: Final = HOUR_MS

COLLECTIONS: Final = {
    "party": "parties",
    "opportunity": "opportunities",
    "kase": "kases",
    "task": "tasks",
    "user": "users",
    "entry": "entries",
}
SHARED: Final = ("party", "opportunity", "kase", "task")  # several of these are answered in one call (§3.7, §5.1)
SINCE: Final = ("party", "opportunity", "kase")  # and of these alone what was changed or deleted since a moment (§3.4, §3.6)
MOST_ENTRIES: Final = 50  # §5.5
# §3.5. An embedded party brings no tags that we could rely on, so an opportunity's party is read by itself.
EMBED: Final = {
    "party": "tags,fields,organisation",
    "opportunity": "tags,fields,milestone",
    "kase": "tags,fields",
    "task": "party,opportunity,kase,owner",
    "user": "party",
    "entry": "party,kase,opportunity,creator,activityType",
}

_LINK: Final = re.compile(r"<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:\"[^\"]*\"|[^\s;,\"]+))*)")
_REL: Final = re.compile(r"rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Read:
    """One read: a GET, or with a `body` a POST. `route` is its template, the only part that an error or a metric may name."""

    route: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def url(self, base: str) -> str:
        """The whole address below `base`, which ends in `/api/v2`."""
        return base.rstrip("/") + self.path + (f"?{urlencode(self.query, safe=',:')}" if self.query else "")


CURRENT_USER: Final = Read("GET /users/current", "/users/current")  # every token opens it


def records(kind: str, ids: Sequence[int]) -> Read:
    """One record, or several of a kind in one call (§3.7).

    Raises:
        ValueError: no id, or more than ten.
    """
    if not 1 <= len(ids) <= MOST_IDS:
        raise ValueError(f"Capsule answers 1 to {MOST_IDS} ids a call, not {len(ids)}.")
    name = COLLECTIONS[kind]
    template = f"GET /{name}/{{id}}" if len(ids) == 1 else f"GET /{name}/{{ids}}"
    return Read(template, f"/{name}/{','.join(str(number) for number in ids)}", (("embed", EMBED[kind]),))


def listing(kind: str, *, page: int, since: str | None = None, per_page: int = MOST_PER_PAGE) -> Read:
    """A page of all records of a kind, or of those changed after `since` (ISO 8601; §3.3, §3.4).

    Of tasks, which have no `since`, those that are open are answered instead: closing one is an event (§5.1).
    """
    name = COLLECTIONS[kind]
    query = _paging(page, min(per_page, MOST_ENTRIES) if kind == "entry" else per_page, EMBED[kind])
    if kind == "task":
        query = (("status", "open,pending" if since else "open,completed,pending"), *query)
    if kind not in SINCE:
        since = None
    return Read(f"GET /{name}", f"/{name}", (("since", since), *query) if since else query)


def deleted(kind: str, *, since: str, page: int = 1) -> Read:
    """What was deleted, or hidden from us, after `since` (ISO 8601; §3.6).

    No pages are documented for it (§3.3), so the first call names none; an answer that says that there are more is believed.
    """
    name = COLLECTIONS[kind]
    query = (("since", since),) if page == 1 else (("since", since), ("page", str(page)))
    return Read(f"GET /{name}/deleted", f"/{name}/deleted", query)


def tagged(tag: str, *, page: int) -> Read:
    """A page of the parties that carry a tag, by an ad-hoc filter: a read despite POST (§3.9)."""
    condition = {"field": "tag", "operator": "is", "value": tag}
    body = orjson.dumps({"filter": {"conditions": [condition]}})
    route = "POST /parties/filters/results"
    return Read(route, "/parties/filters/results", _paging(page, MOST_PER_PAGE, EMBED["party"]), body)


def people(organisation_id: int, *, page: int) -> Read:
    """A page of the persons of an organisation (§5.1)."""
    query = _paging(page, MOST_PER_PAGE, EMBED["party"])
    return Read("GET /parties/{id}/people", f"/parties/{organisation_id:d}/people", query)


def opportunities_of(party_id: int, *, page: int) -> Read:
    """A page of the opportunities of a party (§5.1)."""
    query = _paging(page, MOST_PER_PAGE, EMBED["opportunity"])
    return Read("GET /parties/{id}/opportunities", f"/parties/{party_id:d}/opportunities", query)


def kases_of(party_id: int, *, page: int) -> Read:
    """A page of the kases of a party (§5.1)."""
    query = _paging(page, MOST_PER_PAGE, EMBED["kase"])
    return Read("GET /parties/{id}/kases", f"/parties/{party_id:d}/kases", query)


def pipelines(*, page: int) -> Read:
    """A page of the pipelines. `GET /milestones` would show those of one pipeline only (§6, trap 4)."""
    return Read("GET /pipelines", "/pipelines", _paging(page, MOST_PER_PAGE, None))


def milestones(pipeline_id: int, *, page: int) -> Read:
    """A page of the milestones of one pipeline (§5.4)."""
    return Read("GET /pipelines/{id}/milestones", f"/pipelines/{pipeline_id:d}/milestones", _paging(page, MOST_PER_PAGE, None))


def definitions(entity: str, *, page: int) -> Read:
    """A page of the custom fields of `parties`, `opportunities` or `kases` (§5.4)."""
    route = f"/{entity}/fields/definitions"
    return Read(f"GET {route}", route, _paging(page, MOST_PER_PAGE, None))


def stages(*, page: int) -> Read:
    """A page of the stages of all boards, the archived ones too: a project may stand on one (§5.4)."""
    return Read("GET /stages", "/stages", (("status", "all"), *_paging(page, MOST_PER_PAGE, None)))


def users(*, page: int) -> Read:
    """A page of the users, each with its party, which holds the e-mail address (§4.6)."""
    return Read("GET /users", "/users", _paging(page, MOST_PER_PAGE, "party"))


def _paging(page: int, per_page: int, embed: str | None) -> tuple[tuple[str, str], ...]:
    paging = (("page", str(page)), ("perPage", str(per_page)))
    return (*paging, ("embed", embed)) if embed else paging


def links(header: str) -> dict[str, str]:
    """The targets of a `Link` header by relation (RFC 5988)."""
    found: dict[str, str] = {}
    for target, parameters in _LINK.findall(header):
        for quoted, bare in _REL.findall(parameters):
            for relation in (quoted or bare).split():
                found.setdefault(relation.lower(), target)
    return found


def next_page(headers: Mapping[str, str], page: int) -> int | None:
    """The number of the page after `page`, None at the end.

    `X-Pagination-Has-More` decides where it is sent, else the presence of a `next` link (§3.3). Only the page's number is
    taken from the link, and only if it leads on.
    """
    more = headers.get("x-pagination-has-more", "").strip().lower()
    target = links(headers.get("link", "")).get("next")
    if more == "false" or (not more and target is None):
        return None
    try:
        told = parse_qs(urlsplit(target or "").query).get("page", [""])[0]
    except ValueError:
        told = ""
    return int(told) if told.isascii() and told.isdigit() and page < int(told) else page + 1


def observation(headers: Mapping[str, str], window: str) -> Observation | None:
    """What the rate-limit headers say (§3.1), None without them.

    The reset is in whole seconds of Capsule's clock, so it is compared with the answer's own `Date` and not with our clock.
    """
    limit, remaining = _count(headers, "x-ratelimit-limit"), _count(headers, "x-ratelimit-remaining")
    if limit is None and remaining is None:
        return None
    return Observation(window, limit=limit or None, remaining=remaining, reset_in_ms=_reset_in_ms(headers))


def wait_ms(headers: Mapping[str, str]) -> int:
    """How long a 429 means, in milliseconds: until the reset, or a minute where it is not told. At least one second."""
    reset = _reset_in_ms(headers)
    return UNKNOWN_WAIT_MS if reset is None else min(max(reset, 1000), MOST_WAIT_MS)


def _reset_in_ms(headers: Mapping[str, str]) -> int | None:
    reset = _count(headers, "x-ratelimit-reset")
    if reset is None:
        return None
    try:
        now = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    return max(round((reset - now) * 1000), 0)


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None  # noqa: PLR2004 - no number has more


def decipher(answer: Answer, *, route: str) -> Body | None:
    """The document of an answer, None for a 404: not there, or not to be seen by us (§3.10).

    A 404 counts only in Capsule's own form: a proxy's page must not make us believe that a record is gone.

    Raises:
        RateLimited: 429; `wait_ms` until the reset.
        CredentialsRefused: 401, or 403 (a scope or a role is missing).
        SystemDown: 5xx, an answer that is not Capsule's JSON, or a redirect (maintenance, or a wrong address in the settings).
        NoAnswer: 502, 504.
        Refused: another 4xx.
    """
    status = answer.status
    where = f"{SYSTEM}: {route}: {status}"
    if status in (200, 404):
        try:
            document = answer.json()
        except NotJson as error:
            raise SystemDown(f"{where}: {error}", system=SYSTEM, status=status, answer=answer.excerpt()) from None
        if status == 404:  # noqa: PLR2004 - "not found"
            return None
        if not isinstance(document, dict):
            raise SystemDown(f"{where}: the answer is not an object", system=SYSTEM, status=status)
        return document
    if status == 429:  # noqa: PLR2004 - "too many requests"
        raise RateLimited(f"{where}: the hour's calls are used up", wait_ms=wait_ms(answer.headers), system=SYSTEM, status=status)
    if status in (401, 403):
        raise CredentialsRefused(where, system=SYSTEM, status=status, answer=answer.excerpt())
    if status in (502, 504):
        raise NoAnswer(where, system=SYSTEM, status=status, answer=answer.excerpt())
    if 300 <= status < 400:  # noqa: PLR2004 - every redirect
        advice = "Check capsule.api_url of this connection in relay.toml: Capsule's API sends nobody elsewhere."
        raise SystemDown(f"{where}: a redirect", advice=advice, system=SYSTEM, status=status)
    if 400 <= status < 500 and status not in (408, 425):  # noqa: PLR2004 - every other refusal
        raise Refused(where, system=SYSTEM, status=status, answer=answer.excerpt(), method="GET", route=route)
    raise SystemDown(where, system=SYSTEM, status=status, answer=answer.excerpt())


def one(document: Body, kind: str, number: int) -> Body | None:
    """The record `number` in the answer of a read of one; None when it is restricted, or another one (a merged party).

    Raises:
        SystemDown: there is no record in the answer.
    """
    found = document.get(kind)
    if not _is_record(found):
        raise SystemDown(f"{SYSTEM}: GET /{COLLECTIONS[kind]}/{{id}}: there is no {kind} in the answer", system=SYSTEM)
    return seen(found) if found["id"] == number else None


def many(document: Body, wrapper: str, *, route: str) -> list[Body]:
    """The records of a list.

    Raises:
        SystemDown: the answer has no such list, or something else is in it.
    """
    found = document.get(wrapper)
    if not isinstance(found, list) or not all(_is_record(item) for item in found):
        raise SystemDown(f"{SYSTEM}: {route}: there is no list of {wrapper} in the answer", system=SYSTEM)
    return found


def gone(document: Body, kind: str) -> list[int]:
    """The ids in an answer of `deleted`: deleted ones and those that became hidden (§3.6)."""
    name = COLLECTIONS[kind]
    found = many(document, name, route=f"GET /{name}/deleted")
    hidden = document.get(f"restricted{name.capitalize()}") or []
    return [item["id"] for item in [*found, *hidden] if _is_record(item)]


def seen(body: Body) -> Body | None:
    """The record, or None when Capsule hides it from us: its name would read "Private" (§3.6, §6 trap 10)."""
    return None if body.get("isRestricted") is True else body


def _is_record(found: Any) -> TypeGuard[Body]:  # noqa: ANN401 - any JSON
    return isinstance(found, dict) and isinstance(found.get("id"), int) and not isinstance(found["id"], bool)
