"""Weight updates of the serving engine: exact, between decisions, without drift, leak or half measures."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import psutil
import pytest
import torch
from torch import Tensor, nn

from core.types import Adapter, Decision, Observation
from policy.adapter import FACTOR_A, factors_of
from policy.checkpoint import Policy
from policy.engine import Engine
from policy.vllm_weights import MergedWeights
from tests.policy.conftest import TEMPERATURE
from tests.policy.scoring import RandomAdapters, engine_logprobs, learner_logprobs, run_to_end

TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _starting_weights(engine: Engine, adapters: RandomAdapters) -> None:
    engine.update(adapters.nothing())


def assert_same(left: list[Decision], right: list[Decision]) -> None:
    """To the last bit."""
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.logprobs, other.logprobs)


def test_a_hundred_updates_match_the_learner(
    engine: Engine, micro: Policy, adapters: RandomAdapters, observations: list[Observation]
) -> None:
    """Always the same frames: image tokens computed before an update must not be served after it."""
    batch = observations[:4]
    for version in range(1, 101):
        engine.update(adapters.draw(version))
        decisions = engine.act(batch)
        assert {decision.version for decision in decisions} == {version}
        expected = learner_logprobs(micro, batch, decisions, temperature=TEMPERATURE, model=adapters.model)
        np.testing.assert_allclose(engine_logprobs(decisions), expected, atol=TOLERANCE, rtol=0)


def test_an_update_changes_what_is_done(
    engine: Engine, adapters: RandomAdapters, observations: list[Observation]
) -> None:
    before = engine_logprobs(engine.act(observations, greedy=True))
    engine.update(adapters.draw(1))
    assert np.abs(engine_logprobs(engine.act(observations, greedy=True)) - before).max() > 0.1


def test_nothing_drifts(engine: Engine, adapters: RandomAdapters, observations: list[Observation]) -> None:
    first, second = adapters.draw(1), adapters.draw(2)
    answers = []
    for adapter in (first, second, first):
        engine.update(adapter)
        answers.append(engine.act(observations, greedy=True))
    assert_same(answers[0], answers[2])


def test_an_update_waits_for_running_decisions(
    engine: Engine, adapters: RandomAdapters, observations: list[Observation]
) -> None:
    """Decisions under way end as if nothing had happened; those that had not begun see the new weights."""
    old = engine.act(observations, greedy=True)
    for index, observation in enumerate(observations):  # more than run at a time
        engine.submit(index, observation, greedy=True)
    engine.step()
    num_running = len(engine._running)
    assert 0 < num_running < len(observations)
    engine.update(adapters.draw(1))
    assert engine.version == 0
    done = run_to_end(engine)
    assert engine.version == 1
    new = engine.act(observations, greedy=True)
    for index in range(len(observations)):
        expected = (old if index < num_running else new)[index]
        assert done[index].version == expected.version
        np.testing.assert_allclose(done[index].logprobs, expected.logprobs, atol=TOLERANCE, rtol=0)


def test_the_last_of_several_waiting_updates_counts(
    engine: Engine, adapters: RandomAdapters, observations: list[Observation]
) -> None:
    engine.submit(0, observations[0])
    engine.step()
    for version in (1, 2):
        engine.update(adapters.draw(version))
    run_to_end(engine)
    engine.step()
    assert engine.version == 2


def _with(adapter: Adapter, name: str, array: np.ndarray) -> Adapter:
    return replace(adapter, tensors=adapter.tensors | {name: array})


def _bad(adapter: Adapter, kind: str) -> Adapter:
    name = next(name for name in adapter.tensors if name.endswith(FACTOR_A))
    array = adapter.tensors[name]
    match kind:
        case "nan":
            return _with(
                adapter, name, np.where(np.arange(array.size).reshape(array.shape) == 3, np.nan, array)
            )
        case "shape":
            return _with(adapter, name, array[:, :-1])
        case "unknown module":
            return _with(adapter, f"base_model.model.elsewhere{FACTOR_A}", array)
        case "missing module":
            return replace(
                adapter, tensors={key: value for key, value in adapter.tensors.items() if key != name}
            )
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["nan", "shape", "unknown module", "missing module"])
def test_a_bad_adapter_changes_nothing(
    engine: Engine, adapters: RandomAdapters, observations: list[Observation], kind: str
) -> None:
    engine.update(adapters.draw(1))
    before = engine.act(observations, greedy=True)
    with pytest.raises(ValueError, match=r"adapter|shape|NaN"):
        engine.update(_bad(adapters.draw(2), kind))
    assert engine.version == 1
    assert_same(engine.act(observations, greedy=True), before)


def test_another_rank_is_refused(
    engine: Engine, micro: Policy, adapters: RandomAdapters, observations: list[Observation]
) -> None:
    engine.update(adapters.draw(1))
    with pytest.raises(ValueError, match="rank"):
        engine.update(RandomAdapters(micro, rank=2).draw(2))
    assert engine.version == 1


def test_tensors_are_the_callers_again(
    engine: Engine, adapters: RandomAdapters, observations: list[Observation]
) -> None:
    """Arrays that come through Ray are read-only; arrays that do not may be overwritten after the call."""
    adapter = adapters.draw(1)
    for array in adapter.tensors.values():
        array.flags.writeable = False
    engine.update(adapter)
    before = engine.act(observations, greedy=True)
    for array in adapter.tensors.values():
        array.flags.writeable = True
        array.fill(7.0)
    assert_same(engine.act(observations, greedy=True), before)


def test_a_thousand_updates_leak_nothing(
    engine: Engine, adapters: RandomAdapters, observations: list[Observation]
) -> None:
    """The process's memory after every 250 updates; the allocator may settle, and then it is flat."""
    both = [adapters.draw(1), adapters.draw(2)]
    sizes = []
    for number in range(1250):
        engine.update(both[number % 2])
        if number % 50 == 0:
            engine.act(observations[:4])
        if number % 250 == 249:
            sizes.append(psutil.Process().memory_info().rss)
    assert all(after - before < 2**20 for before, after in pairwise(sizes[1:])), sizes


