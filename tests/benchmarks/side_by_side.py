"""The same work and the same faults for Capsule Relay, stock Dramatiq and Celery: `make side-by-side`.

Each drives the same simulators by the same mapping, is told by the same deliveries (posted again until they are accepted), and
meets the same faults from the same seed: `kill -9` of receiver, worker child, worker master and Redis, connections to Redis cut,
OfficeRnD answering 503 now and then and losing answers. Then the faults end, and each has --patience seconds to catch up.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.acceptance.harness import until
from tests.benchmarks.contest import PeerInstallation
from tests.demo.compare import compare, expected
from tests.faults import book
from tests.faults.installation import Installation, pause
from tests.faults.load import TOKEN, Load, Profile
from tests.faults.scene import Scene, last
from tests.faults.verdict import Verdict, _written

if TYPE_CHECKING:
    from tests.faults.installation import Kind

PEOPLE_OF_A_HUNDRED = {"organisations": 15, "people": 85}
# Each change is told once, as a vendor does, and they come thirty at a time, as from an import.
PROFILE = Profile(edits=12.0, burst=30, copies=1, deals=0.0, created=0.15, batched=0.0)
BUSY = {"statusCode": 503, "message": "busy"}
NAMES = {
    "relay": "Capsule Relay",
    "dramatiq": "Dramatiq 2.2.1, `actor.send`, its defaults",
    "celery": "Celery 5, its defaults",
    "celery-late": "Celery 5, `acks_late`, `reject_on_worker_lost`",
}


def faults(scene: Scene) -> None:
    """A shuffled round of kills and cuts, with a downstream that is not well meanwhile."""
    scene.strike("officernd", route="PUT *", kind="status", status=503, body=BUSY, chance=0.03)
    scene.strike("officernd", route="POST /members", kind="status", status=503, body=BUSY, chance=0.03)
    scene.strike("officernd", route="PUT *", kind="lost", chance=0.05)
    scene.strike("officernd", route="POST /members", kind="lost", chance=0.1)
    proxy = scene.installation.redis_proxy
    assert proxy is not None
    kinds: list[Kind | None] = ["receiver", "worker child", "worker master", "redis", None, None]
    while not scene.over():
        scene.chance.shuffle(kinds)
        for kind in kinds:
            if not scene.wait(1.0, 4.0):
                return
            if kind is not None:
                scene.kill(kind)
                continue
            proxy.switch("refuse")
            scene.faults["Redis cut"] += 1
            pause(0.5)
            proxy.switch("pass")


def main() -> int:
    """Prints one JSON document for each, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="of the benchmarks' virtual environment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--records", type=int, default=1200)
    parser.add_argument("--patience", type=float, default=180.0)
    parser.add_argument("--only", default=",".join(NAMES))
    given = parser.parse_args()
    seed = given.seed or random.randrange(1, 1_000_000)
    print(f"seed {seed}, {given.seconds:.0f} s of faults, {given.records} records, commit {book.commit()}", flush=True)
    results = {}
    for name in given.only.split(","):
        with tempfile.TemporaryDirectory(prefix=f"side-{name}-") as folder:
            results[name] = contest(name, Path(folder), given, seed)
        print(json.dumps({"contestant": name, **results[name]}), flush=True)
    print(table(results))
    return int(any(results["relay"][wrong] for wrong in ("lost", "stuck", "doubled", "stale")) if "relay" in results else 0)


