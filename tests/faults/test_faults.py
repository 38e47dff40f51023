"""The short version of the fault suite, for every run of the tests; `make faults` is the long one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.faults.cases import CASES
from tests.faults.installation import Installation
from tests.faults.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    # The load's own connections to a receiver that is killed end wherever they are; what counts is in the verdict.
    pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning"),
]

SECONDS = 4.0
RECORDS = 100
SEED = random.randrange(1, 1_000_000)
SHARED = [case for case in CASES.values() if case.short and not case.alone]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One installation for all cases, one after the other, as an outage comes after another."""
    directory = tmp_path_factory.mktemp("faults")
    print(f"seed {SEED}")
    with Installation(directory, deadline_s=1.0, stray_s=0.5, own_redis=True, vendor_proxy=True) as installation:
        shared = Scene(installation, seed=SEED)
        shared.settle(RECORDS)
        yield shared


@pytest.mark.parametrize("name", [case.name for case in SHARED])
def test_a_fault_under_load_loses_doubles_and_spoils_nothing(scene: Scene, name: str) -> None:
    verdict = scene.run(CASES[name], seconds=SECONDS)

    print(f"seed {SEED}: {name}: {dict(scene.faults)}; {verdict}")
    assert verdict.clean, verdict.examples
    assert verdict.deliveries > 0
    assert scene.faults.total() > 0
