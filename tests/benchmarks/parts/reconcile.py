"""Reconcile: what passes over an account cost of which nothing, 1 % or everything was changed since the last one.

Simulators and relay run as processes with the vendors' limits raised, on one machine. All parties are persons; about a fifth
are members and so are in OfficeRnD, the others are out, and a pass must look at them all the same. No hook tells of anything.
At 1 % a full pass also meets one in a hundred members that was changed by hand in OfficeRnD, and what was injected must be what
was counted and repaired. Seconds, processor time and memory (VmHWM) are of the process that makes the pass, from its start until
all that it opened is decided; the writes themselves are the workers'. Records a second are those that it was shown. A full pass
over unchanged records may make N/100 + 2 calls to Capsule (the last page may be part full, and the list of opportunities is
asked once) and M/50 + 4 to OfficeRnD (the last pages of members, companies and opportunities, and a sign-in when the token runs
out). The peers read Capsule's side alone, compare nothing and write nothing to OfficeRnD: what they are beside is the reading.
Their first readings and the relay's full passes take turns; then they read what was changed, by the bookmark that each kept.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.acceptance.drift import LINK, inject
from tests.acceptance.harness import NAME, System, until
from tests.benchmarks.processes import took
from tests.benchmarks.readers import readers
from tests.benchmarks.report import Result, rounded
from tests.benchmarks.stage import SENDERS, more

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.processes import Took
    from tests.benchmarks.readers import Reader

SHARE: Final = 0.2  # of the parties are members
TAGGED: Final = 0.3  # the share of persons to whom the simulator's seed gives a tag
CAPSULE_PAGE: Final = 100
CAPSULE_REST: Final = 2
OFFICERND_PAGE: Final = 50
OFFICERND_REST: Final = 4
FLAT: Final = 1.10
"""How many times its memory over the smallest account a pass over the largest may take: the allocator's noise."""
# Reads of whole lists; whatever else is asked of either side is for single records.
CAPSULE_LISTS: Final = frozenset(
    {
        "GET /parties",
        "GET /opportunities",
        "GET /parties/deleted",
        "GET /opportunities/deleted",
        "POST /parties/filters/results",
    }
)
OFFICERND_LISTS: Final = frozenset({"GET /companies", "GET /members", "GET /opportunities", "POST /oauth/token"})
HEADS: Final = (
    "records",
    "changed",
    "who",
    "Capsule calls",
    "OfficeRnD lists",
    "other reads",
    "writes",
    "s",
    "records/s",
    "CPU s",
    "peak MiB",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Parties of each account, and how often each pass and each reading without changes is made."""

    parties: tuple[int, ...]
    rounds: int


SIZES: Final = {
    "reduced": Sizes((500, 1_500), 2),
    "tiny": Sizes((60, 120), 1),
    "full": Sizes((10_000, 100_000), 2),
}


@dataclass(frozen=True, slots=True)
class Made:
    """One pass, or one reading of a peer: records that it was shown, what it took, and calls to both sides by their kind."""

    records: int
    took: Took
    capsule: Mapping[str, int]
    officernd: Mapping[str, int] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def capsule_calls(self) -> int:
        return sum(self.capsule.values())

    @property
    def lists(self) -> int:
        """Pages of OfficeRnD's lists, sign-ins included."""
        return sum(number for route, number in self.officernd.items() if route in OFFICERND_LISTS)

    @property
    def writes(self) -> int:
        """Calls that change a record in OfficeRnD."""
        return sum(
            number
            for route, number in self.officernd.items()
            if route not in OFFICERND_LISTS and route.startswith(("POST", "PUT", "DELETE"))
        )

    @property
    def others(self) -> int:
        """Reads that are of no list, on both sides."""
        capsule = sum(number for route, number in self.capsule.items() if route not in CAPSULE_LISTS)
        return capsule + sum(self.officernd.values()) - self.lists - self.writes

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.took.seconds

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        figures = {"records": self.records, "seconds": self.took.seconds, "cpu": self.took.cpu, "peak_mib": self.took.peak_mib}
        calls = {"capsule": dict(self.capsule), "officernd": dict(self.officernd)}
        return {name: rounded(value) for name, value in figures.items()} | calls


def run(sizes: Sizes) -> Result:
    """One account after another."""
    result = Result("reconcile", (__doc__ or "").replace("\n", " ").strip())
    peaks: list[list[float]] = []
    table: list[list[str]] = []
    for number in sizes.parties:
        with tempfile.TemporaryDirectory(prefix="bench-reconcile-") as name, System(Path(name), hooks=False) as system:
            account = Account(system, Path(name), number, result, table)
            peaks.append(account.measure(sizes.rounds))
    flat(result, sizes.parties, peaks)
    result.extra["table"] = markdown(table)
    print(result.extra["table"], flush=True)
    return result


def flat(result: Result, parties: Sequence[int], peaks: Sequence[Sequence[float]]) -> None:
    """The memory of the largest account's full passes beside that of the smallest's."""
    least = statistics.median(peaks[0])
    ratios = [one / least for one in peaks[-1]]
    what = f"peak memory, full, nothing changed: {parties[-1]:,} records over {parties[0]:,}"
    result.add(what, "times", ratios, most=FLAT)


@dataclass(slots=True)
class Account:
    """Both sides with so many parties, and what is measured with them."""

    system: System
    folder: Path
    parties: int
    result: Result
    table: list[list[str]]
    members: int = 0
    ours: float = 0.0

    def measure(self, rounds: int) -> list[float]:
        """Everything. Returns the peaks of the full passes over unchanged records."""
        tagged = min(round(self.parties * SHARE / TAGGED), self.parties)
        self.system.capsule.control("POST", "seed", {"people": tagged, "tags": ["member"], "seed": 1})
        self.system.capsule.control("POST", "seed", {"people": self.parties - tagged, "seed": 2})
        first = self._pass("--full")
        self.members = len(self.system.records("members"))
        self._tell("all", "first full pass", [first])
        untouched = self._pass("--incremental")
        row = self._tell("0 %", "incremental pass", [untouched])
        self._judge(f"{row}: calls to OfficeRnD", "calls", [sum(untouched.officernd.values())], 0)
        self._drift()
        peaks = self._unchanged(rounds)
        self._changed()
        return peaks

    # ------------------------------------------------------------------ the passes
    def _drift(self) -> None:
        """A full pass that must find, count and repair what was changed on both sides."""
        drift = inject(self.system)
        made = self._pass("--full")
        row = self._tell("1 %", "full pass", [made])
        injected, counted = drift.document(), drift.counted(made.said)
        wrong = sum(abs(injected[side] - counted[side]) for side in injected)
        self.result.add(f"{row}: drift injected on both sides", "records", [sum(injected.values())])
        self._judge(f"{row}: drift injected and not counted, or the reverse", "records", [wrong], 0)
        self._judge(f"{row}: drift not repaired", "records", [len(drift.left(self.system))], 0)

    def _unchanged(self, rounds: int) -> list[float]:
        """Full passes over unchanged records, in turns with the peers' first readings."""
        made: list[Made] = []
        read: dict[str, list[Made]] = {}
        for number in range(rounds):
            made.append(self._pass("--full"))
            for reader in self._readers(again=number > 0):
                read.setdefault(reader.name, []).append(self._reading(reader, number))
        row = self._tell("0 %", "full pass", made)
        self.ours = statistics.median(one.took.seconds for one in made)
        calls, lists = self.parties / CAPSULE_PAGE + CAPSULE_REST, self.members / OFFICERND_PAGE + OFFICERND_REST
        self._judge(f"{row}: all calls to Capsule", "calls", [one.capsule_calls for one in made], calls)
        self._judge(f"{row}: all calls to OfficeRnD", "calls", [sum(one.officernd.values()) for one in made], lists)
        self._judge(f"{row}: calls for single records", "calls", [one.others + one.writes for one in made], 0)
        self._judge(f"{row}: records opened", "records", [one.said["opened"] for one in made], 0)
        for name, those in read.items():
            self._tell("0 %", f"{name}, reads all", those)
        return [one.took.peak_mib for one in made]

    def _changed(self) -> None:
        """Passes over what was edited in Capsule since the last one, with the peers' own bookmarks beside them."""
        people = [one["id"] for one in self.system.capsule.control("GET", "state")["parties"]]
        some = random.Random(11).sample(people, max(len(people) // 100, 1))
        for share, numbers, kinds in (("1 %", some, ("--incremental",)), ("100 %", people, ("--full", "--incremental"))):
            for kind in kinds:
                mark = f"{kind.strip('-')}{len(numbers)}x"
                self._edit(numbers, mark)
                made = self._pass(kind)
                row = self._tell(share, f"{kind.strip('-')} pass", [made])
                self._judge(f"{row}: edited and not opened", "records", [max(len(numbers) - made.said["opened"], 0)], 0)
                self._judge(f"{row}: members not as edited", "records", [self._behind(numbers, mark)], 0)
            for reader in self._readers(again=share != "1 %"):
                made = self._reading(reader, 0)
                if made.records < len(numbers):
                    raise RuntimeError(f"{reader.name} read {made.records} of {len(numbers)} changed records")
                self._tell(share, f"{reader.name}, reads what changed", [made])

    def _edit(self, numbers: Sequence[int], mark: str) -> None:
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(lambda number: self.system.edit(number, lastName=f"{mark}{number}"), numbers))

    def _behind(self, numbers: Sequence[int], mark: str) -> int:
        """How many members of these persons do not have the name that was given to them last."""
        linked = [(one["properties"].get(LINK), str(one["name"])) for one in self.system.records("members")]
        names = {int(link): name for link, name in linked if link}
        return sum(number in names and not names[number].endswith(f"{mark}{number}") for number in numbers)

    # ------------------------------------------------------------------ one at a time
    def _pass(self, kind: str) -> Made:
        """One `capsule-relay sync`."""
        counts, said = self._counts(), self.folder / "pass.json"
        words = [kind] if kind == "--full" else []
        command = [sys.executable, "-m", "workers", "sync", NAME, "--json", *words]
        used = took(command, env=self.system.env | {"REDIS_URL": self.system.redis_url()}, said=said)
        until(self.system.idle, "nothing is open", seconds=600)
        document = json.loads(said.read_text(encoding="utf-8"))
        after = self._counts()
        return Made(document["found"], used, more(after[0], counts[0]), more(after[1], counts[1]), document)

    def _reading(self, reader: Reader, turn: int) -> Made:
        """One reading of a peer; a new `turn` begins anew."""
        folder = self.folder / f"{reader.name.replace(' ', '-')}-{turn}"
        fresh, said = not folder.exists(), self.folder / "reading.out"
        if fresh:
            folder.mkdir()
            reader.prepare(self.system.capsule.url, folder)
        counts = self._counts()
        used = took(reader.command(self.system.capsule.url, folder), env=reader.env(folder), said=said)
        made = Made(reader.found(folder, said), used, more(self._counts()[0], counts[0]))
        if fresh and made.records != self.parties:
            raise RuntimeError(f"{reader.name} read {made.records} of {self.parties} records")
        return made

    @staticmethod
    def _readers(*, again: bool) -> list[Reader]:
        """The peers; those that do more than read have one turn."""
        return [one for one in readers() if one.reads_alone or not again]

    def _counts(self) -> list[dict[str, int]]:
        return [dict(one.control("GET", "counts")) for one in (self.system.capsule, self.system.officernd)]

    # ------------------------------------------------------------------ what is told
    def _tell(self, share: str, who: str, made: Sequence[Made]) -> str:
        """The figures that all have. Returns what they are called."""
        row = f"{self.parties:,} records, {share} changed, {who}"
        seconds = [one.took.seconds for one in made]
        beside = {"relay's full pass": statistics.median(seconds) / self.ours} if self.ours and "reads all" in who else {}
        self.result.add(f"{row}: seconds", "s", seconds, ratios=beside)
        self.result.add(f"{row}: peak memory", "MiB", [one.took.peak_mib for one in made])
        self.table.append(line(self.parties, share, who, made))
        # Each as it comes: an account of the largest size takes long, and what was measured should not be lost with it.
        print(
            "reconcile:",
            "; ".join(f"{head} {cell}" for head, cell in zip(HEADS, self.table[-1], strict=True) if cell),
            file=sys.stderr,
            flush=True,
        )
        self.result.extra.setdefault("passes", {})[row] = [one.document() for one in made]
        return row

    def _judge(self, what: str, unit: str, samples: Sequence[float], most: float) -> None:
        """A figure with a target, said as it comes for the same reason."""
        row = self.result.add(what, unit, samples, most=most)
        print(
            f"reconcile: {what}: {row.median:g} {unit}, {row.target}: {'met' if row.met else 'MISSED'}",
            file=sys.stderr,
            flush=True,
        )


def line(parties: int, share: str, who: str, made: Sequence[Made]) -> list[str]:
    """A line of the table: medians."""

    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    reads = not made[0].said
    sides = [[one.lists for one in made], [one.others for one in made], [one.writes for one in made]]
    return [
        f"{parties:,}",
        share,
        who,
        f"{median([one.capsule_calls for one in made]):,.0f}",
        *("" if reads else f"{median(numbers):,.0f}" for numbers in sides),
        f"{median([one.took.seconds for one in made]):.1f}",
        f"{median([one.rate for one in made]):,.0f}",
        f"{median([one.took.cpu for one in made]):.1f}",
        f"{median([one.took.peak_mib for one in made]):.0f}",
    ]


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The table of all passes and readings, one a line."""
    rule = ["--:", "--:", "---", *["--:"] * (len(HEADS) - 3)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (HEADS, rule, *lines))
