"""Where a setting stands in a TOML file: the standard reader gives values and no lines. Pure.

`Lines` walks a text that the standard reader has accepted, so it need not judge anything: it only follows tables, keys,
strings and brackets to their ends. `read` names the line and column of what the reader does not accept.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SPACE: Final = re.compile(r"[ \t]*")
_BLANK: Final = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_COMMENT: Final = re.compile(r"#[^\n]*")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'',
    re.DOTALL,
)
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN: Final = re.compile(r"[^,\]}#\n]+")  # numbers, dates, true and false
_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_SIMPLE: Final = re.compile(r"\s*(?:[\w.-]|\"[^\"]*\"|'[^']*'|[ \t])+?\s*=")
_OPENS_LIST: Final = re.compile(r"[^=#]*=\s*\[")
_TRIPLE: Final = re.compile(r"\"{3}|'{3}")
_HEADER: Final = re.compile(r"\s*\[[\w.\"' -]+")
_OPEN_HEADER: Final = "Expected ']' at the end of a table declaration"
_MOST_SYNTAX_FAULTS: Final = 25


@dataclass(slots=True)
class _Node:
    """A table, a setting or an item of a list: its line (0: unknown), where its value lies, and what is inside it."""

    line: int = 0
    written: bool = False  # it has a header or an entry of its own, and is not only named on the way to another
    span: tuple[int, int] = (0, 0)
    inside: dict[str, _Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SyntaxFault:
    """What the standard reader does not accept. `line` and `column` count from 1; `message` holds no value of the file."""

    line: int
    column: int
    message: str
    key: str = ""  # the last part of the key on that line, if the line is a setting on its own


class Lines:
    """The lines of one TOML text that is known to be right."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._starts = [0] + [found.end() for found in re.finditer("\n", self._text)]
        self._root = _Node()
        self._comments: list[tuple[int, int]] = []
        self._at = 0
        self._document()

    def of(self, path: str) -> int | None:
        """The line of a dotted path such as `connections.acme.locations."London Bridge"`, counted from 1.

        For what is not in the file (a setting that is missing) the line of the nearest table around it; None without any.
        """
        line = None
        for node in self._walk(path):
            line = node.line or line
        return line

    def has(self, path: str) -> bool:
        """Whether that path itself stands in the file."""
        return len(list(self._walk(path))) == len(split(path))

    def shown(self, number: int, hidden: Callable[[tuple[str, ...]], bool]) -> str:
        """The text of a line without comments; values whose path is `hidden` are replaced."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self._text)
        cuts = [(*span, "") for span in self._comments]
        cuts += [(*node.span, "[hidden]") for path, node in _leaves(self._root, ()) if hidden(path)]
        line = self._text[start:end]
        for first, last, instead in sorted(cuts, reverse=True):
            if first < end and last > start:
                line = line[: max(first - start, 0)] + instead + line[max(last - start, 0) :]
        return line.rstrip()

    def _walk(self, path: str) -> Iterator[_Node]:
        """The nodes on the way to a path, as far as they are there. An own field's name holds dots that may be tables."""
        node = self._root
        for step in split(path):
            parts = [step] if step in node.inside else step.split(".")
            for part in parts:
                if part not in node.inside:
                    return
                node = node.inside[part]
            yield node

    def _document(self) -> None:
        table, counts = self._root, dict[int, int]()
        while self._skip(_BLANK) < len(self._text):
            at = self._at
            if not self._text.startswith("[", at):
                self._entry(table)
                continue
            double = self._text.startswith("[[", at)
            self._at += 2 if double else 1
            table = self._place(self._root, self._key(), at)
            self._at += 2 if double else 1
            if double:
                number = counts[id(table)] = counts.get(id(table), -1) + 1
                table = self._place(table, (str(number),), at)

    def _entry(self, table: _Node) -> None:
        at = self._at
        node = self._place(table, self._key(), at)
        self._at += 1  # the equals sign
        self._value(node)

    def _key(self) -> tuple[str, ...]:
        """A dotted key; stops at what follows it."""
        parts = []
        while True:
            self._skip(_SPACE)
            quoted = _STRING.match(self._text, self._at)
            found = quoted or _BARE.match(self._text, self._at)
            if found is None:
                raise ValueError(f"no key at line {self._line(self._at)}")
            self._at = found.end()
            parts.append(_unquoted(found[0]) if quoted else found[0])
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _value(self, node: _Node) -> None:
        self._skip(_SPACE)
        start = self._at
        opening = self._text[start : start + 1]
        if opening == "[":
            self._many(node, "]")
        elif opening == "{":
            self._many(node, "}")
        else:
            found = _STRING.match(self._text, start) if opening in {'"', "'"} else _PLAIN.match(self._text, start)
            if found is None:
                raise ValueError(f"no value at line {self._line(start)}")
            self._at = found.end()
        node.span = (start, self._at)

    def _many(self, node: _Node, closing: str) -> None:
        """The items of a list, named by their numbers, or the entries of an inline table."""
        self._at += 1
        count = 0
        while not self._text.startswith(closing, self._skip(_BLANK)):
            if closing == "]":
                self._value(self._place(node, (str(count),), self._at))
                count += 1
            else:
                self._entry(node)
            if self._text.startswith(",", self._skip(_BLANK)):
                self._at += 1
        self._at += 1

    def _place(self, node: _Node, path: tuple[str, ...], at: int) -> _Node:
        """The node at `path` below `node`, made where it is not there yet; its line is that of the text at `at`."""
        line = self._line(at)
        for step in path:
            node = node.inside.setdefault(step, _Node())
            node.line = node.line or line
        if not node.written:
            node.line, node.written = line, True
        return node

    def _skip(self, what: re.Pattern[str]) -> int:
        found = what.match(self._text, self._at)
        end = found.end() if found else self._at
        self._comments += [each.span() for each in _COMMENT.finditer(self._text, self._at, end)]
        self._at = end
        return end

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1


