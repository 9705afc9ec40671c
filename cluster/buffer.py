"""Sealed trajectory chunks waiting for the learner. Its budget bounds memory and policy lag by construction.

In: permission asked by environments, then what they sealed (a chunk, or a reference to one in the object
store). Out: batches for the learner, oldest permission first.

An environment may begin a chunk only with a slot. A slot reserves the chunk's largest possible length until
it is sealed, then its true length, and is returned when the update that used it has been *published* to the
replicas. A slot is granted while fewer than `(max_lag + 1) * decisions_per_update` decisions are reserved:
that bounds memory.

It bounds lag as well. Say a slot is granted while version w is being served. Fewer than (max_lag + 1) * D
decisions are ahead of it, D = `decisions_per_update`. Batches are taken in the order of slots and hold at
least D decisions, so the updates from versions w, w + 1, ..., w + max_lag use up everything ahead and hence
this chunk too; if one of them was already under way, its own D decisions were among those ahead. All
decisions of the chunk were made by version w or a later one, so the learner, at version w + max_lag at
most, is never more than max_lag ahead. When the learner is behind, no slot is granted: producers wait.
Nothing is ever thrown away for being old.

Slots come in groups (episodes to be compared with each other; usually of one): slot n is in group n //
group_size. A batch never splits a group, and a begun group is always granted whole, so the argument holds
for its first slot and with it for all.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

Payload = TypeVar("Payload")


@dataclass(slots=True)
class _Slot(Generic[Payload]):
    num_decisions: int
    """Reserved while open, true once sealed."""
    payload: Payload | None = None
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[Payload]):
    """What one update trains on."""

    slots: tuple[int, ...]
    payloads: tuple[Payload, ...]
    num_decisions: int


class TrajectoryBuffer(Generic[Payload]):
    """Slots in the order they were granted; sealed ones wait for the learner."""

    def __init__(
        self,
        *,
        decisions_per_update: int,
        max_lag: int,
        max_chunk_decisions: int,
        group_size: int = 1,
        next_slot: int = 0,
    ) -> None:
        self._decisions_per_update = decisions_per_update
        self._capacity = (max_lag + 1) * decisions_per_update
        self._max_chunk_decisions = max_chunk_decisions
        self.group_size = group_size
        self._slots: OrderedDict[int, _Slot[Payload]] = OrderedDict()
        self._num_reserved = 0
        self._num_waiting = 0
        self.next_slot = -(-next_slot // group_size) * group_size
        """Number of the next slot: never used twice in a run."""
        self.num_refused = 0
        """Chunks refused because their slot was not open, such as a chunk delivered twice."""
        self.num_discarded = 0
        """Groups that were given up because nothing can be learned from them."""

    @property
    def num_reserved(self) -> int:
        """Decisions that open, waiting and taken chunks hold or may grow to."""
        return self._num_reserved

    @property
    def num_waiting(self) -> int:
        """Sealed decisions that no update has taken yet."""
        return self._num_waiting

    @property
    def open_slots(self) -> tuple[int, ...]:
        """Slots of chunks still being made."""
        return tuple(number for number, slot in self._slots.items() if slot.payload is None)

    def group_of(self, number: int) -> int:
        """Slots of one group are trained on together."""
        return number // self.group_size

    def scalars(self) -> dict[str, float]:
        """For the metrics, in decisions (`refused` in chunks, `discarded` in groups)."""
        return {
            "buffer/waiting": float(self._num_waiting),
            "buffer/reserved": float(self._num_reserved),
            "buffer/refused": float(self.num_refused),
            "buffer/discarded": float(self.num_discarded),
        }

    def has_room(self) -> bool:
        """Whether a slot may be granted now."""
        return self._num_reserved < self._capacity or self.next_slot % self.group_size != 0

    def open(self) -> int:
        """Grant the next slot."""
        assert self.has_room(), "ask has_room() first"
        number = self.next_slot
        self.next_slot += 1
        self._slots[number] = _Slot(self._max_chunk_decisions)
        self._num_reserved += self._max_chunk_decisions
        return number

    def seal(self, number: int, payload: Payload, num_decisions: int) -> bool:
        """Deliver a slot's chunk. False, and nothing kept, if the slot is not open (any more)."""
        slot = self._slots.get(number)
        if slot is None or slot.payload is not None:
            self.num_refused += 1
            return False
        assert 0 < num_decisions <= self._max_chunk_decisions
        self._num_reserved -= slot.num_decisions - num_decisions
        self._num_waiting += num_decisions
        slot.num_decisions, slot.payload = num_decisions, payload
        return True

    def drop(self, number: int) -> None:
        """Give an open slot back: its episode was interrupted."""
        slot = self._slots.get(number)
        if slot is not None and slot.payload is None:
            self._forget(number)

    def discard_group(self, number: int) -> None:
        """Give back the slots of this slot's group, whose chunks are all sealed and wait."""
        self.num_discarded += 1
        for other in [slot for slot in self._slots if self.group_of(slot) == self.group_of(number)]:
            assert self._slots[other].payload is not None
            assert not self._slots[other].taken
            self._num_waiting -= self._slots[other].num_decisions
            self._forget(other)

    def take(self) -> Batch[Payload] | None:
        """The oldest chunks, `decisions_per_update` decisions or more; None while an older one is open."""
        numbers = self._ready()
        if numbers is None:
            return None
        payloads, num_decisions = [], 0
        for slot in map(self._slots.__getitem__, numbers):
            assert slot.payload is not None
            slot.taken = True
            payloads.append(slot.payload)
            num_decisions += slot.num_decisions
        self._num_waiting -= num_decisions
        return Batch(slots=tuple(numbers), payloads=tuple(payloads), num_decisions=num_decisions)

    def release(self, batch: Batch[Payload]) -> None:
        """The update that used this batch has been published: its room may be granted again."""
        for number in batch.slots:
            self._forget(number)

    def put_back(self, batch: Batch[Payload]) -> None:
        """The update that took this batch came to nothing: its chunks wait again."""
        for number in batch.slots:
            self._slots[number].taken = False
        self._num_waiting += batch.num_decisions

    def _forget(self, number: int) -> None:
        self._num_reserved -= self._slots.pop(number).num_decisions

    def _ready(self) -> list[int] | None:
        """Slots of the next batch, if it is complete."""
        if self._num_waiting < self._decisions_per_update:
            return None
        numbers: list[int] = []
        num_decisions = 0
        for number, slot in self._slots.items():
            if slot.taken:
                continue
            enough = num_decisions >= self._decisions_per_update
            if enough and self.group_of(numbers[-1]) != self.group_of(number):
                return numbers
            if slot.payload is None:
                return None
            numbers.append(number)
            num_decisions += slot.num_decisions
        return None if self.group_of(numbers[-1]) == self.group_of(self.next_slot) else numbers
