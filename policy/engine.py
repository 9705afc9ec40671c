"""The serving engine: observations in, decisions out, one vLLM engine in this process.

Requests from many callers share its batches: `submit` at any time, `step` returns whatever has finished. An
adapter is swapped in between two decisions, never under one: every decision comes from exactly one version.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from core.config import EngineConfig
from core.types import Adapter, Decision, Observation
from policy.adapter import factors_of, lora_shapes, validate_adapter
from policy.checkpoint import load_config
from policy.processing import Processor, load_tokenizer, resolve_folder
from policy.vllm_layout import MAX_PROMPT_TOKENS, to_engine_id
from policy.vllm_start import start_vllm

SEED_STRIDE = 1_000_003
"""Keeps the request seeds of engines with neighbouring seeds apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One observation on its way through the engine."""

    key: Hashable
    observation: Observation
    greedy: bool
    seed: int


class Engine:
    """Serves one policy. Not thread-safe: one loop submits and steps."""

    def __init__(
        self, checkpoint: str | Path, config: EngineConfig, *, temperature: float, seed: int = 0
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}; greedy is asked per request")
        folder = resolve_folder(checkpoint)
        self._config = load_config(folder)
        self._processor = Processor(self._config, load_tokenizer(folder), statistics=None)
        self._lora_shapes = lora_shapes(self._config)
        self._temperature = temperature
        self._max_running = config.max_num_seqs
        self._seeds = count(seed * SEED_STRIDE)
        self._names = count()
        self._prompts: dict[str, list[int]] = {}
        self._waiting: deque[_Request] = deque()
        self._running: dict[str, _Request] = {}
        self._pending: Adapter | None = None
        self._served: Adapter | None = None
        self._vllm = start_vllm(folder, self._config, config)
        self._warm_up()

    @property
    def version(self) -> int:
        """Of the weights that the next decision comes from, unless an update is still waiting."""
        return 0 if self._served is None else self._served.version

    @property
    def num_waiting(self) -> int:
        """Submitted and not yet answered."""
        return len(self._waiting) + len(self._running)

    def submit(
        self, key: Hashable, observation: Observation, greedy: bool = False, seed: int | None = None
    ) -> None:
        """Ask for a decision; `step` returns it with `key`. The same seed samples the same tokens again."""
        self._refuse(observation)
        seed = next(self._seeds) if seed is None else seed
        self._waiting.append(_Request(key=key, observation=observation, greedy=greedy, seed=seed))

    def step(self) -> list[tuple[Any, Decision]]:
        """Advance every running decision by one token; returns those that are complete."""
        self._swap_if_idle()
        self._admit()
        return [self._decision(output) for output in self._vllm.step()] if self._running else []

    def act(self, observations: list[Observation], greedy: bool = False) -> list[Decision]:
        """Decide on all of these and wait for it; for callers without a loop of their own."""
        assert self.num_waiting == 0, "act() would swallow decisions that others wait for"
        for index, observation in enumerate(observations):
            self.submit(index, observation, greedy)
        done: dict[Hashable, Decision] = {}
        while self.num_waiting:
            done.update(self.step())
        return [done[index] for index in range(len(observations))]

    def update(self, adapter: Adapter) -> None:
        """Serve base + adapter from the next decision on.

        A bad adapter raises `ValueError` and changes nothing. While decisions are running, the swap waits for
        them (new ones are admitted after it); of several waiting updates the last one counts.
        """
        validate_adapter(adapter, self._lora_shapes, rank=None if self._served is None else self._served.rank)
        self._pending = adapter
        self._swap_if_idle()

    def close(self) -> None:
        """Stop vLLM and give its memory back. It ends every other engine of this process too."""
        self._vllm.engine_core.shutdown()
        del self._vllm

    def _warm_up(self) -> None:
        """What is compiled for the first decision is not to delay a run's, which has a time limit."""
        frame = np.zeros(self._config.view_shape, np.uint8)
        self.submit("warm up", Observation(frame=frame, instruction="warm up"), seed=0)
        while self.num_waiting:
            self.step()

    def _refuse(self, observation: Observation) -> None:
        shape, frame = self._config.view_shape, observation.frame
        if frame.shape != shape or frame.dtype != np.uint8:
            raise ValueError(
                f"the policy's frames are {shape} uint8, got {frame.shape} {frame.dtype}; "
                "Processor.view makes them"
            )
        num_tokens = len(self._prompt(observation.instruction))
        if num_tokens > MAX_PROMPT_TOKENS:
            raise ValueError(f"the prompt has {num_tokens} tokens, at most {MAX_PROMPT_TOKENS} fit")

    def _prompt(self, instruction: str) -> list[int]:
        """Prompt ids in engine order, remembered: a run asks the same few instructions over and over."""
        if instruction not in self._prompts:
            ids = self._processor.prompt_ids(instruction)
            self._prompts[instruction] = [to_engine_id(self._config, token_id) for token_id in ids]
        return self._prompts[instruction]

    def _swap_if_idle(self) -> None:
        if self._pending is None or self._running:
            return
        adapter, self._pending = self._pending, None
        scale = adapter.alpha / adapter.rank
        self._vllm.collective_rpc("merge_adapter", args=(scale, factors_of(adapter)))
        self._served = adapter

    def _admit(self) -> None:
        while self._waiting and self._pending is None and len(self._running) < self._max_running:
            request = self._waiting.popleft()
            name = str(next(self._names))
            self._running[name] = request
            prompt = {
                "prompt_token_ids": self._prompt(request.observation.instruction),
                "multi_modal_data": {"image": request.observation.frame},
                # A name of its own: vLLM would serve an equal frame's image tokens from before an update.
                "multi_modal_uuids": {"image": name},
            }
            self._vllm.add_request(name, prompt, self._sampling(request))

    def _sampling(self, request: _Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=0.0 if request.greedy else self._temperature,
            seed=request.seed,
            max_tokens=self._config.num_action_tokens,
            ignore_eos=True,
            detokenize=False,
            logprobs=0,  # of the sampled token alone
            flat_logprobs=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _decision(self, output: Any) -> tuple[Any, Decision]:
        request = self._running.pop(output.request_id)
        (completion,) = output.outputs
        tokens = np.asarray(completion.token_ids, np.int32) + np.int32(self._config.action_ids.start)
        logprobs = np.asarray(completion.logprobs.logprobs, np.float32)
        assert tokens.shape == logprobs.shape == (self._config.num_action_tokens,)
        return request.key, Decision(tokens=tokens, logprobs=logprobs, version=self.version)
