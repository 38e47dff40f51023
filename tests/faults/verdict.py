"""The judgement after a run: both simulators compared record by record, their request logs, Redis, and every file on disk.

`lost`      deliveries that were accepted and that no read of their record followed, and records that are out of step
`late`      deliveries whose record was first read more than a minute after they were accepted
`doubled`   records of OfficeRnD that carry a Capsule id which another one carries too
`stale`     writes of a value older than one that had been written before (names carry growing numbers)
`undone`    the same by requests that the simulator held back on purpose (fault `slow`): allowed, if it was put right
`stuck`     records that are still open, or dead letters, when the time for catching up is over
`leaked`    places where a secret or personal data stands in plain text
"""

from __future__ import annotations

import bisect
import contextlib
import re
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from tests.acceptance.harness import NAME
from tests.demo.compare import compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.demo.compare import Place
    from tests.faults.installation import Installation
    from tests.faults.load import Delivery, Sent

LATE_SECONDS = 60.0
EXAMPLES = 5
NAMED = re.compile(r"r(\d{8})")
KINDS = {"parties": "party", "opportunities": "opportunity"}
SECRETS = (b"canary", b"officernd-secret", b"capsule-token")


@dataclass
class Verdict:
    """What was found; all of the first group must be zero."""

    lost: int = 0
    doubled: int = 0
    stale: int = 0
    stuck: int = 0
    leaked: int = 0
    bugs: int = 0
    late: int = 0
    undone: int = 0
    buried: int = 0
    records: int = 0
    deliveries: int = 0
    changes: int = 0
    writes: int = 0
    reads: int = 0
    refused: int = 0
    longest_lag_s: float = 0.0
    catch_up_s: float = 0.0
    accept_p99_ms: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.stale or self.stuck or self.leaked or self.bugs)

    def say(self, text: str) -> None:
        """Keeps the first few examples of what is wrong."""
        if len(self.examples) < EXAMPLES:
            self.examples.append(text)

    def document(self) -> dict[str, Any]:
        """For the file of results."""
        return asdict(self)


def judge(installation: Installation, sent: Sent, *, marks: Mapping[str, int], ever: Iterable[Place]) -> Verdict:
    """Everything but the time, which only the run itself knows. `marks` are the last requests before the load, by simulator."""
    verdict = Verdict(deliveries=sent.accepted, changes=sent.edits)
    verdict.refused = sum(number for answer, number in sent.answers.items() if answer != "202")
    if sent.accept_ms:
        verdict.accept_p99_ms = round(sorted(sent.accept_ms)[int(0.99 * (len(sent.accept_ms) - 1))], 1)
    _compare(installation, verdict, ever)
    _read(installation, verdict, sent.deliveries, marks["capsule"])
    _written(installation, verdict, marks["officernd"])
    _left(installation, verdict)
    _leaked(installation.directory, verdict)
    return verdict


def _compare(installation: Installation, verdict: Verdict, ever: Iterable[Place]) -> None:
    capsule = installation.capsule.control("GET", "state")
    officernd = installation.officernd_state()
    compared = compare(capsule, officernd, ever=ever)
    links = Counter(
        (resource, one["properties"]["capsule_link_id"])
        for resource in ("members", "companies", "opportunities")
        for one in officernd[resource]
        if (one.get("properties") or {}).get("capsule_link_id")
    )
    verdict.records = compared.expected
    verdict.doubled = sum(number - 1 for number in links.values())
    verdict.lost = compared.expected - compared.in_step
    for difference in compared.differences:
        verdict.say(difference)


def _read(installation: Installation, verdict: Verdict, deliveries: Iterable[Delivery], since: int) -> None:
    """Every accepted delivery must be followed by a read of each of its records that began after it was sent."""
    reads: dict[tuple[str, int], list[float]] = defaultdict(list)
    # A page of a full pass shows what it holds as well as a read does, and a body of it is used only if nothing is newer.
    pages: dict[str, list[float]] = defaultdict(list)
    for one in installation.capsule.control("GET", f"requests?since={since}")["requests"]:
        route, _, rest = one["path"].removeprefix("/api/v2/").partition("/")
        if one["method"] != "GET" or one["status"] not in {200, 404} or route not in KINDS:
            continue
        verdict.reads += 1
        if not rest:
            pages[KINDS[route]].append(one["at"])
        for number in rest.split(","):
            if number.isdigit():
                reads[KINDS[route], int(number)].append(one["at"])
    for delivery in deliveries:
        if not delivery.accepted:
            continue
        for number in delivery.ids:
            moments = sorted(reads[delivery.kind, number] + pages[delivery.kind])
            place = bisect.bisect_left(moments, delivery.sent)
            if place == len(moments):
                verdict.lost += 1
                verdict.say(f"{delivery.kind} {number} was delivered at {delivery.sent:.3f} and not read afterwards")
                continue
            lag = moments[place] - delivery.accepted
            verdict.longest_lag_s = max(verdict.longest_lag_s, round(lag, 1))
            verdict.late += lag > LATE_SECONDS