def contest(name: str, folder: Path, given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One contestant's run."""
    installation: Installation
    if name == "relay":
        installation = Installation(folder, own_redis=True)
    else:
        late = {"PEER_ACKS_LATE": "1"} if name == "celery-late" else {}
        installation = PeerInstallation(folder, peer=name.partition("-")[0], python=given.python.absolute(), environment=late)
    with installation:
        scene = Scene(installation, seed=seed)
        seeded(installation, given.records, seed)
        first(installation)
        return measured(scene, given.seconds, given.patience)


def seeded(installation: Installation, records: int, seed: int) -> None:
    """The same account for each."""
    user = installation.capsule.control("POST", "users", {"name": "Load", "username": "load", "admin": True})
    installation.capsule.control("POST", "tokens", {"token": TOKEN, "user": user["id"]})
    wanted = {name: share * records // 100 for name, share in PEOPLE_OF_A_HUNDRED.items()}
    installation.capsule.control("POST", "seed", {**wanted, "seed": seed % 1000, "tags": ["member"]})
    # No limit stands in anybody's way, that of the token endpoint neither: peers have no token that processes share.
    installation.officernd.control("POST", "limits", {"token_minute": 10_000})


def first(installation: Installation) -> None:
    """Everything comes over once, in peace: by deliveries of every record, since peers have no other way."""
    ids = [one["id"] for one in installation.capsule.control("GET", "state")["parties"]]
    bodies = [{"event": "party/updated", "payload": [{"id": n} for n in ids[at : at + 20]]} for at in range(0, len(ids), 20)]
    for one in bodies:
        answer = installation.api.post(installation.hook_url(), json=one)
        assert answer.status_code == 202, answer.text
    until(lambda: out_of_step(installation) == 0, "both sides are in step before the faults", seconds=240, every=1.0)


def measured(scene: Scene, seconds: float, patience: float) -> dict[str, Any]:
    """Load and faults, then peace, then what is wrong."""
    installation = scene.installation
    mark = last(installation.officernd)
    before = installation.capsule.control("GET", "state")
    load = scene.load = Load(installation, seed=scene.seed, profile=PROFILE, first=1000)
    scene._ends = time.monotonic() + seconds
    with load:
        faults(scene)
        scene.peace()
    began = time.monotonic()
    until(installation.alive, "everything runs again", seconds=60, every=0.2)
    wrong, caught_up = out_of_step(installation), None
    while time.monotonic() < began + patience:
        wrong = out_of_step(installation)
        if not wrong and installation.quiet():
            caught_up = round(time.monotonic() - began, 1)
            break
        pause(0.5)
    verdict = Verdict()
    _written(installation, verdict, mark)
    state, there = installation.capsule.control("GET", "state"), installation.officernd_state()
    compared = compare(state, there, ever=set(expected(before)))
    behind = {int(text.partition("Capsule's ")[2].partition(":")[0]) for text in compared.differences}
    held = installation.held() if isinstance(installation, PeerInstallation) else {}
    links = Counter(
        (resource, one["properties"]["capsule_link_id"])
        for resource in ("members", "companies")
        for one in there[resource]
        if (one.get("properties") or {}).get("capsule_link_id")
    )
    doubled = sum(number - 1 for number in links.values())
    twins = {int(link) for (_, link), number in links.items() if number > 1}
    return {
        "records": compared.expected,
        "deliveries": load.sent.accepted,
        "changes": load.sent.edits,
        "faults": dict(scene.faults),
        "lost": len(behind - set(held) - twins),
        "stuck": len(behind & set(held)),
        "doubled": doubled,
        "stale": verdict.stale,
        "messages_left": sum(held.values()),
        "dead": installation.dead() if isinstance(installation, PeerInstallation) else 0,
        "caught_up_s": caught_up,
        "patience_s": patience,
    }


def out_of_step(installation: Installation) -> int:
    """How many records are not as they should be."""
    capsule, officernd = installation.capsule.control("GET", "state"), installation.officernd_state()
    compared = compare(capsule, officernd, ever=set(expected(capsule)))
    return compared.expected - compared.in_step


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| | records | deliveries accepted | faults | lost | doubled | stale writes | stuck | messages left | caught up in |"
    ]
    lines.append("|---" * 10 + "|")
    for name, one in results.items():
        caught = f"{one['caught_up_s']:.1f} s" if one["caught_up_s"] is not None else f"not in {one['patience_s']:.0f} s"
        cells = [NAMES[name], one["records"], one["deliveries"], sum(one["faults"].values())]
        cells += [one[what] for what in ("lost", "doubled", "stale", "stuck", "messages_left")]
        lines.append("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in [*cells, caught]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
