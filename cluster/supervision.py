"""What is done when something breaks: the one place that decides, and counts.

In: parts whose members can die. Out: mended parts, counts, events, and whether the run was told to stop.

    an environment process dies, hangs, goes NaN   its worker restarts it; the open episode is dropped
    an EnvActor dies                               restarted; its open episodes are dropped
    an inference replica dies                      restarted; it gets the current weights before any request
    a learner rank dies                            the group restarts from the last checkpoint; rollouts wait
    the reward model dies                          restarted; updates wait for it or go on without its scores
    a node leaves                                  its members restart where there is room, or when it returns
    SIGTERM or SIGINT                              checkpoint, then exit with STOPPED
    something that cannot be mended                checkpoint, then `GivenUpError`
"""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from cluster.parts import Fault, GivenUpError, LearnerLostError, Mortal
from core.metrics import MetricsWriter

STOPPED = 75
"""Exit code of a run that was told to stop and can be resumed (EX_TEMPFAIL: try again)."""
MAX_FAULTS_IN_A_ROW = 50
"""Failures of one kind without an update in between after which the run gives up: mending does not help."""


def interrupt_on_sigterm() -> None:
    """While a run is only being started, SIGTERM is what Ctrl-C is: there is nothing to save yet."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class Supervisor:
    """Watches parts, mends them, counts."""

    def __init__(self, parts: Sequence[Mortal], writer: MetricsWriter) -> None:
        self._parts = parts
        self._writer = writer
        self._in_a_row: Counter[Fault] = Counter()
        self.counts: Counter[Fault] = Counter()
        self.told_to_stop = False
        self._signal = ""
        """By which it was told, until that is on record."""
        self._may_interrupt = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Meanwhile SIGTERM and SIGINT ask the loop to end in good order; a second SIGINT interrupts."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._record_signal()

    def attend(self) -> set[Fault]:
        """Mend what has died since the last call; returns the kinds that had."""
        self._record_signal()
        found = set()
        for part in self._parts:
            for member, reason in part.lost().items():
                self.note(part.fault, member, reason)
                self._mend(part, member)
                found.add(part.fault)
        return found

    def _mend(self, part: Mortal, member: int) -> None:
        """A learner may need minutes, only to be stopped: a run that is to end does without."""
        try:
            self._may_interrupt = part.fault is Fault.LEARNER
            if self._may_interrupt and self.told_to_stop:
                raise KeyboardInterrupt
            part.mend(member)
        except KeyboardInterrupt:
            if not self._may_interrupt:
                raise
            raise LearnerLostError("not replaced: the run was told to stop") from None
        finally:
            self._may_interrupt = False

    def note(self, fault: Fault, member: int, reason: str) -> None:
        """Count a failure of one member of a kind, and put it on record."""
        reason = f"{member}: {reason}"
        self.counts[fault] += 1
        self._in_a_row[fault] += 1
        self._writer.event("fault", fault=fault.value, member=member, reason=reason, count=self.counts[fault])
        if self._in_a_row[fault] > MAX_FAULTS_IN_A_ROW:
            raise GivenUpError(
                f"{fault.value} failed {MAX_FAULTS_IN_A_ROW} times without an update: {reason}"
            )

    def update_done(self) -> None:
        """Things work: failures before this do not count towards giving up."""
        self._in_a_row.clear()

    def scalars(self) -> dict[str, float]:
        """Failures since the run began."""
        return {f"faults/{fault.value}": float(self.counts[fault]) for fault in Fault}

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Whatever the loop is in the middle of, nothing is written here."""
        self.told_to_stop, self._signal = True, signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._may_interrupt:
            raise KeyboardInterrupt

    def _record_signal(self) -> None:
        if self._signal:
            self._writer.event("told_to_stop", signal=self._signal)
            self._signal = ""
