"""`python -m tests.faults run|table`: the fault suite at length. Each run is added to a file of results.

`run` runs the cases named by --cases (default: all), one after the other, together for --minutes; `table` adds up what the
file of results says.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import book
from tests.faults.cases import CASES
from tests.faults.scene import once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.verdict import Verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when nothing was lost, doubled, stale, stuck or leaked."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--cases", default="", help=f"names with commas, of: {', '.join(CASES)}")
    parser.add_argument("--minutes", type=float, default=0.0, help="for all cases together (default: half a minute for each)")
    parser.add_argument("--seed", type=int, default=0, help="default: a new one, which is printed")
    parser.add_argument("--records", type=int, default=400)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the edits a second")
    parser.add_argument("--results", type=Path, default=book.DEFAULT)
    parser.add_argument("--commit", default="", help="table: only runs of this commit")
    parser.add_argument("--keep", type=Path, help="run: where logs of runs that found something are kept")
    given = parser.parse_args(arguments)
    if given.what == "table":
        runs = [one for one in book.read(given.results) if one["commit"].startswith(given.commit)]
        print(book.table(runs))
        return int(any(one[wrong] for one in runs for wrong in book.WRONG))
    names = [name.strip() for name in given.cases.split(",") if name.strip()] or list(CASES)
    if unknown := set(names) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return run(given, names)


def run(given: argparse.Namespace, names: Sequence[str]) -> int:
    """Every case once, each for its share of the time."""
    seed = given.seed or random.randrange(1, 1_000_000)
    seconds = given.minutes * 60 / len(names) if given.minutes else 30.0
    print(f"seed {seed}, {seconds:.0f} s of faults for each of {len(names)} cases, commit {book.commit()}", flush=True)
    wrong = 0
    for number, name in enumerate(names):
        its_seed = seed + number
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            try:
                verdict, faults, figures = once(
                    CASES[name], Path(folder), seed=its_seed, seconds=seconds, records=given.records, scale=given.scale
                )
            except Exception:
                _keep(given.keep, Path(folder), f"{name}-{its_seed}")
                raise
            if not verdict.clean:
                _keep(given.keep, Path(folder), f"{name}-{its_seed}")
        book.write(given.results, name=name, seed=its_seed, seconds=seconds, verdict=verdict, faults=faults, figures=figures)
        wrong += not verdict.clean
        print(f"{name:15} seed {its_seed}: {summary(verdict)}; faults {faults}; {time.monotonic() - began:.0f} s {figures or ''}")
        for example in verdict.examples:
            print(f"                {example}", flush=True)
        sys.stdout.flush()
    return int(wrong > 0)


def summary(verdict: Verdict) -> str:
    """A verdict on one line."""
    wrong = ", ".join(f"{name} {getattr(verdict, name)}" for name in book.WRONG)
    return (
        f"{'clean' if verdict.clean else 'WRONG'}; {verdict.deliveries} deliveries of {verdict.changes} changes, "
        f"{verdict.records} records, {verdict.writes} writes; {wrong}, late {verdict.late}, undone {verdict.undone}; "
        f"caught up in {verdict.catch_up_s} s, longest lag {verdict.longest_lag_s} s"
    )


def _keep(where: Path | None, folder: Path, name: str) -> None:
    if where is not None and (folder / "up.log").exists():
        where.mkdir(parents=True, exist_ok=True)
        with (folder / "up.log").open("rb") as log, (where / f"{name}.log").open("wb") as kept:
            shutil.copyfileobj(log, kept)


if __name__ == "__main__":
    sys.exit(main())
