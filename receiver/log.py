"""What the receiver says on standard error: one JSON line per delivery, or one readable line at a terminal.

The settings of the workers hold here too (`RELAY_LOG_FORMAT`, `RELAY_LOG_LEVEL`). A line has an event, a connection, a
number of records, a status, milliseconds and a trace id. It never has a body, a token, a path or a query string, because
nothing here is given one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING, Final, TextIO

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

SAME_LINE_S: Final = 1.0
"""Seconds within which equal lines that anybody can cause become one with a count."""

_LEVELS: Final = {"error": "ERROR", "warning": "WARN "}
_RANKS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class _Sink:
    """Standard error, written once per turn of the event loop rather than once per line."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._stream: TextIO | None = None
        self._tty = False
        self.form = "auto"
        self.least = 0
        self._second = 0
        self._stamp = ""

    def render(self, event: str, level: str, fields: Mapping[str, str | int | float]) -> str:
        """One line: for people at a terminal, JSON anywhere else."""
        now = time.time()
        if self._stream is not sys.stderr:
            self._stream = sys.stderr
            self._tty = self.form == "text" or (self.form == "auto" and self._stream.isatty())
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        if self._tty:
            told = " ".join(f"{name}={value}" for name, value in fields.items())
            return f"{self._stamp[11:]} {_LEVELS.get(level, 'info ')} {event} {told}\n"
        stamp = f"{self._stamp}.{int(now * 1000) % 1000:03d}Z"
        # The first three are ours and need no escapes; the rest is put behind them rather than into one more mapping.
        rest = "," + orjson.dumps(fields).decode()[1:] if fields else "}"
        return f'{{"timestamp":"{stamp}","level":"{level}","event":"{event}"{rest}\n'

    def write(self, line: str) -> None:
        """Puts a line out at the end of this turn; at once where no loop runs."""
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Writes what has gathered."""
        text = "".join(self._lines)
        self._lines.clear()
        # A reader that has gone must not stop deliveries from being admitted.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


_SINK: Final = _Sink()


def say(event: str, fields: Mapping[str, str | int | float], *, level: str = "info") -> None:
    """Writes one line, if its level is one of those that are wanted."""
    if _RANKS[level] >= _SINK.least:
        _SINK.write(_SINK.render(event, level, fields))


def configure(form: str, level: str) -> None:
    """Sets the form (`text`, `json`, else `auto`) and the least level of the lines. `capsule-relay check` judges the words."""
    _SINK.form = form.strip().lower() or "auto"
    _SINK.least = _RANKS.get(level.strip().lower(), _RANKS["info"])


class Refusals:
    """Lines about what is refused: the first at once, then at most one a second of each sort, with the number it stands for."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], tuple[int, int, str]] = {}

    def say(self, event: str, *, connection: str = "", status: int, reason: str = "") -> None:
        """Notes one refusal. `connection` is a configured name or nothing: what a stranger wrote is not repeated."""
        sort = event, connection
        if time.monotonic() - self._said.get(sort, -SAME_LINE_S) < SAME_LINE_S:
            times = self._held[sort][0] if sort in self._held else 0
            self._held[sort] = times + 1, status, reason
        else:
            self._line(sort, times=1, status=status, reason=reason)

    def flush(self, *, everything: bool = False) -> None:
        """Writes the lines whose second is over; all of them before the end."""
        now = time.monotonic()
        for sort, (times, status, reason) in tuple(self._held.items()):
            if everything or now - self._said[sort] >= SAME_LINE_S:
                del self._held[sort]
                self._line(sort, times=times, status=status, reason=reason)

    def _line(self, sort: tuple[str, str], *, times: int, status: int, reason: str) -> None:
        event, connection = sort
        self._said[sort] = time.monotonic()
        fields: dict[str, str | int] = {"status": status, "times": times}
        if connection:
            fields["connection"] = connection
        if reason:
            fields["reason"] = reason
        say(event, fields, level="warning")


class _Lines(logging.Formatter):
    """Lines of uvicorn in our form, so that standard error holds one kind of line."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, str | int | float] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            # The type and the place, not the text: an exception may quote what it could not digest.
            fields |= {"error": type(record.exc_info[1]).__name__, "at": _place(record.exc_info[1])}
        return _SINK.render("server", record.levelname.lower(), fields).rstrip("\n")


class _OncePerSecond(logging.Filter):
    """Lets a message through at most once a second: a stranger's broken requests must not fill the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        if len(self._said) > 100:  # noqa: PLR2004 - more different messages than uvicorn has: forget them all
            self._said.clear()
        if now - self._said.get(str(record.msg), -SAME_LINE_S) < SAME_LINE_S:
            return False
        self._said[str(record.msg)] = now
        return True


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def say_error(event: str, error: BaseException, *, status: int) -> None:
    """Writes one line about an error of ours: its type and place, without its text."""
    say(event, {"status": status, "error": type(error).__name__, "at": _place(error)}, level="error")


def tame_uvicorn() -> None:
    """Makes uvicorn's logs safe however it was started.

    Its access log holds the path, and with it the token: it is switched off. Its other lines take our form, and those
    that a stranger can cause come at most once a second.
    """
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    access.disabled = True
    for handler in logging.getLogger("uvicorn").handlers:
        handler.setFormatter(_Lines())
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        if not any(isinstance(there, _OncePerSecond) for there in logger.filters):
            logger.addFilter(_OncePerSecond())
