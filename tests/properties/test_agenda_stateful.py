"""The agenda's promises under every order of steps that Hypothesis can think of, on the real scripts and a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from mapping.agenda import LANES
from tests.properties.agenda_world import CONNECTION, Broken, World

if TYPE_CHECKING:
    import redis

which = st.integers(min_value=0, max_value=5)


class AgendaMachine(RuleBasedStateMachine):
    """One rule per thing that can happen. `store` and `off` are set by the test that runs it."""

    store: ClassVar[redis.Redis]
    off: ClassVar[str | None] = None
    restarts: ClassVar[bool] = False
    taken_steps: ClassVar[int] = 0

    world: World

    @initialize()
    def begin(self) -> None:
        self.world = World(self.store, off=self.off)

    def _worker(self, n: int, state: str) -> object:
        fitting = [worker for worker in self.world.workers if worker.state == state]
        return fitting[n % len(fitting)]

    def _any(self, state: str) -> bool:
        return any(worker.state == state for worker in self.world.workers)

    # outside
    @rule(n=which)
    def edit(self, n: int) -> None:
        self.world.edit(self.world.records[n % 2])

    @precondition(lambda self: self.world.wire)
    @rule(n=which, keep=st.booleans())
    def deliver(self, n: int, keep: bool) -> None:
        self.world.deliver(n % len(self.world.wire), keep=keep)

    @precondition(lambda self: self.world.page is None)
    @rule(n=which)
    def page_mark(self, n: int) -> None:
        self.world.page_mark(self.world.records[n % 2])

    @precondition(lambda self: self.world.page is not None and self.world.page[2] is None)
    @rule()
    def page_read(self) -> None:
        self.world.page_read()

    @precondition(lambda self: self.world.page is not None and self.world.page[2] is not None)
    @rule()
    def page_open(self) -> None:
        self.world.page_open()

    # workers
    @rule(n=which)
    def step(self, n: int) -> None:
        self.world.step(self.world.workers[n % 3])

    @rule(n=which)
    def step_on(self, n: int) -> None:
        self.world.step(self.world.workers[n % 3])
        self.world.step(self.world.workers[n % 3])

    @precondition(lambda self: self.world.flights)
    @rule(n=which, answered=st.booleans())
    def land(self, n: int, answered: bool) -> None:
        self.world.land(self.world.flights[n % len(self.world.flights)], answered=answered)

    @precondition(lambda self: self._any("sent"))
    @rule(n=which)
    def give_up(self, n: int) -> None:
        self.world.give_up(self._worker(n, "sent"))  # type: ignore[arg-type]

    @precondition(lambda self: self._any("taken"))
    @rule(n=which, wait=st.sampled_from((0, 400, 3_000)), spend=st.booleans())
    def fail(self, n: int, wait: int, spend: bool) -> None:
        self.world.hand_back(self._worker(n, "taken"), due=self.world.now + wait, spend=spend, touched=False)  # type: ignore[arg-type]

    @precondition(lambda self: self._any("read"))
    @rule(n=which)
    def bury(self, n: int) -> None:
        self.world.bury(self._worker(n, "read"))  # type: ignore[arg-type]

    @rule(n=which)
    def kill(self, n: int) -> None:
        self.world.kill(self.world.workers[n % 3])

    # clock, people, Redis
    @rule(ms=st.sampled_from((50, 400, 1_100, 2_200, 3_300)))
    def advance(self, ms: int) -> None:
        self.world.advance(ms)

    @rule()
    def sweep(self) -> None:
        self.world.sweep()

    @rule(lane=st.sampled_from(LANES))
    def the_queue_loses_its_bells(self, lane: str) -> None:
        self.world.store.delete(f"dramatiq:{lane}", f"dramatiq:{lane}.msgs")

    @rule(on=st.booleans())
    def pause_or_resume(self, on: bool) -> None:
        if on:
            self.world.agenda.pause(CONNECTION, reason="test")
        else:
            self.world.agenda.resume(CONNECTION)

    @rule(n=which)
    def a_letter_is_shown(self, n: int) -> None:
        self.world.show(self.world.records[n % 2])

    @precondition(lambda self: self.world.wishes)
    @rule(n=which)
    def a_replay_is_clicked(self, n: int) -> None:
        self.world.click(n % len(self.world.wishes))

    @precondition(lambda self: self.world.wishes)
    @rule(n=which)
    def a_discard_is_clicked(self, n: int) -> None:
        self.world.discard(n % len(self.world.wishes))

    @precondition(lambda self: self.restarts and self.world.saved is None)
    @rule()
    def save(self) -> None:
        self.world.save()

    @precondition(lambda self: self.restarts and self.world.saved is not None and self.world.run_id < 3)
    @rule(older=st.booleans())
    def redis_restarts(self, older: bool) -> None:
        if older:
            self.world.restore()
        else:
            self.world.restart()

    @invariant()
    def promises(self) -> None:
        if hasattr(self, "world"):
            type(self).taken_steps += 1
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def machine(store: redis.Redis, off: str | None, *, restarts: bool = False) -> type[AgendaMachine]:
    made: type[AgendaMachine] = type(
        "Machine", (AgendaMachine,), {"store": store, "off": off, "restarts": restarts, "taken_steps": 0}
    )
    return made


@pytest.mark.timeout(900)
@pytest.mark.parametrize("restarts", [False, True], ids=["redis stays", "redis restarts, also with older data"])
def test_every_promise_holds_in_any_order_of_steps(store: redis.Redis, restarts: bool) -> None:
    made = machine(store, None, restarts=restarts)
    run_state_machine_as_test(
        made, settings=settings(max_examples=200, stateful_step_count=60, deadline=None, suppress_health_check=QUIET)
    )
    print(f"agenda: {made.taken_steps} steps checked")
    assert made.taken_steps >= 5_000


# Those that this small world catches soon. The model (tests/model) switches every guard off in turn.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "guard",
    ["seq", "later_seq", "bury_seq", "intent", "snap_mark", "snap_lease", "snap_drop", "expiry", "due", "topup", "pause"],
)
def test_a_guard_switched_off_breaks_a_promise(store: redis.Redis, guard: str) -> None:
    made = machine(store, guard)
    bounded = settings(
        max_examples=1_500,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=QUIET,
        phases=[Phase.generate],
        database=None,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        seed(20261120)(lambda: run_state_machine_as_test(made, settings=bounded))()


@pytest.mark.parametrize("guard", [None, "replay_same", "replay_closed"])
def test_a_letter_that_is_clicked_again_and_again_is_replayed_once(store: redis.Redis, guard: str | None) -> None:
    world = World(store, off=guard)
    record, worker = world.records[0], world.workers[0]
    world.edit(record)
    world.deliver(0, keep=False)

    def fail() -> None:
        world.step(worker)
        world.step(worker)
        world.bury(worker)

    def clicks() -> None:
        world.click(0)
        world.click(0)
        fail()
        world.click(0)

    fail()
    world.show(record)
    if guard is None:
        clicks()
        world.check()
    else:
        with pytest.raises(Broken, match="replayed twice"):
            clicks()
