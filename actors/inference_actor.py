"""A policy replica under Ray: a thin shell around `Serving`.

In: requests from any number of environment actors, adapters from the controller. Out: decisions.
vLLM and torch are imported where the actor is made: the controller only names the class.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from actors.gpus import refuse_unusable_gpu
from actors.messages import Request
from actors.restarts import again_if_restarted
from core.config import EngineConfig
from core.types import Adapter, Decision

MAX_CALLS = 1000
"""Calls that may wait in one replica at a time; more than all environment actors together ever make."""


class InferenceActor:
    """One engine. Takes no request before its first `update`."""

    def __init__(self, checkpoint: str | Path, engine: EngineConfig, temperature: float) -> None:
        with again_if_restarted():
            from actors.serving import Serving
            from policy.engine import Engine

            refuse_unusable_gpu()
            self._serving = Serving(
                Engine(checkpoint, engine, temperature=temperature),
                on_crash=_die,
                gather_s=engine.gather_ms / 1000,
                enough=engine.max_num_seqs,
            )

    async def pid(self) -> int:
        """Answers once the engine is up."""
        return os.getpid()

    async def ping(self) -> float:
        """Seconds that the engine's present piece of work has taken."""
        return self._serving.busy.seconds

    async def watch(self) -> None:
        """Never returns; the call fails when this process dies."""
        await asyncio.Event().wait()

    async def act(self, requests: Sequence[Request]) -> list[Decision]:
        return await asyncio.wrap_future(self._serving.act(requests))

    async def update(self, adapter: Adapter) -> None:
        await asyncio.wrap_future(self._serving.update(adapter))


def _die(error: BaseException) -> None:
    """Leave, so that Ray starts a fresh process."""
    traceback.print_exception(error, file=sys.stderr)
    os._exit(1)
