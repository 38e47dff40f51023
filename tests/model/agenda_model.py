"""Explicit-state model of the agenda: the protocol by which receiver, workers and clock share work through Redis.

Every interleaving of receiver, workers, clock, reconcile and faults is explored breadth-first within small bounds (1 or 2
records, 2 workers, 1 to 3 edits). From the top of the repository, with the standard library only:

    python -m tests.model.agenda_model                 all scenarios, all guards on: must print "violations: 0"
    python -m tests.model.agenda_model --only NAME     one scenario
    python -m tests.model.agenda_model --break NAME    one guard off: must print a violation and its shortest trace
    python -m tests.model.agenda_model --break all     every guard in turn, one line each: must print "not caught: 0"
    python -m tests.model.agenda_model --list          scenarios and guards

It returns 0 if all is as it must be (with one guard off: 1, for a violation). `--jobs` is the number of processes.
`test_agenda_model.py` runs a small part of it in the ordinary test run; whoever changes the protocol runs all of it.

Parts. `search.py`: the search, with safety and liveness. `world.py`, `moves.py`: the scripts, and everything that can
happen around them. `poison.py`, `probe.py`, `fan_out.py`, `replay.py`: small machines of their own, each described there.

What is abstracted. Time: a lease may run out at any moment (of a dead worker: certainly; of a live one: a fault, with
a budget). The stray window of a write intent passes only when no write of that record is in flight: this is the one
assumption about the downstream (a request is applied within the window or never), except for a worker frozen between
`hold` and the sending, which may send at any later time. `hold(writing = no)` before reads only prolongs the lease, and is
left out. Dramatiq: a queue is a number of bells. Snapshots come from the reconcile alone; deliveries carry no body.

A fresh start is no restore. An empty data directory has nothing written before it, and a clean stop keeps all of Redis,
the intents too, so the start after it changes nothing that a run could see: `born` may lie long ago. What must not happen
is that data lost later is taken for cleanly stopped: so the mark of the clean stop is taken away, durably, before work
begins (guard `clean_stop`). Not covered: a data directory deleted within a stray window of a kill in the middle of a POST.

Safety, checked on every step: commits only by the holder of the lease; no snapshot older than an admitted event is used;
no holder of a lease writes an older version over a newer; no duplicate is created; nothing starts while paused;
an event never waits behind an older retry; and those of the small machines.
Safety, checked where nothing but faults can happen: nothing is open, and Capsule = downstream = ledger (or a letter that
covers the newest event). Liveness: steps that are not faults form no cycle, so each fair run ends in such a state.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.model.fan_out import FanOut
from tests.model.moves import Scenario
from tests.model.poison import Poison
from tests.model.probe import Probe
from tests.model.replay import Replay
from tests.model.search import Outcome, search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.model.search import Machine


class Guard(NamedTuple):
    """A rule that can be left out: a small scenario that fails without it, and what it says."""

    scenario: str
    text: str


_ALL: Final[list[Machine]] = [
    # bursts, kills, slow workers, late and lost writes; the value goes a, b, a: a fingerprint alone proves nothing
    Scenario("one record", edit=2, redeliver=1, crash=1, slow=1),
    Scenario("stray writes", edit=2, crash=1, slow=1, cut=1),
    Scenario("two slow runs", edit=2, slow=2, cut=1),
    Scenario("two kills", edit=2, crash=2, cut=1),
    Scenario("queue", edit=2, loss=1, double=1, crash=1, fail=1),
    Scenario("two records", records=2, content="ab", edit=2, crash=1, slow=1, loss=1),
    Scenario("lanes", records=2, workers=1, content="ab", edit=2, reconcile=1, loss=1),
    Scenario("creates", fresh=True, content="-ab", edit=2, crash=1, slow=1, cut=1, redeliver=1),
    Scenario("hand-backs", edit=2, fail=1, limit=1, crash=1, slow=1),
    Scenario("letters", edit=2, fail=1, bury=1, replay=1, crash=1),
    Scenario("pause", edit=2, pause=2, crash=1, fail=1, loss=1),
    Scenario("reconcile", content="abc", edit=2, reconcile=1, crash=1, fail=1),
    Scenario("reconcile, slow", content="abc", edit=2, reconcile=1, slow=1, cut=1),
    Scenario("reconcile, limit", content="abc", edit=2, reconcile=1, limit=1, workers=1, crash=1),
    Scenario("two reconciles", content="abc", edit=2, reconcile=2, workers=1, crash=1, loss=1),
    Scenario("gone", content="ab-", edit=2, redeliver=1, crash=1, reconcile=1),
    Scenario("restart", edit=2, workers=1, save=1, restore=1, crash=1),
    Scenario("restart, slow", content="ab", edit=1, save=1, restore=1, slow=1),
    Scenario("restart, reconcile", content="abc", edit=2, workers=1, reconcile=1, save=1, restore=1),
    Scenario("clean stop", fresh=True, content="-a", edit=1, workers=1, stop=1, save=1, restore=1, crash=1),
    Scenario("flushall", edit=2, workers=1, flush=1, crash=1),
    Scenario("flushall, creates", fresh=True, content="-ab", edit=2, workers=1, flush=1, crash=1),
    Poison(),
    Probe(),
    Probe("probe, three records", records=3, events=0),
    Replay(),
    FanOut("fan-out", content="ioi", crash=1, fail=1, early=1),
    FanOut("fan-out, slow", content="ioi", crash=1, slow=1, early=1),
    FanOut("fan-out, company missing", content="oio", fresh=True, crash=1, slow=1),
    FanOut("fan-out, letters", content="ioi", bury=1, slow=1, early=1),
    FanOut("fan-out, company missing, letters", content="oio", fresh=True, bury=1, crash=1, early=1),
]
SCENARIOS: Final[dict[str, Machine]] = {machine.name: machine for machine in _ALL}

GUARDS: Final[dict[str, Guard]] = {
    "token": Guard("flushall", "hold and done ask for the lease's token"),
    "aba": Guard(
        "flushall", "seq comes from one counter that never returns to a value (with it off, tokens are not asked for either)"
    ),
    "seq": Guard("letters", "done compares seq before it closes"),
    "bury_seq": Guard("letters", "bury compares seq before it closes"),
    "later_seq": Guard("letters", "later compares seq: a newer event goes to the queue at once"),
    "fence": Guard("hand-backs", "hold refuses a worker that lost its lease, before it writes"),
    "intent": Guard("letters", "hold notes the write in Redis before it is sent; the next run then reads back"),
    "rewindow": Guard("stray writes", "a worker that gave up waiting starts the stray window anew"),
    "keep_foreign": Guard("letters", "a run handed back or buried without an effect takes back its own intent, never another's"),
    "deadline": Guard("creates", "a worker looks at its own clock before it sends, and does not send when its lease is over"),
    "lookback": Guard("letters", "a run that began in the stray window of another's write comes back after the window"),
    "refused": Guard("hand-backs", "a refused done or later of a worker that has written opens the record again"),
    "create_wait": Guard("flushall, creates", "no POST while an earlier write may still land"),
    "read_after_take": Guard("letters", "the read begins after take"),
    "live_first": Guard("lanes", "on a bell of bulk, take looks into live first"),
    "snap_drop": Guard("lanes", "an event drops a waiting snapshot"),
    "snap_mark": Guard("lanes", "a snapshot is refused if an event was admitted since its mark"),
    "snap_seen": Guard("lanes", "a snapshot is refused if a run ended since its mark"),
    "snap_lease": Guard("reconcile", "a snapshot is refused while a run is under way"),
    "keep_seq": Guard(
        "reconcile, limit", "a snapshot is put back by a run that was told to wait only if no event came meanwhile"
    ),
    "topup": Guard("queue", "sweep rings as many bells as records are ready"),
    "expiry": Guard("letters", "sweep takes back leases that ran out"),
    "due": Guard("letters", "sweep brings due records back"),
    "unpark": Guard("pause", "sweep brings parked records back after resume"),
    "pause": Guard("pause", "take parks records of a paused connection"),
    "tick": Guard("restart, reconcile", "the counter does not go back when Redis restarts with older data"),
    "own_intent": Guard("hand-backs", "done clears only the intent that its own hold noted"),
    "born": Guard("flushall", "after a restart of Redis every run counts as begun in a stray window, for one window"),
    "clean_stop": Guard("clean stop", "the mark of a clean stop is taken away before work begins, so that no older data bear it"),
    "restart_doubt": Guard("restart", "after a restart of Redis, recently changed records are opened with read-back"),
    "solo": Guard("poison", "a death counts as the last only if the record was alone in its process"),
    "boot": Guard("poison", "deaths are not counted across a restart of the clock"),
    "heartbeat": Guard("poison", "a lease that runs out is a death only if its process is silent: slow is not dead"),
    "proc": Guard("poison", "a process that is started again beats under a new name"),
    "probe": Guard("probe", "while the breaker is open, the sweep readies one record per interval"),
    "probe_one": Guard("probe", "take lets only the record of the probe through"),
    "probe_own": Guard("probe", "the breaker resumes and pauses only what no person has paused"),
    "probe_spend": Guard("probe", "a failure that finds the connection paused spends no attempt"),
    "replay_same": Guard("replay", "a replay opens a record only if its letter still is the one that was listed"),
    "replay_closed": Guard("replay", "a replay leaves a record alone that is open already"),
    "replay_keeps": Guard("replay", "a replay leaves the letter to the run, which tells whoever is held because of it"),
    "replay_atomic": Guard("replay", "a replay is one script: nothing lies between letter and agenda"),
    "discard_marks": Guard("replay", "the run after a discard tells whoever is held, as if the letter were there"),
    "fanout_before_done": Guard("fan-out", "whatever a change concerns is opened before done"),
    "fanout_repeats": Guard(
        "fan-out", "whether it is needed is judged by the ledger entry as it was before the run, not by what was written"
    ),
    "fanout_judge": Guard("fan-out", "a person is judged by Capsule's organisation, not by its ledger entry"),
    "fanout_agree": Guard("fan-out", "a person waits while its organisation in Capsule and in the ledger differ"),
    "fanout_letter": Guard("fan-out, letters", "the run that closes an organisation's letter opens its people in any case"),
    "held_closed": Guard("fan-out, letters", "a person is held for its organisation's letter only if that is not open"),
    "company_first": Guard("fan-out, company missing", "a person whose company is missing opens the organisation and waits"),
}


def run(name: str, off: frozenset[str] = frozenset()) -> Outcome:
    """Explores one scenario, with some guards off."""
    return search(SCENARIOS[name], off)


def hunt(guard: str) -> tuple[str, Outcome | None]:
    """The first scenario that fails without this guard: its own, else any."""
    own = GUARDS[guard].scenario
    for name in (own, *(name for name in SCENARIOS if name != own)):
        outcome = run(name, frozenset((guard,)))
        if outcome.wrong:
            return guard, outcome
    return guard, None


def _hunt_all(jobs: int) -> int:
    missed = 0
    with multiprocessing.Pool(jobs) as pool:
        for name, found in pool.imap(hunt, GUARDS):
            missed += found is None
            text = f"caught in '{found.name}', {len(found.trace)} steps: {found.wrong}" if found else "NOT CAUGHT"
            print(f"{name:18} {text}", flush=True)
    print(f"guards: {len(GUARDS)}, not caught: {missed}")
    return 1 if missed else 0


def _search_all(names: Sequence[str], off: frozenset[str], jobs: int) -> int:
    states = steps = violations = 0
    with multiprocessing.Pool(jobs) as pool:
        for found in [pool.apply_async(run, (name, off)) for name in names]:
            outcome = found.get()
            verdict = "VIOLATION" if outcome.wrong else "clean"
            print(f"{outcome.name:33} {outcome.states:9,} states {outcome.steps:10,} steps {outcome.seconds:6.1f} s  {verdict}")
            if outcome.wrong:
                print(f"    {outcome.wrong}")
            for k, text in enumerate(outcome.trace, 1):
                print(f"    {k:3} {text}")
            sys.stdout.flush()
            states += outcome.states
            steps += outcome.steps
            violations += outcome.wrong is not None
    print(f"scenarios: {len(names)}  states: {states:,}  steps: {steps:,}  violations: {violations}")
    return 1 if violations else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.agenda_model", description="Explicit-state model of the agenda.")
    parser.add_argument("--break", dest="off", metavar="NAME", choices=[*GUARDS, "all"], help="switch a guard off (all: in turn)")
    parser.add_argument("--only", metavar="SCENARIO", choices=list(SCENARIOS), help="one scenario")
    parser.add_argument("--list", action="store_true", help="name the scenarios and guards")
    parser.add_argument("--jobs", type=int, default=2, help="processes at work (2)")
    arguments = parser.parse_args(argv)
    if arguments.list:
        print("scenarios:", "; ".join(SCENARIOS))
        for name, guard in GUARDS.items():
            print(f"{name:18} {guard.text}")
        return 0
    if arguments.off == "all":
        return _hunt_all(arguments.jobs)
    names = [arguments.only] if arguments.only else list(SCENARIOS)
    return _search_all(names, frozenset(filter(None, [arguments.off])), arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
