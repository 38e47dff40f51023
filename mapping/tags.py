"""The language of `tags_to_sync` (DESIGN.md §6 and its edges): which tags let a record in.

    rule  := nothing, which lets everything in | term ("," term)*
    term  := word | "[" word ("," word)* "]" | "![" word ("," word)* "]"
    word  := ["!"] tag
    tag   := text without comma, bracket, or "!" | a text in double quotes, a quote inside it doubled

A record is in when no excluding term holds and at least one other does; if all terms exclude, when none holds. Tags are
compared without regard to case and surrounding space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mapping.errors import TagsInvalid
from mapping.values import word_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_BARE = re.compile(r"[^,\[\]!]+")
_COMMAS = "Separate tags and brackets with commas; put a tag that holds , [ ] or ! in double quotes."
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


@dataclass(frozen=True, slots=True)
class Word:
    """One tag of a rule, as written; `negated`: it must not be there."""

    tag: str
    negated: bool = False

    def holds(self, tags: frozenset[str]) -> bool:
        """`tags` are keys (`word_key`) of a record's tags."""
        return (word_key(self.tag) in tags) != self.negated


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must all hold; `excludes`: a record for which they do is kept out."""

    words: tuple[Word, ...]
    excludes: bool = False

    def holds(self, tags: frozenset[str]) -> bool:
        """Whether every word holds."""
        return all(word.holds(tags) for word in self.words)

    def describe(self) -> str:
        """Its words for an operator: `tag "vip"`, `tags "vip" and "london"`, `no tag "vip"`."""
        has = [f'"{word.tag}"' for word in self.words if not word.negated]
        lacks = [f'"{word.tag}"' for word in self.words if word.negated]
        parts = [("tag " if len(has) == 1 else "tags ") + " and ".join(has)] if has else []
        return " and ".join(parts + [f"no tag {tag}" for tag in lacks])


def _unheard(_term: Term, _holds: bool) -> None:
    """For those whom only the result concerns."""


def _first(terms: Iterable[Term], keys: frozenset[str], heard: Callable[[Term, bool], None]) -> Term | None:
    """The first term that holds."""
    for term in terms:
        holds = term.holds(keys)
        heard(term, holds)
        if holds:
            return term
    return None


@dataclass(frozen=True, slots=True)
class TagRule:
    """A parsed `tags_to_sync`. `text` is what was written."""

    text: str
    terms: tuple[Term, ...]
    _wanted: tuple[Term, ...] = field(init=False, repr=False, compare=False)
    _excluded: tuple[Term, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_wanted", tuple(term for term in self.terms if not term.excludes))
        object.__setattr__(self, "_excluded", tuple(term for term in self.terms if term.excludes))

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag that the rule names, in its order, once."""
        return tuple(dict.fromkeys(word.tag for term in self.terms for word in term.words))

    def excludes(self, tags: Iterable[str]) -> str | None:
        """Why these tags keep a record out whatever else it has, or None."""
        return self._refusal(frozenset(word_key(tag) for tag in tags), _unheard)

    def _refusal(self, keys: frozenset[str], heard: Callable[[Term, bool], None]) -> str | None:
        term = _first(self._excluded, keys, heard)
        return None if term is None else f'{term.describe()} is excluded by "{self.text}"'

    def judge(self, tags: Iterable[str], heard: Callable[[Term, bool], None] = _unheard) -> tuple[bool, str]:
        """Whether a record with these tags is in, and one sentence why, made of the rule's own words.

        `heard` is called with each term that was asked, in this order, and whether it holds.
        """
        if not self.terms:
            return True, "tags_to_sync is empty, so every record is in"
        keys = frozenset(word_key(tag) for tag in tags)
        refusal = self._refusal(keys, heard)
        if refusal is not None:
            return False, refusal
        if not self._wanted:
            return True, f'no excluded tag of "{self.text}" is there'
        term = _first(self._wanted, keys, heard)
        if term is None:
            return False, f'no tag matches "{self.text}"'
        return True, f'{term.describe()} {"matches" if len(term.words) == 1 else "match"} "{self.text}"'


def parse(text: str) -> TagRule:
    """Reads a text of `tags_to_sync`.

    Raises:
        TagsInvalid: it has no meaning; the message holds the position.
    """
    return _Reader(text).rule()


class _Reader:
    """Reads one text from left to right; `_at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rule(self) -> TagRule:
        if not self._peek():
            return TagRule(self._text.strip(), ())
        terms = [self._term()]
        while self._accept(","):
            terms.append(self._term())
        if self._peek():
            raise self._fault("a comma is missing here", hint=_COMMAS)
        return TagRule(self._text.strip(), tuple(terms))

    def _term(self) -> Term:
        excludes = self._accept("!")
        if self._peek() == "[":
            return Term(self._group(), excludes)
        return Term((Word(self._tag()),), excludes)

    def _group(self) -> tuple[Word, ...]:
        opened = self._at
        self._accept("[")
        words = [self._word()]
        while self._accept(","):
            words.append(self._word())
        if not self._accept("]"):
            if self._peek():
                raise self._fault("a comma is missing here", hint=_COMMAS)
            self._at = opened
            raise self._fault("this bracket is not closed", hint='Write "]" after the last tag of the group.')
        return tuple(words)

    def _word(self) -> Word:
        negated = self._accept("!")
        if self._peek() == "[":
            raise self._fault("a bracket inside a bracket", hint="Groups cannot be nested.")
        return Word(self._tag(), negated)

    def _tag(self) -> str:
        if self._peek() == '"':
            return self._quoted()
        found = _BARE.match(self._text, self._at)
        if found is None:
            raise self._fault("a tag is missing here", hint="Remove the comma, or quote a tag that holds , [ ] or !.")
        self._at = found.end()
        return found[0].strip()

    def _quoted(self) -> str:
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            raise self._fault("this quote is not closed", hint='Write " after the tag, and "" for a quote inside it.')
        tag = found[1].replace('""', '"').strip()
        if not tag:
            raise self._fault("an empty tag", hint="Remove the quotes, or write a tag between them.")
        self._at = found.end()
        return tag

    def _peek(self) -> str:
        """The next character that is no space, or "" at the end."""
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _accept(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _fault(self, message: str, *, hint: str) -> TagsInvalid:
        return TagsInvalid(message, position=min(self._at, len(self._text)) + 1, hint=hint)
