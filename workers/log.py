"""Structured log lines for the workers and the commands, with a last net under secrets and personal data.

Whoever logs names no person, no token and no body in the first place. The net is for what slips through: the text of an
exception from a library, a field added in haste. It hides by the name of a field and by the look of a text.

Lines go to standard error, one each, so that standard output stays free for what a command was asked for.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import TYPE_CHECKING, Final, TextIO

import structlog

from mapping.errors import MappingError
from workers.errors import WorkerError

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "[hidden]"
MOST_CAUSES: Final = 10

# A field whose name ends so holds what must not be read, whatever its value looks like.
_FIELDS: Final = re.compile(
    r"(^|_)(token|secret|secret_key|password|authorization|cookie|signature|body|payload|email|phone|first_name|last_name)s?$",
    re.IGNORECASE,
)
# In this order: an address with a user in it comes before the e-mail pattern, which would take half of it.
_LOOKS: Final = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), HIDDEN),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"(/hooks/capsule/[a-z0-9_]+/)[\w-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?#'\"]*)\?[^\s'\"]*", re.IGNORECASE), rf"\1?{HIDDEN}"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), HIDDEN),
    (re.compile(r"\bgAAAA[\w-]{20,}=*"), HIDDEN),
)


def hide(text: str) -> str:
    """The text without e-mail addresses, credentials, hook tokens, ciphertext and query strings."""
    for look, instead in _LOOKS:
        text = look.sub(instead, text)
    return text


def _safe(value: object) -> object:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, bytes | bytearray):
        return HIDDEN
    if isinstance(value, dict):
        return {name: HIDDEN if _FIELDS.search(str(name)) else _safe(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return hide(str(value))


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor that hides what `hide` knows and every field whose name says that it is secret."""
    for name, value in event.items():
        # Keys with an underscore first are structlog's own and are taken off before the line is written.
        if not name.startswith("_"):
            event[name] = HIDDEN if _FIELDS.search(name) else _safe(value)
    return event


def without_words(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor that tells of an exception its types and places, and the text only of what is ours.

    Anybody else's text may quote the value that it could not digest, such as a name, which no pattern finds.
    """
    given = event.pop("exc_info", None)
    if isinstance(given, BaseException):
        error: BaseException | None = given
    else:
        error = given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given else None
    told: list[str] = []
    while error is not None and len(told) < MOST_CAUSES:
        ours = isinstance(error, WorkerError | MappingError)
        what = f"{type(error).__module__}.{type(error).__qualname__}" + (f": {error}" if ours else "")
        told.append("".join(traceback.format_tb(error.__traceback__)) + what)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if told:
        event["exception"] = "\nafter:\n".join(told)
    return event


def configure(form: str = "auto", level: str = "INFO", *, process: str = "", stream: TextIO | None = None) -> None:
    """Sends every log line of this process, our own and the libraries', through one renderer to standard error.

    `form` is `json`, `text`, or `auto`: text for a person at a terminal, else JSON. `process`, if given, stands on each line.
    Only a program's door calls this; calling it again replaces what was set.
    """
    target = stream or sys.stderr
    terminal = target.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(process),
        structlog.processors.StackInfoRenderer(),
        without_words,
        redact,
    ]
    if form == "text" or (form == "auto" and terminal):
        renderer: Processor = structlog.dev.ConsoleRenderer(
            colors=terminal, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    else:
        renderer = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # httpx writes whole addresses at INFO, with their query strings.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger of that name. It may be made at import: it looks the configuration up when it is first used."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _named(process: str) -> Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if process:
            event["process"] = process
        return event

    return add