def split(path: str) -> tuple[str, ...]:
    """The parts of a dotted path, as `mapping.rules_faults.quoted` writes them."""
    parts = re.findall(r'"(?:[^"\\]|\\.)*"|[^."]+', path, re.DOTALL)
    return tuple(re.sub(r"\\(.)", r"\1", part[1:-1], flags=re.DOTALL) if part.startswith('"') else part for part in parts)


def read(text: str) -> tuple[dict[str, object] | None, str, tuple[SyntaxFault, ...]]:
    """The document, the text that it was read from, and all that is not TOML in the given text.

    A wrong setting is left out and the rest read on, so that one of them does not hide the others. Without a document
    nothing can be said of the rest, because what is wrong decides what the lines below it mean.
    """
    lines = (text.replace("\r\n", "\n") + "\n").split("\n")
    found: list[SyntaxFault] = []
    while len(found) < _MOST_SYNTAX_FAULTS:
        try:
            return tomllib.loads("\n".join(lines)), "\n".join(lines), tuple(found)
        except tomllib.TOMLDecodeError as error:
            fault, whole = _fault(str(error), lines)
        if any(fault.line == other.line for other in found):
            break
        found.append(fault)
        if fault.message == _OPEN_HEADER and _HEADER.fullmatch(lines[fault.line - 1]):
            lines[fault.line - 1] += "]"
        elif whole:
            lines[fault.line - 1 : whole] = [""] * (whole - fault.line + 1)
        else:
            break
    return None, "\n".join(lines), tuple(found)


def _fault(message: str, lines: list[str]) -> tuple[SyntaxFault, int]:
    """What the reader said, and the last line of the wrong setting; 0 where it cannot be told from what follows."""
    place = _PLACE.search(message)
    words = message[: place.start()] if place else message
    line = max((number for number, one in enumerate(lines, start=1) if one.strip()), default=1)
    column = len(lines[line - 1]) + 1
    if place is not None and place[1] is not None:
        line, column = int(place[1]), int(place[2])
    elif words.startswith(("Unterminated", "Expected")) and any(_TRIPLE.search(one) for one in lines):
        # A text over several lines runs to the end of the file: it is the opening quotes that a person looks for.
        line = max(number for number, one in enumerate(lines, start=1) if _TRIPLE.search(one))
        return SyntaxFault(line, 1, words, _key_on(lines[line - 1])), 0
    last = line
    if words == "Unclosed array":
        opened = max((number for number, one in enumerate(lines[:line], start=1) if _OPENS_LIST.match(one)), default=line)
        if opened < line:
            line, last, column = opened, line - 1, 1
    key = _key_on(lines[line - 1])
    return SyntaxFault(line, column, words, key), last if key else 0


def _key_on(line: str) -> str:
    """The last part of the key, if the line begins as a setting does; else nothing."""
    simple = _SIMPLE.match(line)
    return simple[0].rstrip("= \t").rpartition(".")[2].strip(" \t\"'") if simple else ""


def _unquoted(raw: str) -> str:
    """A key as the standard reader reads it."""
    value = tomllib.loads(f"key = {raw}")["key"]
    return value if isinstance(value, str) else raw


def _leaves(node: _Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], _Node]]:
    """Every value that has a place in the text and nothing inside it that could be told apart."""
    for step, inner in node.inside.items():
        if inner.inside:
            yield from _leaves(inner, (*path, step))
        elif inner.span[1]:
            yield (*path, step), inner
