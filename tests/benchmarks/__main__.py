"""`make bench`: `python -m tests.benchmarks [--full] [--again] [PART...]`.

Each part prints its table and writes build/bench/PART-SIZES.json. With --full the sizes are the large ones, and parts whose
JSON is there already are not run again unless --again is said, so that a long run which was broken off goes on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
import traceback

from tests.benchmarks.report import FOLDER, text, write

PARTS = ("receiver", "pickup", "throughput", "coalescing", "reconcile", "footprint", "growth", "account")


def main() -> int:
    """Exit status 0, 1 when a target was missed, or 2 when a part did not come to its end."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all of them")
    parser.add_argument("--full", action="store_true", help="the large sizes")
    parser.add_argument("--again", action="store_true", help="also what was measured before")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    sizes = "full" if given.full else "reduced"
    missed = 0
    broken: list[str] = []
    for part in given.parts or PARTS:
        path = FOLDER / f"{part}-{sizes}.json"
        if given.full and path.exists() and not given.again:
            document = json.loads(path.read_text(encoding="utf-8"))
        else:
            module = importlib.import_module(f"tests.benchmarks.parts.{part}")
            began = time.monotonic()
            try:
                document = module.run(module.SIZES[sizes]).document(sizes, time.monotonic() - began)
            except Exception:  # noqa: BLE001 - the other parts are measured all the same
                traceback.print_exc()
                broken.append(part)
                continue
            write(document)
        print(text(document), flush=True)
        missed += sum(row.get("met") is False for row in document["rows"])
    print(f"{missed} figures miss their target" if missed else "every figure meets its target")
    if broken:
        print(f"not measured, see above why: {', '.join(broken)}")
    return 2 if broken else int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
