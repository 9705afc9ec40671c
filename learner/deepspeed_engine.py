"""The engine over one or several ranks: DeepSpeed ZeRO 1, 2 or 3, without its launcher or its pickles.

In: the same model on every rank. Out: the interface of `learner.engine.Engine`.
The trainable parameters are few and float32 (LoRA and critic), so their optimizer state is saved in full by
name and cut again on loading: that lets another number of ranks, or another ZeRO stage, go on with it.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from core.config import CriticConfig, LearnerConfig
from learner.batch import ModelInputs
from learner.critic import ActorCritic, Evaluation, Pass
from learner.distributed import Ranks
from learner.engine import GROUPS, MOMENTS, make_optimizer, parameter_groups

LOOPBACK = "127.0.0.1"


def join_ranks(rank: int, size: int, address: str, port: int, device: str) -> Ranks:
    """Start the process group of `size` ranks; rank 0 listens at `address:port`.

    A single rank meets nobody: no port is opened, for torch's would be open to the whole network.
    """
    backend = "gloo" if device == "cpu" else "nccl"
    os.environ.update(MASTER_ADDR=address, MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(size))
    os.environ.update(LOCAL_RANK="0", LOCAL_SIZE="1", CROSS_RANK=str(rank), CROSS_SIZE=str(size))
    if address == LOOPBACK:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if size == 1:
        torch.distributed.init_process_group(
            backend, store=torch.distributed.HashStore(), rank=0, world_size=1
        )
    _import_deepspeed(device).init_distributed(dist_backend=backend, verbose=False)
    return Ranks(rank=rank, size=size, device=device)


class DeepSpeedEngine:
    """One rank's part of the sharded engine."""

    def __init__(self, model: ActorCritic, learner: LearnerConfig, critic: CriticConfig) -> None:
        self.model = model
        self._stage = learner.zero_stage
        optimizer = make_optimizer(model, learner, critic)
        self._engine, *_ = _import_deepspeed(model.device).initialize(
            model=model, optimizer=optimizer, config=_deepspeed_config(learner)
        )
        self._sharded = self._engine.optimizer
        self._start_moments()

    def __call__(self, inputs: ModelInputs, purpose: Pass) -> Evaluation:
        return self._engine(inputs, purpose)

    def backward(self, loss: Tensor) -> None:
        self._engine.backward(loss)

    def step(self, *, policy_lr: float) -> float | None:
        self._sharded.param_groups[0]["lr"] = policy_lr
        self._engine.step()
        if policy_lr == 0:  # as if the policy's optimizer had not been asked
            self._set_steps("policy", torch.zeros(()))
        return float(self._engine.get_global_grad_norm()) if self._engine.was_step_applied() else None

    def whole_parameters(self) -> AbstractContextManager:
        return self._gathered(modifier_rank=None)

    def load_parameters(self, tensors: dict[str, Tensor]) -> None:
        with self._gathered(modifier_rank=0):
            for name, parameter in self._parameters().items():
                parameter.data.copy_(tensors[name])
        for name, parameter in self._parameters().items():
            self._set_shard(parameter, tensors[name], None)

    def optimizer_state(self) -> dict[str, Tensor]:
        from deepspeed.utils import safe_get_full_optimizer_state

        state = {f"{group}/step": self._steps(group) for group in GROUPS}
        for name, parameter in self._parameters().items():
            for key in MOMENTS:
                state[f"{name}/{key}"] = safe_get_full_optimizer_state(parameter, key).cpu().clone()
        return state

    def load_optimizer_state(self, state: dict[str, Tensor]) -> None:
        for group in GROUPS:
            self._set_steps(group, state[f"{group}/step"])
        for name, parameter in self._parameters().items():
            for key in MOMENTS:
                self._set_shard(parameter, state[f"{name}/{key}"], key)

    def _parameters(self) -> dict[str, nn.Parameter]:
        groups = parameter_groups(self.model)
        return {name: parameter for group in groups.values() for name, parameter in group.items()}

    def _gathered(self, modifier_rank: int | None) -> AbstractContextManager:
        if self._stage < 3:
            return nullcontext()
        import deepspeed

        parameters = list(self._parameters().values())
        return deepspeed.zero.GatheredParameters(parameters, modifier_rank=modifier_rank)

    def _set_shard(self, parameter: nn.Parameter, value: Tensor, moment: str | None) -> None:
        """Write this rank's part of a parameter's float32 copy, or of one of its moments."""
        from deepspeed.utils import (
            safe_set_full_fp32_param,
            safe_set_full_optimizer_state,
            safe_set_local_fp32_param,
            safe_set_local_optimizer_state,
        )

        value = value.to(self.model.device)
        if self._stage < 3:
            setter = safe_set_full_fp32_param if moment is None else safe_set_full_optimizer_state
        else:  # DeepSpeed's own setter of full values fails where a parameter does not divide by the ranks
            setter = safe_set_local_fp32_param if moment is None else safe_set_local_optimizer_state
            value = self._local_part(parameter, value)
        setter(parameter, value, *([] if moment is None else [moment]))

    def _local_part(self, parameter: Any, value: Tensor) -> Tensor:
        size, rank = parameter.ds_tensor.numel(), torch.distributed.get_rank()
        padding = size * torch.distributed.get_world_size() - value.numel()
        return nn.functional.pad(value.flatten(), (0, padding)).narrow(0, rank * size, size)

    def _start_moments(self) -> None:
        """Zero moments from the beginning, so that there is always something to save and to load into."""
        for flat in self._flat_parameters(0) + self._flat_parameters(1):
            moments = {key: torch.zeros_like(flat) for key in MOMENTS}
            self._sharded.optimizer.state[flat] = {"step": torch.zeros(()), **moments}
        if self._stage < 3:
            self._sharded._lazy_init_hp_params_optimizer_state()

    def _steps(self, group: str) -> Tensor:
        flat = self._flat_parameters(GROUPS.index(group))[0]
        return self._sharded.optimizer.state[flat]["step"].clone()

    def _set_steps(self, group: str, steps: Tensor) -> None:
        for flat in self._flat_parameters(GROUPS.index(group)):
            self._sharded.optimizer.state[flat]["step"] = steps.clone()

    def _flat_parameters(self, group: int) -> list[Tensor]:
        """DeepSpeed's own flattened float32 shards of one parameter group on this rank."""
        if self._stage < 3:
            return [self._sharded.single_partition_of_fp32_groups[group]]
        flats = self._sharded.fp32_partitioned_groups_flat
        return [flat for i, flat in enumerate(flats) if self._sharded.sub_group_to_group_id[i] == group]


def _deepspeed_config(learner: LearnerConfig) -> dict[str, Any]:
    """Accumulation is ours: every `step` is a boundary. No half precision: what is trained is float32."""
    return {
        "train_micro_batch_size_per_gpu": learner.microbatch_size,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": learner.max_grad_norm,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
        "zero_optimization": {
            "stage": learner.zero_stage,
            "overlap_comm": False,
            "contiguous_gradients": False,
            "stage3_param_persistence_threshold": 0,
        },
    }


def _import_deepspeed(device: str) -> Any:
    if device == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("DS_IGNORE_CUDA_DETECTION", "1")
    import deepspeed
    from deepspeed.ops import __compatible_ops__

    __compatible_ops__["deepspeed_shm_comm"] = False  # else the first collective compiles it for a minute
    deepspeed.logger.setLevel("WARNING")
    return deepspeed
