"""A policy engine with a thread of its own: many callers, one loop of submit and step.

In: requests and adapters from any thread. Out: futures. Until the first adapter has come nothing is
answered, so that a replica that was restarted can never serve weights of long ago.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from core.types import Adapter, Decision, Observation
from policy.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One decision that is asked for."""

    observation: Observation
    greedy: bool
    seed: int


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

    def __init__(self, engine: Engine, *, on_crash: Callable[[BaseException], None]) -> None:
        self._engine = engine
        self._on_crash = on_crash
        self._orders: SimpleQueue[_Call | _Update | None] = SimpleQueue()
        self._early: list[_Call] = []
        self._is_open = False
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

    def stats(self) -> dict[str, float]:
        """The engine's own counters."""
        return self._engine.stats()

    def close(self) -> None:
        """Stop the thread, then the engine."""
        self._orders.put(None)
        self._thread.join()
        self._engine.close()

    def _run(self) -> None:
        """Fault-tolerance point: an engine that raises is broken for good; the owner must replace it."""
        try:
            while self._obey():
                for key, decision in self._engine.step():
                    self._deliver(key, decision)
        except Exception as error:
            self._on_crash(error)

    def _obey(self) -> bool:
        """Carry out the orders that are there; with nothing to compute, wait for one."""
        wait = self._engine.num_waiting == 0
        while wait or not self._orders.empty():
            order = self._orders.get()
            wait = False
            if order is None:
                return False
            if isinstance(order, _Update):
                self._apply(order)
            elif self._is_open:
                self._submit(order)
            else:
                self._early.append(order)
        return True

    def _apply(self, order: _Update) -> None:
        try:
            self._engine.update(order.adapter)
        except ValueError as error:  # refused; what was served before is served on
            order.done.set_exception(error)
            return
        self._is_open = True
        order.done.set_result(None)
        for call in self._early:
            self._submit(call)
        self._early.clear()

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