class _SecondHalf(nn.Module):
    """A packed layer as the second of two tensor-parallel workers holds it: half the rows of q, k and v."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.qkv_proj = nn.Linear(4, 6, bias=False)
        self.qkv_proj.weight = nn.Parameter(weight)
        self.qkv_proj.weight.weight_loader = self._load  # type: ignore[attr-defined]

    @staticmethod
    def _load(parameter: nn.Parameter, loaded: Tensor, part: str) -> None:
        start = 2 * "qkv".index(part)
        parameter.data[start : start + 2].copy_(loaded[2:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_deltas_go_through_the_workers_own_loader(dtype: torch.dtype, micro: Policy) -> None:
    """Cut to the shard, packed; in bfloat16 each weight is one of the two neighbours of base + delta."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 4, generator=generator).to(dtype)
    model = nn.Module()
    model.config = micro.config  # type: ignore[assignment]
    model.attn = _SecondHalf(base.clone())
    storage = model.attn.qkv_proj.weight.data_ptr()
    factors = {
        f"attn.{leaf}_proj": (np.full((1, 4), 0.01, np.float32), np.full((4, 1), value, np.float32))
        for leaf, value in (("q", 1.0), ("k", 2.0), ("v", 3.0))
    }
    MergedWeights(model).serve(0.5, factors)
    delta = 0.005 * torch.tensor([1.0, 1, 2, 2, 3, 3])[:, None].expand(6, 4)
    weight = model.attn.qkv_proj.weight
    off = (weight.data.float() - (base.float() + delta)).abs()
    ulp = 2.0**-7 if dtype is torch.bfloat16 else 1e-6
    assert (off <= ulp * (base.float() + delta).abs()).all()
    assert weight.dtype == dtype
    assert weight.data_ptr() == storage, "CUDA graphs hold on to the storage"


def test_updates_too_small_for_bfloat16_are_served_on_average(micro: Policy) -> None:
    """A tenth of half a step of bfloat16: rounded to the nearest, none of it would arrive."""
    generator = torch.Generator().manual_seed(0)
    base = (1 + 0.9 * torch.rand(128, 256, generator=generator)).bfloat16()
    model = nn.Module()
    model.config = micro.config  # type: ignore[assignment]
    model.layer = nn.Module()
    model.layer.part = nn.Linear(256, 128, bias=False, dtype=torch.bfloat16)
    model.layer.part.weight.data.copy_(base)
    served = MergedWeights(model)

    def serve(delta: float) -> torch.Tensor:
        factor_a, factor_b = np.full((1, 256), delta, np.float32), np.ones((128, 1), np.float32)
        served.serve(1.0, {"layer.part": (factor_a, factor_b)})
        return model.layer.part.weight.detach().float() - base.float()

    delta = 0.1 * 2.0**-8
    assert torch.equal((base.float() + delta).bfloat16(), base)
    first = serve(delta)
    assert set(first.unique().tolist()) == {0.0, 2.0**-7}
    assert first.mean().item() == pytest.approx(delta, rel=0.1)
    assert serve(-delta).mean().item() == pytest.approx(-delta, rel=0.1)
    assert not serve(0.0).any()
    assert torch.equal(serve(delta), first)


def test_every_module_of_an_adapter_is_served(engine: Engine, adapters: RandomAdapters) -> None:
    """Zeroing any one module's factors changes the weights: none is left out on the way."""
    adapter = adapters.draw(1)
    worker = engine._vllm.model_executor.driver_worker.worker
    merged = worker.model_runner.model
    engine.update(adapter)
    full = {name: parameter.clone() for name, parameter in merged.named_parameters()}
    for module in factors_of(adapter):
        name = f"base_model.model.{module}{FACTOR_A}"
        engine.update(_with(adapter, name, np.zeros_like(adapter.tensors[name])))
        changed = [
            key for key, parameter in merged.named_parameters() if not torch.equal(parameter, full[key])
        ]
        assert len(changed) == 1, (module, changed)
