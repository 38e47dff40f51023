"""What `doctor` asks of this machine: the disk, Dramatiq as it is installed, and who of the processes gives signs of life."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import orjson
from dramatiq.brokers import redis as dramatiq_redis

from mapping.running import ALIVE_MS, RUNNING, parse
from workers import broker
from workers.errors import WorkerError
from workers.flows.diagnosis import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

    from workers.http import Http
    from workers.settings import Settings

SCARCE_BYTES: Final = 1 << 30
FULL_BYTES: Final = 200 << 20
READY_SECONDS: Final = 5.0
OK: Final = 200
# The parts without which nothing goes on, each with the name of its check.
NEEDED: Final = {"web": "receivers alive", "worker": "workers alive", "solo": "solo workers alive", "clock": "clock alive"}


def dramatiq(script_hash: Callable[[], str] = broker.script_hash) -> Iterator[Result]:
    """Whether Dramatiq still has what we lean on, and the script that we have read."""
    gone = [name for name in broker.LEANS_ON if not hasattr(dramatiq_redis, name)]
    advice = "Install the packages of requirements.txt (`make install`), which pins the version that was tested."
    if gone:
        yield Result("dramatiq", "wrong", f"the installed version has no {', '.join(gone)}", advice)
    elif script_hash() != broker.REVIEWED:
        yield Result("dramatiq", "wrong", f"its {broker.SCRIPT} is not the one that was reviewed", advice)
    else:
        yield Result("dramatiq", "ok", "private names and script are those that were reviewed")


def disk(data_dir: Path, free_of: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> Iterator[Result]:
    """Whether the folder of the data has room."""
    there = next((path for path in (data_dir, *data_dir.resolve().parents) if path.is_dir()), None)
    if there is None:
        yield Result("disk", "unasked", f"there is no folder {data_dir}", "Set RELAY_DATA_DIR to a folder that can be made.")
        return
    free = free_of(there)
    said = f"{free / 2**30:.1f} GiB free where {data_dir} is"
    advice = "Make room: without it the data store cannot write down what is admitted."
    if free < FULL_BYTES:
        yield Result("disk", "wrong", said, advice)
    elif free < SCARCE_BYTES:
        yield Result("disk", "warning", said, advice)
    else:
        yield Result("disk", "ok", said)


def receiver(settings: Settings, http: Http) -> Iterator[Result]:
    """Whether the receiver answers here and can admit deliveries."""
    host = "127.0.0.1" if settings.web_host in {"0.0.0.0", "::"} else settings.web_host  # noqa: S104 - compared, not bound
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.web_port}"
    advice = "Start it: `capsule-relay up`, or the line `web` of the Procfile; on another machine, ask there."
    try:
        answer = http.request("GET", f"{address}/ready", system="receiver", route="GET /ready", deadline_s=READY_SECONDS)
    except WorkerError as error:
        yield Result("receiver", "wrong", f"it does not answer at {address} ({error})", advice)
        return
    if answer.status == OK:
        yield Result("receiver", "ok", f"ready at {address}")
        return
    try:
        reason = str(orjson.loads(answer.body).get("reason", ""))
    except (orjson.JSONDecodeError, AttributeError):
        reason = ""
    said = f"it answers {answer.status} at {address}" + (f": {reason}" if reason else "")
    yield Result("receiver", "wrong", said, "See in its log why; without Redis it admits nothing.")


def processes(client: redis.Redis) -> Iterator[Result]:
    """Who of our processes gives signs of life (`mapping.running`), anywhere."""
    seconds, micros = client.time()
    fields = [(_text(name), _text(held)) for name, held in client.hgetall(RUNNING).items()]
    found = parse(fields, int(seconds) * 1000 + int(micros) // 1000)
    for part, name in NEEDED.items():
        silent = min((one.silent_ms for one in found if one.part == part), default=None)
        advice = f"Start it: `capsule-relay up`, or the line `{part}` of the Procfile."
        if silent is None:
            yield Result(name, "wrong", f"no process of the part {part} gives signs of life", advice)
        elif silent > ALIVE_MS:
            yield Result(name, "wrong", f"the last sign of life of the part {part} is {silent // 1000} s old", advice)
        else:
            alive = sum(1 for one in found if one.part == part and one.alive)
            yield Result(name, "ok", f"{alive} alive")


def _text(found: bytes | str) -> str:
    return found if isinstance(found, str) else found.decode()
