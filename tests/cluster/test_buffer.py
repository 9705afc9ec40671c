"""The buffer: what it accepts, in which order it gives, and the bounds that hold whatever happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cluster.buffer import Batch, TrajectoryBuffer


def make(
    decisions_per_update: int = 10, max_lag: int = 1, max_chunk: int = 5, group_size: int = 1
) -> TrajectoryBuffer[str]:
    return TrajectoryBuffer(
        decisions_per_update=decisions_per_update,
        max_lag=max_lag,
        max_chunk_decisions=max_chunk,
        group_size=group_size,
    )


def test_gives_the_oldest_slots_first_and_only_when_no_older_one_is_open():
    buffer = make()
    slots = [buffer.open() for _ in range(4)]
    for slot in (slots[1], slots[2], slots[3]):
        buffer.seal(slot, f"chunk {slot}", 5)
    assert buffer.take() is None  # 15 decisions wait, but slot 0 is older and still open
    buffer.seal(slots[0], "chunk 0", 2)
    batch = buffer.take()
    assert batch is not None
    assert batch.payloads == ("chunk 0", "chunk 1", "chunk 2")
    assert batch.num_decisions == 12


def test_blocks_producers_until_the_update_is_released():
    buffer = make(decisions_per_update=10, max_lag=0, max_chunk=5)
    for _ in range(2):
        buffer.seal(buffer.open(), "chunk", 5)
    assert not buffer.has_room()
    batch = buffer.take()
    assert batch is not None
    assert not buffer.has_room()  # taken is not yet published
    buffer.release(batch)
    assert buffer.has_room()


def test_short_chunks_give_their_reservation_back():
    buffer = make(decisions_per_update=10, max_lag=0, max_chunk=5)
    for _ in range(5):
        buffer.seal(buffer.open(), "chunk", 1)
    assert buffer.has_room()  # 5 of 10 decisions; by whole reservations it would be full


def test_refuses_a_chunk_twice_and_a_chunk_of_a_dropped_slot():
    buffer = make()
    first, second = buffer.open(), buffer.open()
    assert buffer.seal(first, "once", 3)
    assert not buffer.seal(first, "twice", 3)
    buffer.drop(second)
    assert not buffer.seal(second, "late", 3)
    assert (buffer.num_waiting, buffer.num_refused) == (3, 2)


def test_dropping_a_sealed_slot_keeps_its_chunk():
    buffer = make(decisions_per_update=3)
    slot = buffer.open()
    buffer.seal(slot, "chunk", 3)
    buffer.drop(slot)
    batch = buffer.take()
    assert batch is not None
    assert batch.payloads == ("chunk",)


def test_a_failed_update_gives_its_chunks_back_in_order():
    buffer = make(decisions_per_update=4)
    for name in ("a", "b"):
        buffer.seal(buffer.open(), name, 2)
    batch = buffer.take()
    assert batch is not None
    assert buffer.take() is None
    buffer.put_back(batch)
    assert buffer.take() == batch


def test_never_splits_a_group():
    buffer = make(decisions_per_update=4, max_lag=0, max_chunk=2, group_size=3)
    slots = [buffer.open() for _ in range(2)]
    for slot in slots:
        buffer.seal(slot, "chunk", 2)
    assert buffer.has_room()  # the budget is used up, but the group is not complete
    assert buffer.take() is None
    buffer.seal(buffer.open(), "chunk", 2)
    batch = buffer.take()
    assert batch is not None
    assert batch.slots == (0, 1, 2)


def test_a_discarded_group_makes_room_and_is_never_taken():
    buffer = make(decisions_per_update=4, max_lag=0, max_chunk=2, group_size=2)
    for slot in [buffer.open() for _ in range(2)]:
        buffer.seal(slot, "alike", 2)
    buffer.discard_group(1)
    assert buffer.num_waiting == buffer.num_reserved == 0
    assert buffer.num_discarded == 1
    for slot in [buffer.open() for _ in range(2)]:
        buffer.seal(slot, "mixed", 2)
    batch = buffer.take()
    assert batch is not None
    assert batch.payloads == ("mixed", "mixed")


def test_numbering_goes_on_at_a_whole_group():
    buffer: TrajectoryBuffer[str] = TrajectoryBuffer(
        decisions_per_update=4, max_lag=0, max_chunk_decisions=2, group_size=4, next_slot=6
    )
    assert buffer.open() == 8


class Loop(RuleBasedStateMachine):
    """Producers and a learner that do anything allowed, in any order."""

    decisions_per_update = 12
    max_chunk = 5
    max_lag = 2
    group_size = 1

    def __init__(self) -> None:
        super().__init__()
        self.buffer: TrajectoryBuffer[tuple[int, int]] = TrajectoryBuffer(
            decisions_per_update=self.decisions_per_update,
            max_lag=self.max_lag,
            max_chunk_decisions=self.max_chunk,
            group_size=self.group_size,
        )
        self.version = 0
        self.open: dict[int, int] = {}
        self.batch: Batch[tuple[int, int]] | None = None
        self.trained: set[int] = set()

    @precondition(lambda self: self.buffer.has_room())
    @rule()
    def begin(self) -> None:
        self.open[self.buffer.open()] = self.version

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 10**6), length=st.integers(1, 5))
    def seal(self, which: int, length: int) -> None:
        slot = sorted(self.open)[which % len(self.open)]
        assert self.buffer.seal(slot, (slot, self.open.pop(slot)), length)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 10**6))
    def interrupt(self, which: int) -> None:
        slot = sorted(self.open)[which % len(self.open)]
        del self.open[slot]
        self.buffer.drop(slot)

    @precondition(lambda self: self.batch is None)
    @rule()
    def take(self) -> None:
        self.batch = self.buffer.take()
        if self.batch is None:
            return
        assert self.batch.num_decisions >= self.decisions_per_update
        for slot, oldest_version in self.batch.payloads:
            assert self.version - oldest_version <= self.max_lag
            assert slot not in self.trained

    @precondition(lambda self: self.batch is not None)
    @rule(succeeds=st.booleans())
    def conclude(self, succeeds: bool) -> None:
        assert self.batch is not None
        if succeeds:
            self.version += 1
            self.trained |= set(self.batch.slots)
            self.buffer.release(self.batch)
        else:
            self.buffer.put_back(self.batch)
        self.batch = None

    @invariant()
    def memory_is_bounded(self) -> None:
        bound = (self.max_lag + 1) * self.decisions_per_update + self.group_size * self.max_chunk
        assert self.buffer.num_reserved < bound
        assert 0 <= self.buffer.num_waiting <= self.buffer.num_reserved

    @invariant()
    def never_stuck(self) -> None:
        """A producer may begin, one is at work, or the learner has a batch or can take one."""
        can_take = self.batch is None and self.buffer._ready() is not None
        assert self.buffer.has_room() or self.open or self.batch is not None or can_take


class GroupedLoop(Loop):
    group_size = 3
    max_lag = 1


class SynchronousLoop(Loop):
    max_lag = 0


@pytest.mark.parametrize("loop", [Loop, GroupedLoop, SynchronousLoop])
def test_bounds_hold_whatever_happens(loop: type[Loop]) -> None:
    test = loop.TestCase
    test.settings = settings(max_examples=60, stateful_step_count=120, deadline=None)
    test("runTest").runTest()


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=200), max_lag=st.integers(0, 4))
@settings(deadline=None)
def test_a_producer_that_never_stops_reaches_the_bound_and_not_more(lengths: list[int], max_lag: int) -> None:
    """The worst case: everything is produced at once at version 0, then trained on batch by batch."""
    buffer = make(decisions_per_update=10, max_lag=max_lag)
    for length in lengths:
        if buffer.has_room():
            buffer.seal(buffer.open(), "chunk", length)
    version = 0
    while (batch := buffer.take()) is not None:
        assert version <= max_lag
        buffer.release(batch)
        version += 1
