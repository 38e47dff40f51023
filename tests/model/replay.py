"""Replay and discard: two people act on the same dead letters, each by a list that they were shown a while ago.

Two records are dead letters, and a third, a person, is held because the first is one (`fan_out.py`). Each of the two people
has the letters listed and then clicks through the list, record by record; they may be killed in between, list again, and
meanwhile events come, the cause may be mended or not, and the worker may be killed. A click is one script:

- it opens the record only if its letter still is the one that was listed, and only if the record is not open already;
- it leaves the letter where it is: the run's `done` takes it away, and that run tells whoever is held because of it;
- a run that fails writes another letter in its place, with another id.

A discard takes a letter away only if it still is that one and its record is not open, and leaves a mark that the next run sees
as it would have seen the letter: somebody may be held because of it.

Checked: one listed letter is replayed at most once, whoever clicks; no record is lost between letter and agenda; nobody stays
held for a letter that a run has closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tests.model.search import Violation

if TYPE_CHECKING:
    from tests.model.search import Key, Step

T = TypeVar("T")
Wish = tuple[int, int]  # record, id of the letter


class Rec(NamedTuple):
    """`letter`: its id, 0 for none. `place`: None, ready, lease. `saw`: the run under way saw a letter at its `take`."""

    letter: int = 1
    place: str | None = None
    newer: bool = False
    saw: bool = False
    in_step: bool = False
    discarded: bool = False


class State(NamedTuple):
    """`lists`: what each person was shown and has not clicked yet. `taken`: a letter taken away by half a click (guard off).

    `granted`: the letters that were replayed (ghost). `letters`: the id of the newest letter.
    """

    recs: tuple[Rec, ...]
    lists: tuple[tuple[Wish, ...], ...]
    taken: tuple[int | None, ...]
    granted: frozenset[Wish]
    letters: int
    held: bool
    mended: bool
    looks: int
    discards: int
    kills: int
    events: int


class Replay:
    """The machine; see the module."""

    def __init__(self, name: str = "replay") -> None:
        self.name = name

    def start(self) -> Key:
        return State(
            (Rec(), Rec()), ((), ()), (None, None), frozenset(), 1,
            held=True, mended=False, looks=2, discards=1, kills=1, events=1,
        )  # fmt: skip

    def judge(self, key: Key) -> str | None:
        s = State(*key)
        for r, rec in enumerate(s.recs):
            if rec.place is not None:
                return f"record {r} is open and nothing will bring it back"
            if not (rec.letter or rec.in_step or rec.discarded):
                return f"record {r} is neither in step nor a letter: it was lost"
        if s.held and not s.recs[0].letter and not s.recs[0].discarded:
            return "somebody is held for a letter that is gone"
        return None

    def steps(self, key: Key, off: frozenset[str]) -> list[Step]:
        s = State(*key)
        out: list[Step] = []
        for i, wishes in enumerate(s.lists):
            out += _person(s, i, wishes, off)
        for r, rec in enumerate(s.recs):
            out += _record(s, r, rec, off)
        if not s.mended:
            out.append(("the cause is mended", False, s._replace(mended=True)))
        return out


def _person(s: State, i: int, wishes: tuple[Wish, ...], off: frozenset[str]) -> list[Step]:
    out: list[Step] = []
    half = s.taken[i]
    if half is not None:
        after = s._replace(taken=_set(s.taken, i, None))
        out.append((f"person {i} opens {half}, whose letter it took", True, _open(after, half)))
    elif wishes:
        r, name = wishes[0]
        after = s._replace(lists=_set(s.lists, i, wishes[1:]))
        out.append((f"person {i} replays {r} (letter {name})", True, _click(after, i, wishes[0], off)))
        if s.discards:
            rec = s.recs[r]
            if rec.letter == name and rec.place is None:
                gone = _put(after, r, rec._replace(letter=0, discarded=True))
                out.append((f"person {i} discards {r}", False, gone._replace(discards=s.discards - 1)))
    elif s.looks:
        shown = tuple((r, rec.letter) for r, rec in enumerate(s.recs) if rec.letter)
        if shown:
            out.append((f"person {i} lists", False, s._replace(lists=_set(s.lists, i, shown), looks=s.looks - 1)))
    if s.kills and (wishes or half is not None):
        killed = s._replace(lists=_set(s.lists, i, ()), taken=_set(s.taken, i, None), kills=s.kills - 1)
        out.append((f"person {i} is killed", False, killed))
    return out


def _click(s: State, i: int, wish: Wish, off: frozenset[str]) -> State:
    """The script `replay`, or what is left of it with a guard off."""
    r, name = wish
    rec = s.recs[r]
    if not rec.letter or (rec.letter != name and "replay_same" not in off):
        return s
    if rec.place is not None and "replay_closed" not in off:
        return s
    if wish in s.granted:
        raise Violation("one letter was replayed twice", f"person {i} replays {r} (letter {name})")
    s = s._replace(granted=s.granted | {wish})
    if "replay_atomic" in off:
        return _put(s, r, rec._replace(letter=0))._replace(taken=_set(s.taken, i, r))
    if "replay_keeps" in off:
        s = _put(s, r, rec._replace(letter=0))
    return _open(s, r)


def _record(s: State, r: int, rec: Rec, off: frozenset[str]) -> list[Step]:
    out: list[Step] = []
    if s.events:
        out.append((f"event of {r}", False, _open(s, r)._replace(events=s.events - 1)))
    if rec.place == "ready":
        marked = rec.discarded and "discard_marks" not in off
        taken = rec._replace(place="lease", saw=bool(rec.letter or marked), newer=False)
        out.append((f"worker takes {r}", True, _put(s, r, taken)))
    if rec.place == "lease":
        place = "ready" if rec.newer else None
        if s.mended:
            told = rec.saw and r == 0
            closed = rec._replace(letter=0, place=place, newer=False, saw=False, in_step=True, discarded=False)
            out.append((f"worker done {r}", True, _put(s, r, closed)._replace(held=s.held and not told)))
        elif rec.newer:
            out.append((f"worker fails on {r}, something newer came", True, _put(s, r, rec._replace(place="ready", newer=False))))
        else:
            buried = Rec(letter=s.letters + 1)
            out.append((f"worker buries {r}", True, _put(s, r, buried)._replace(letters=s.letters + 1)))
        if s.kills:
            again = _put(s, r, rec._replace(place="ready", newer=False, saw=False))
            out.append((f"worker of {r} is killed", False, again._replace(kills=s.kills - 1)))
    return out


def _open(s: State, r: int) -> State:
    rec = s.recs[r]
    opened = rec._replace(newer=True) if rec.place == "lease" else rec._replace(place="ready")
    return _put(s, r, opened._replace(in_step=False))


def _put(s: State, r: int, rec: Rec) -> State:
    return s._replace(recs=_set(s.recs, r, rec))


def _set(values: tuple[T, ...], i: int, value: T) -> tuple[T, ...]:
    return (*values[:i], value, *values[i + 1 :])
