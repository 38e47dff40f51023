"""What `capsule-relay doctor` does and how it says it: a line for each check, or one JSON document."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

import redis
from rich.console import Console
from rich.text import Text

from workers.check_report import printable
from workers.datastore import UpFailed, find_redis
from workers.errors import WorkerError
from workers.findings import inspect
from workers.flows.diagnosis import Result
from workers.flows.doctor import MEND_FIRST, doctor
from workers.http import Http
from workers.log import configure
from workers.overview import reading
from workers.services import build
from workers.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TextIO

    from workers.findings import Inspection

OK: Final = 0
WRONG: Final = 1
NOT_ASKED: Final = 2

_WORDS: Final = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "wrong": ("WRONG", "bold red"),
    "unasked": ("?", "magenta"),
}


def run(environ: Mapping[str, str], only: str | None, told: Callable[[str], None]) -> Iterator[Result]:
    """Every check, its results as they come. `told` hears what is being looked at."""
    told("settings")
    seen = inspect(environ)
    yield from _settings(seen)
    settings = seen.settings
    if settings is None:
        yield Result("everything else", "unasked", "the settings cannot be used as they are", MEND_FIRST)
        return
    configure(settings.log_format, "ERROR")
    url, away = "", ""
    try:
        url = find_redis(settings)
        with reading(url) as client:
            client.ping()
    except UpFailed as error:
        away = str(error)
    except redis.RedisError as error:
        away = f"the data store does not answer ({type(error).__name__})"
    services = None
    try:
        services = build(replace(settings, redis_url=url)) if not away else None
        if services is not None:
            services.start()
        with Http(user_agent=f"capsule-relay/{VERSION}") as http:
            yield from doctor(settings, services, http, only=only, away=away, told=told)
    except WorkerError as error:
        yield Result("everything else", "unasked", str(error), error.advice)
    finally:
        if services is not None:
            services.close()


def _settings(seen: Inspection) -> Iterator[Result]:
    faults = [finding for finding in seen.findings if finding.level == "fault"]
    for finding in seen.findings:
        place = f"{finding.file}:{finding.line}: " if finding.line else ""
        state = "wrong" if finding.level == "fault" else "warning"
        said = f"{place}{finding.fault.path}: {finding.fault.message}"
        yield Result("settings", "wrong" if state == "wrong" else "warning", said, finding.fault.hint)
    if not faults and not seen.findings:
        yield Result("settings", "ok", f"{seen.file} and the environment are in order")


def exit_status(results: Sequence[Result]) -> int:
    """0 all in order, warnings allowed; 1 something is wrong; 2 nothing is, and something could not be asked."""
    states = {result.state for result in results}
    return WRONG if "wrong" in states else NOT_ASKED if "unasked" in states else OK


def document(results: Sequence[Result]) -> dict[str, Any]:
    """All results as one JSON document."""
    return {"ok": exit_status(results) == OK, "checks": [asdict(result) for result in results]}


def show(results: Sequence[Result], stream: TextIO) -> None:
    """A line for each result, what to do below those that are not ok, and a sum."""
    console = Console(file=stream, highlight=False, soft_wrap=True, emoji=False, markup=False)
    width = max((len(_head(result)) for result in results), default=0)
    for result in results:
        word, colour = _WORDS[result.state]
        line = Text.assemble((f"{word:<7}", colour), f"  {_head(result):<{width}}  ", printable(result.said))
        console.print(line)
        if result.advice:
            console.print(Text(f"{'':<{11 + width}}{printable(result.advice)}", "cyan"))
    counted = {state: sum(1 for result in results if result.state == state) for state in _WORDS}
    counts = f"{counted['ok']} in order, {counted['warning']} warnings, {counted['wrong']} wrong"
    console.print(f"{counts}, {counted['unasked']} could not be asked")


def _head(result: Result) -> str:
    return f"{result.check} ({result.about})" if result.about else result.check
