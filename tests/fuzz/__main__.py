"""Guided by coverage where atheris is installed (`make fuzz`), else by the mutator alone; prints the figures.

python -m tests.fuzz RUNS [--seed N] [--unguided]
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import tempfile
import time
from pathlib import Path


def unguided(runs: int, seed: int) -> int:
    """Deterministic inputs; the number of the one that failed is said, and the input is kept."""
    from tests.fuzz import harness, mutator  # noqa: PLC0415 - imported after atheris would instrument it

    began = time.monotonic()
    for number, data in enumerate(mutator.inputs(runs, seed=seed)):
        try:
            harness.one(data)
        except BaseException:
            kept = Path(tempfile.gettempdir()) / f"relay-fuzz-{seed}-{number}"
            kept.write_bytes(data)
            print(f"input {number} of seed {seed} failed; it is in {kept}", file=sys.stderr)
            raise
    seconds = time.monotonic() - began
    print(f"fuzz: {runs} inputs, seed {seed}, 0 crashes, 0 answers of 5xx, {seconds:.0f} s, {runs / seconds:.0f} a second")
    return 0


def guided(runs: int, seed: int) -> int:
    """Coverage-guided by libFuzzer, which mixes its own mutations with ours. It ends the process by itself."""
    import atheris  # type: ignore[import-untyped] # noqa: PLC0415 - it is not on every machine

    with atheris.instrument_imports(include=["receiver", "mapping"]):
        from tests.fuzz import harness  # noqa: PLC0415 - imported while it instruments
    from tests.fuzz import mutator  # noqa: PLC0415 - the same

    def mixed(data: bytes, longest: int, number: int) -> bytes:
        chance = random.Random(number)
        made: bytes = mutator.mutate(data, chance) if chance.random() < 0.5 else atheris.Mutate(data, longest)
        return made[:longest]

    with tempfile.TemporaryDirectory() as grown:
        arguments = [f"-runs={runs}", f"-seed={seed}", f"-max_len={mutator.LONGEST}", "-print_final_stats=1", "-timeout=10"]
        arguments += [f"-artifact_prefix={tempfile.gettempdir()}/relay-fuzz-"]
        atheris.Setup([sys.argv[0], *arguments, grown, str(mutator.CORPUS)], harness.one, custom_mutator=mixed)
        atheris.Fuzz()
    return 0


def main() -> int:
    """Runs as many inputs as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unguided", action="store_true")
    told = parser.parse_args()
    if told.unguided:
        return unguided(told.runs, told.seed)
    if importlib.util.find_spec("atheris") is None:
        print(
            "SKIPPED: coverage guidance: atheris is not installed (make fuzz installs it); going on without it", file=sys.stderr
        )
        return unguided(told.runs, told.seed)
    return guided(told.runs, told.seed)


if __name__ == "__main__":
    sys.exit(main())
