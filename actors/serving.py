"""A policy engine with a thread of its own: many callers, one loop of submit and step.

In: requests and adapters from any thread. Out: futures. Until the first adapter has come nothing is
answered, so that a replica that was restarted can never serve weights of long ago.

With `gather_s` an idle engine waits that long for more requests, and what comes while it computes waits for
the next round: on a CPU a step costs nearly the same for one request as for sixteen, so that small batches
would take the time that simulators and learner need. Without, every request joins the running ones at once.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from actors.busy import Busy
from actors.messages import Request
from core.types import Adapter, Decision
from policy.engine import Engine


@dataclass(slots=True)
class _Call:
    """Requests that came together and are answered together."""

    requests: Sequence[Request]
    answer: Future[list[Decision]]
    decisions: dict[int, Decision]


@dataclass(frozen=True, slots=True)
class _Update:
    adapter: Adapter
    done: Future[None]


class Serving:
    """Owns the engine; only its thread ever touches it."""

    def __init__(
        self,
        engine: Engine,
        *,
        on_crash: Callable[[BaseException], None],
        gather_s: float = 0.0,
        enough: int = 1,
    ) -> None:
        """`enough` requests end the gathering early."""
        self._engine = engine
        self._on_crash = on_crash
        self._gather_s, self._enough = gather_s, enough
        self._orders: SimpleQueue[_Call | _Update | None] = SimpleQueue()
        self._held: list[_Call] = []
        """Not yet given to the engine: the first weights have not come, or more requests are waited for."""
        self._held_since = 0.0
        self._is_open = False
        self.busy = Busy()
        """At what the engine does now."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def act(self, requests: Sequence[Request]) -> Future[list[Decision]]:
        """Decisions in the order of the requests."""
        answer: Future[list[Decision]] = Future()
        self._orders.put(_Call(requests, answer, {}))
        return answer

    def update(self, adapter: Adapter) -> Future[None]:
        """Done when whatever is asked from now on is answered with these weights."""
        done: Future[None] = Future()
        self._orders.put(_Update(adapter, done))
        return done

    def close(self) -> None:
        """Stop the thread, then the engine."""
        self._orders.put(None)
        self._thread.join()
        self._engine.close()

    def _run(self) -> None:
        """Fault-tolerance point: an engine that raises is broken for good; the owner must replace it."""
        try:
            while self._obey():
                with self.busy:
                    decided = self._engine.step()
                for key, decision in decided:
                    self._deliver(key, decision)
        except Exception as error:
            self._on_crash(error)

    def _obey(self) -> bool:
        """Carry out the orders that are there; with nothing to compute, wait for one."""
        patience_s = self._patience_s()
        while True:
            try:
                order = self._orders.get(timeout=patience_s)
            except Empty:
                break
            patience_s = 0.0
            if order is None:
                return False
            if isinstance(order, _Update):
                self._apply(order)
            else:
                self._hold(order)
        self._submit_held()
        return True

    def _patience_s(self) -> float | None:
        """How long to wait for an order; None for as long as it takes."""
        if self._engine.num_waiting > 0:
            return 0.0
        if not self._held or not self._is_open:
            return None
        return max(0.0, self._held_since + self._gather_s - time.monotonic())

    def _hold(self, call: _Call) -> None:
        if not self._held:
            self._held_since = time.monotonic()
        self._held.append(call)

    def _submit_held(self) -> None:
        if not self._is_open or not self._held or not self._has_gathered():
            return
        for call in self._held:
            self._submit(call)
        self._held.clear()

    def _has_gathered(self) -> bool:
        if self._gather_s == 0:
            return True
        in_time = time.monotonic() < self._held_since + self._gather_s
        too_few = sum(len(call.requests) for call in self._held) < self._enough
        return self._engine.num_waiting == 0 and not (in_time and too_few)

    def _apply(self, order: _Update) -> None:
        try:
            with self.busy:
                self._engine.update(order.adapter)
        except ValueError as error:  # refused; what was served before is served on
            order.done.set_exception(error)
            return
        self._is_open = True
        order.done.set_result(None)

    def _submit(self, call: _Call) -> None:
        try:
            for index, request in enumerate(call.requests):
                self._engine.submit((call, index), request.observation, request.greedy, request.seed)
        except ValueError as error:
            call.answer.set_exception(error)

    def _deliver(self, key: Any, decision: Decision) -> None:
        call, index = key
        call.decisions[index] = decision
        if len(call.decisions) == len(call.requests) and not call.answer.done():
            call.answer.set_result([call.decisions[i] for i in range(len(call.requests))])
