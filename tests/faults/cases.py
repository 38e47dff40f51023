"""The cases: what goes wrong, and for how long. The numbers are those of reference/dramatiq-redis.md C2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis

from tests.faults.installation import pause
from tests.faults.load import Profile
from tests.faults.mischief import MISCHIEF
from tests.faults.replaying import REPLAY
from tests.faults.rolling import ROLLING
from tests.faults.scene import Case, Scene
from tests.faults.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.installation import Kind

BUSY = {"statusCode": 503, "message": "busy"}
THROTTLED = {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}
OWN = {"own_redis": True}
MOST_DEATHS = 3


# ---------------------------------------------------------------------- processes
def killing(*kinds: Kind, every: tuple[float, float]) -> Callable[[Scene], None]:
    """`kill -9` of one of these kinds at random moments, without waiting for what the one before has left."""

    def faults(scene: Scene) -> None:
        while scene.wait(*every):
            scene.kill(scene.chance.choice(kinds))

    return faults


def kill_everything(scene: Scene) -> None:
    """All kinds in a shuffled round, so that each gets its share."""
    kinds: list[Kind] = ["receiver", "worker child", "worker master", "solo child", "clock", "redis"]
    with Witness(scene.installation) as witness:
        while not scene.over():
            scene.chance.shuffle(kinds)
            for kind in kinds:
                if not scene.wait(0.5, 3.5):
                    break
                if kind != "solo child" or may_die_again(scene):
                    scene.kill(kind)
    scene.figures.update(witness.told())


def may_die_again(scene: Scene) -> bool:
    """Whether no record has died twice: after a third time in a row it is meant to be buried, whoever killed its worker."""
    try:
        with scene.installation.store() as store:
            return all(int(deaths) < MOST_DEATHS - 1 for deaths in store.hvals("relay:deaths"))
    except redis.RedisError:
        return False


def kill_group(scene: Scene) -> None:
    """Both worker processes, the solo one and the clock at the same moment."""
    while scene.wait(0.5, 3.5) and scene.wait(0.0, scene.installation.lease_s):
        group: tuple[Kind, ...] = ("worker child", "worker master", "clock", "receiver")
        for kind in group:
            scene.kill(kind)


def freeze(scene: Scene) -> None:
    """A worker stands still for longer than its lease, and goes on with whatever it was about to do."""
    lease = scene.installation.lease_s
    while scene.wait(0.5, 2.0):
        with scene.installation.frozen("worker child") as number:
            scene.faults["worker child frozen"] += number
            pause(scene.chance.uniform(0.5, lease + 1.0))


# ---------------------------------------------------------------------- Redis
def stall(scene: Scene) -> None:
    """Redis stands still (SIGSTOP) for 1, 4 or 7 seconds."""
    while scene.wait(1.0, 4.0):
        with scene.installation.frozen("redis") as number:
            scene.faults["Redis frozen"] += number
            pause(min(scene.chance.choice((1.0, 4.0, 7.0)), scene.left() + 1.0))


def flap(scene: Scene) -> None:
    """The connections to Redis are cut every half to two seconds, for up to a second."""
    proxy = scene.installation.redis_proxy
    assert proxy is not None
    while scene.wait(0.5, 2.0):
        proxy.switch("refuse")
        scene.faults["Redis cut"] += 1
        pause(scene.chance.uniform(0.0, 1.0))
        proxy.switch("pass")


def lose_answers(scene: Scene) -> None:
    """Commands reach Redis and their answers do not come back."""
    proxy = scene.installation.redis_proxy
    assert proxy is not None
    while scene.wait(0.3, 1.5):
        before = proxy.ended
        proxy.switch("lose answers")
        pause(0.1)
        proxy.switch("pass")
        scene.faults["answers of Redis lost"] += proxy.ended - before


def refuse_writes(scene: Scene) -> None:
    """Out of memory, read-only, without the replicas that it asks for: Redis answers and takes no write."""
    spoilt = (
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "out of memory"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "read-only"),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", "no replicas"),
    )
    while scene.wait(1.0, 3.0):
        spoil, mend, name = scene.chance.choice(spoilt)
        scene.installation.command(*spoil.split())
        scene.faults[f"Redis {name}"] += 1
        pause(scene.chance.uniform(0.5, 3.0))
        scene.installation.command(*mend.split())


# ---------------------------------------------------------------------- the vendors
def throttled(scene: Scene) -> None:
    """429 from both vendors, with and without a word about when to come again."""
    scene.strike("capsule", route="GET *", kind="status", status=429, body={"error": "rate limit reached"}, chance=0.1)
    told = {"Retry-After-write-minute": "1"}
    scene.strike("officernd", route="PUT *", kind="status", status=429, body=THROTTLED, headers=told, chance=0.15)
    scene.strike("officernd", route="POST /members", kind="status", status=429, body=THROTTLED, chance=0.15)
    scene.wait(scene.left(), scene.left())


def storm(scene: Scene) -> None:
    """OfficeRnD is down altogether, comes back, and answers every third request with an error of its own."""
    while not scene.over():
        scene.strike("officernd", route="*", kind="status", status=503, body=BUSY)
        scene.wait(2.0, 5.0)
        scene.peace()
        for status in (500, 502, 504):
            scene.strike("officernd", route="*", kind="status", status=status, body=BUSY, chance=0.12)
        scene.strike("officernd", route="*", kind="html", chance=0.05)
        scene.strike("capsule", route="GET *", kind="status", status=502, body={"message": "bad gateway"}, chance=0.1)
        scene.wait(3.0, 6.0)
        scene.peace()


def slow(scene: Scene) -> None:
    """Answers that take longer than a call may, bodies that drip, and writes that are applied after we gave up."""
    deadline = scene.installation.lease_s / 2
    scene.strike("officernd", route="PUT *", kind="slow", seconds=deadline + 0.5, chance=0.04)
    scene.strike("officernd", route="POST *", kind="slow", seconds=deadline + 0.5, chance=0.04)
    scene.strike("officernd", route="GET *", kind="drip", seconds=0.5, chance=0.05)
    scene.strike("officernd", route="PUT *", kind="stall", seconds=deadline + 1, chance=0.03)
    scene.strike("capsule", route="GET *", kind="stall", seconds=deadline + 1, chance=0.02)
    scene.strike("capsule", route="GET *", kind="drip", seconds=0.5, chance=0.02)
    scene.wait(scene.left(), scene.left())


def ambiguous(scene: Scene) -> None:
    """A third of the writes is applied and its answer lost; some are cut before they are applied."""
    for route in ("POST *", "PUT *"):
        scene.strike("officernd", route=route, kind="lost", chance=0.3)
        scene.strike("officernd", route=route, kind="cut", chance=0.1)
    scene.wait(scene.left(), scene.left())


def unreachable(scene: Scene) -> None:
    """OfficeRnD refuses connections, stands still, or loses its answers, by a proxy before it."""
    proxy = scene.installation.vendor_proxy
    assert proxy is not None
    while scene.wait(0.5, 2.0):
        how = scene.chance.choice(("refuse", "stall", "lose answers"))
        proxy.switch("refuse" if how == "refuse" else "stall" if how == "stall" else "lose answers")
        scene.faults[f"OfficeRnD {how}"] += 1
        pause(scene.chance.uniform(0.1, 2.0))
        proxy.switch("pass")


def expired(scene: Scene) -> None:
    """OfficeRnD's token ends in the middle of the work, again and again; at most five may be asked for in a minute."""
    scene.installation.officernd.control("POST", "limits", {"token_minute": 5, "minute_seconds": 10})
    while scene.wait(1.0, 4.0):
        scene.strike("officernd", route=scene.chance.choice(("GET *", "PUT *")), kind="token_expired", count=1)