def _written(installation: Installation, verdict: Verdict, since: int) -> None:
    """No write may carry an older value than one that was applied before it."""
    links = {
        one["_id"]: (resource, one["properties"]["capsule_link_id"])
        for resource, ones in installation.officernd_state().items()
        if resource in {"members", "companies", "opportunities"}
        for one in ones
        if (one.get("properties") or {}).get("capsule_link_id")
    }
    applied = []
    for one in installation.officernd.control("GET", f"requests?since={since}")["requests"]:
        if one["method"] not in {"POST", "PUT"} or one["path"].startswith("/oauth") or not isinstance(one["body"], dict):
            continue
        verdict.writes += 1
        if one["fault"] not in {"lost", "slow"} and not (one["status"] and one["status"] < 300):
            continue
        found = NAMED.search(str(one["body"].get("name", "")))
        resource, _, number = one["path"].partition("/organizations/acme-spaces/")[2].partition("/")
        body = one["body"][0] if isinstance(one["body"], list) else one["body"]
        who = links.get(number) if number else (resource, str(body.get("properties", {}).get("capsule_link_id")))
        if found and who:
            when = one["at"] + ((one["seconds"] or 0.0) if one["fault"] == "slow" else 0.0)
            applied.append((when, one["n"], who, int(found[1]), one["fault"] == "slow"))
    newest: dict[Any, int] = {}
    for when, n, who, number, held_back in sorted(applied):
        if number < newest.get(who, 0):
            if held_back:
                verdict.undone += 1
            else:
                verdict.stale += 1
                verdict.say(f"{who}: request {n} at {when:.3f} wrote r{number:08d} after r{newest[who]:08d}")
        newest[who] = max(number, newest.get(who, 0))


def _left(installation: Installation, verdict: Verdict) -> None:
    """What Redis still holds: nothing open, no lease, no bell that matters, no letter."""
    with installation.store() as store:
        still = store.zcard("relay:open")
        letters = [name.decode() for name in store.hkeys("relay:letters")]
        verdict.buried = len(letters)
        verdict.stuck = still + len(letters)
        if still:
            verdict.say(f"still open: {[one.decode() for one in store.zrange('relay:open', 0, 4)]}")
        for letter in letters[:2]:
            trouble = store.hget("relay:letters", letter) or b""
            verdict.say(f"dead letter: {letter} {trouble[:80].decode(errors='replace')}")
        left = {name: store.hlen(f"relay:{name}") for name in ("lease", "seq", "place", "body", "attempts", "deaths")}
        if not still and any(left.values()):
            verdict.bugs += 1
            verdict.say(f"nothing is open, and still there is {left}")
        for name in store.scan_iter("dramatiq:*.msgs"):
            for body in store.hvals(name):
                # Bells alone may be left, and what is no message at all: without a word about any record.
                with contextlib.suppress(orjson.JSONDecodeError):
                    message = orjson.loads(body)
                    if message["args"] or message["kwargs"]:
                        verdict.stuck += 1
                        verdict.say(f"a message that matters in {name.decode()}")
    log = installation.log()
    for line in log.splitlines():
        if '"event":"audit"' in line or '"event": "audit"' in line or "please report this" in line or '"bug"' in line:
            verdict.bugs += 1
            verdict.say(line[:300])


def _leaked(directory: Path, verdict: Verdict) -> None:
    """Secrets and personal data in plain text, in the log and in what Redis keeps on disk."""
    files = [
        directory / "up.log",
        *directory.glob("**/appendonlydir/*"),
        *directory.glob("**/*.log"),
        *directory.glob("**/spool/*"),
    ]
    for file in sorted({one for one in files if one.is_file()}):
        data = file.read_bytes()
        for secret in SECRETS:
            if secret in data:
                at = data.index(secret)
                verdict.leaked += 1
                verdict.say(f"{secret.decode()} in {file.name}: {data[max(0, at - 60) : at + 60]!r}")


def everything(state: Mapping[str, Any]) -> set[Place]:
    """The places that all records of Capsule would have in OfficeRnD."""
    found: set[Place] = {("opportunities", str(one["id"])) for one in state["opportunities"]}
    found |= {("companies" if one["type"] == "organisation" else "members", str(one["id"])) for one in state["parties"]}
    return found


assert NAME == "acme"  # the path of OfficeRnD's requests above is that organisation's
