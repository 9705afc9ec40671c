"""Serving against its targets: exactness, weight updates, throughput, start.

  python -m benchmarks.policy

In: nothing (tiny policies with random weights are made). Out: a table, and one JSON object on the last line.
Throughput and updates are measured in CPU time of one thread: on an idle machine that is the time on the
clock, and on a busy one it is still a fair comparison.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.policy_inputs import observations
from benchmarks.report import Row, at_least, below, print_report, reported
from core.config import EngineConfig
from core.types import Adapter, Decision, Observation
from policy.adapter import add_lora, export_adapter
from policy.checkpoint import Policy, load_policy, save_policy
from policy.configuration import OpenVLAConfig
from policy.distribution import token_logprobs
from policy.engine import Engine
from policy.model import VLARLForActionPrediction, action_logits, pad_prompts
from policy.presets import make_tiny, tiny_config
from policy.processing import load_processor

NUM_CALLERS = 16
TEMPERATURE = 1.5
NUM_UPDATES = 100
LORA_RANK = 32
REPETITIONS = 10
PUBLISHED_VOCABULARY = 32064


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        tiny, published = Path(scratch) / "tiny", Path(scratch) / "published"
        make_tiny(tiny)
        _make_with_published_vocabulary(published, tiny)
        started, started_cpu = time.perf_counter(), time.process_time()
        engine = Engine(tiny, EngineConfig(max_num_seqs=NUM_CALLERS), temperature=TEMPERATURE)
        note = f"of which {time.process_time() - started_cpu:.1f} s of CPU time"
        rows = [below("engine start, s", time.perf_counter() - started, 20, note)]
        rows += _updates(engine, load_policy(tiny))
        rows += _throughput(engine, tiny, "tiny preset")
        engine.close()
        engine = Engine(published, EngineConfig(max_num_seqs=NUM_CALLERS), temperature=TEMPERATURE)
        rows += _throughput(engine, published, "tiny, published vocabulary")
        engine.close()
        rows += [_half_precision(tiny)]
    print_report("policy", rows)


def _make_with_published_vocabulary(folder: Path, tiny: Path) -> None:
    """The tiny policy with as many token ids as every published OpenVLA has."""
    config = tiny_config("tiny").to_dict()
    config["text_config"] |= {"vocab_size": PUBLISHED_VOCABULARY}
    config["pad_token_id"] = PUBLISHED_VOCABULARY - 64
    model = VLARLForActionPrediction(OpenVLAConfig(**config))
    save_policy(folder, model, tokenizer_from=tiny)


def _updates(engine: Engine, policy: Policy) -> list[Row]:
    """Random adapters one after the other; after each, the engine's log-probs against the learner's."""
    batch = observations(policy.processor.view_shape, NUM_CALLERS)
    lora = add_lora(policy.model, rank=LORA_RANK, alpha=16.0).eval()
    seconds, differences = [], []
    for version in range(1, NUM_UPDATES + 1):
        adapter = _random_adapter(lora, version)
        started = time.process_time()
        engine.update(adapter)
        seconds.append(time.process_time() - started)
        differences.append(_difference(policy, lora, batch, engine.act(batch)))
    return [
        below("log-probs, engine against learner, 100 updates, fp32", max(differences), 1e-5),
        below("weight update, median ms", 1000 * statistics.median(seconds), 10, f"rank {LORA_RANK}"),
    ]


@torch.no_grad()
def _random_adapter(lora: nn.Module, version: int) -> Adapter:
    generator = torch.Generator().manual_seed(version)
    for name, parameter in lora.named_parameters():
        if "lora_" in name:
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return export_adapter(lora, version)


@torch.inference_mode()
def _difference(
    policy: Policy, model: nn.Module, batch: list[Observation], decisions: list[Decision]
) -> float:
    """Largest absolute difference of a log-probability."""
    prompts = [policy.processor.prompt_ids(observation.instruction) for observation in batch]
    frames = torch.from_numpy(np.stack([observation.frame for observation in batch]))
    tokens_BA = torch.from_numpy(np.stack([decision.tokens for decision in decisions])).long()
    ids_BL = pad_prompts(prompts, policy.config.pad_token_id)
    logits_BAV, _ = action_logits(model, ids_BL, frames, tokens_BA)
    expected_BA = token_logprobs(logits_BAV, tokens_BA, TEMPERATURE, policy.config.action_ids.start)
    served_BA = np.stack([decision.logprobs for decision in decisions])
    return float(np.abs(expected_BA.numpy() - served_BA).max())


def _half_precision(folder: Path) -> Row:
    """Reported, not judged: bfloat16 rounds differently in the two implementations."""
    policy = load_policy(folder, dtype=torch.bfloat16)
    batch = observations(policy.processor.view_shape, NUM_CALLERS)
    config = EngineConfig(max_num_seqs=NUM_CALLERS, dtype="bfloat16")
    engine = Engine(folder, config, temperature=TEMPERATURE)
    difference = _difference(policy, policy.model, batch, engine.act(batch))
    engine.close()
    return reported("log-probs, engine against learner, bf16", difference)


def _throughput(engine: Engine, folder: Path, name: str) -> list[Row]:
    """Decisions per second, best of many repetitions on both sides."""
    batch = observations(load_processor(folder).view_shape, NUM_CALLERS)
    served = NUM_CALLERS / min(_seconds(engine, batch) for _ in range(REPETITIONS))
    together = NUM_CALLERS / _generate_seconds(folder, NUM_CALLERS)
    alone = 1 / _generate_seconds(folder, 1)
    note = f"engine {served:.0f}/s, generate {together:.0f}/s on the batch, {alone:.0f}/s caller by caller"
    return [
        at_least(f"engine / generate on the same batch of 16, {name}", served / together, 3, note),
        at_least(f"engine / generate caller by caller, {name}", served / alone, 3),
    ]


def _seconds(engine: Engine, batch: list[Observation]) -> float:
    started = time.process_time()
    engine.act(batch)
    return time.process_time() - started


def _generate_seconds(folder: Path, num_callers: int) -> float:
    words = [
        sys.executable,
        "-m",
        "benchmarks.generate_baseline",
        str(folder),
        str(num_callers),
        str(TEMPERATURE),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return min(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