# ---------------------------------------------------------------------- deliveries
def nothing(scene: Scene) -> None:
    """No fault but the disorder of the deliveries themselves."""
    scene.wait(scene.left(), scene.left())
    load = scene.load
    assert load is not None
    scene.faults["deliveries doubled or out of order"] += max(0, len(load.sent.deliveries) - load.sent.edits)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("kill-receiver", "1", "kill -9 of the receiver", killing("receiver", every=(0.5, 3.0)), short=False),
        Case(
            "kill-worker",
            "2",
            "kill -9 of worker child or master",
            killing("worker child", "worker master", every=(1.0, 5.0)),
            short=False,
        ),
        Case("kill-clock", "2", "kill -9 of the clock", killing("clock", every=(0.5, 3.0)), short=False),
        Case("kill-group", "2", "kill -9 of workers, clock and receiver at once", kill_group),
        Case(
            "kill-redis",
            "3",
            "kill -9 of Redis, started again with its append-only file",
            killing("redis", every=(1.0, 5.0)),
            short=False,
        ),
        Case(
            "kill-all",
            "1-3, 14",
            "kill -9 of everything in turn, never drained between",
            kill_everything,
            profile=Profile(edits=20.0, copies=12),
        ),
        Case("freeze-worker", "2", "a worker frozen beyond its lease, then going on", freeze),
        Case("redis-stall", "5", "Redis frozen for 1, 4 or 7 s", stall),
        Case("redis-flap", "6", "connections to Redis cut every 0.5 to 2 s", flap, OWN),
        Case("redis-answers", "6", "answers of Redis lost", lose_answers, OWN),
        Case("redis-refuses", "7", "Redis out of memory, read-only, without replicas", refuse_writes),
        Case("throttled", "8", "429 from both vendors, with and without Retry-After", throttled, short=False),
        Case("storm", "9", "OfficeRnD down, then 500, 502, 504 and HTML", storm),
        Case("slow", "10, 12", "calls beyond their deadline, dripping bodies, writes applied late", slow),
        Case(
            "unreachable",
            "10",
            "OfficeRnD refuses, hangs, loses answers (proxy)",
            unreachable,
            {"vendor_proxy": True},
            short=False,
        ),
        Case("ambiguous", "11", "writes applied, answers lost", ambiguous, profile=Profile(created=0.3)),
        Case("expired", "17", "tokens end in the middle, five new ones a minute", expired, short=False),
        Case(
            "disorder",
            "14, 15",
            "deliveries tenfold, late, out of order, with deletions",
            nothing,
            profile=Profile(copies=10, spread=4.0, batched=0.3, created=0.15, deleted=0.1),
        ),
        *MISCHIEF,
        ROLLING,
        REPLAY,
    )
}
