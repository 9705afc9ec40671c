"""What a policy costs on a GPU, from its sizes: arithmetic and memory, before anything is run.

In: a policy's configuration, settings, a kind of GPU. Out: GPU-seconds of a decision in the engine and in the
learner, gigabytes of both.

    engine    one decision is one pass over image, prompt and action tokens: F floating-point operations; each
              token that is generated reads all weights once, for the whole batch
    learner   (1 + 2·epochs)·F: a look before the first epoch, then per epoch forward and backward down to the
              inputs (weights are frozen, and LoRA's own share is below 2 %); a critic with its own adapter
              makes a second pass each time

Efficiency is the one number that is not derived; `vlarl plan --measure` measures instead.
"""

from dataclasses import dataclass
from math import prod

from cluster.plan import Costs
from core.config import AdvantageKind, Config, CriticKind
from policy.configuration import OpenVLAConfig
from policy.conventions import SHRINK

GB = 1e9
EFFICIENCY = 0.4
"""Share of the peak that engine and learner reach; 0.4 to 0.5 is usual for batches of this size."""
PROMPT_TOKENS = 22
"""BOS and an instruction of usual length."""
DTYPE_BYTES = {"float32": 4, "bfloat16": 2}
TRAINED_BYTES = 8
"""Of a trained parameter on every rank: float32 value and gradient."""
MOMENT_BYTES = 8
"""Adam's two moments, sharded over the ranks."""
ACTIVATION_NUMBERS = 33
"""Numbers that a transformer layer keeps for its backward pass, per token and hidden unit: 17 (Korthikanti et
al., arXiv 2205.05198, without attention matrices, which are recomputed), and the float32 copies of their
inputs that LoRA's layers keep, which are as large again.
"""

STEP_S, FRAME_S = 0.004, 0.013
"""Of a core: one environment step; one camera's frame, rendered in software."""
PICTURE_S, SHRUNK_PICTURE_S = 0.0085, 0.0008
"""Of a core: the model's view of a frame, as published (JPEG round trip, two resizes) or by shrinking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A kind of GPU, as its maker describes it."""

    tflops: float
    """Dense bfloat16, peak."""
    memory_gb: float
    bandwidth_gbs: float


GPUS = {
    "B200": Gpu(tflops=2250, memory_gb=180, bandwidth_gbs=7700),
    "H200": Gpu(tflops=989, memory_gb=141, bandwidth_gbs=4800),
    "H100": Gpu(tflops=989, memory_gb=80, bandwidth_gbs=3350),
    "A100": Gpu(tflops=312, memory_gb=80, bandwidth_gbs=2039),
    "L40S": Gpu(tflops=362, memory_gb=48, bandwidth_gbs=864),
    "RTX4090": Gpu(tflops=165, memory_gb=24, bandwidth_gbs=1008),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Sizes of one policy, and of one decision."""

    flops: float
    """Of one forward pass over image, prompt and action tokens."""
    parameters: int
    lora_parameters: int
    tokens: int
    """In the language model: image, prompt, actions."""
    action_tokens: int
    cache_numbers: int
    """Numbers that one token leaves in the engine's cache."""
    layer_units: int
    """Hidden units times layers of the language model."""


def work_of(config: OpenVLAConfig, lora_rank: int) -> Work:
    """Counted on a model without storage."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from policy.adapter import lora_shapes
    from policy.model import VLARLForActionPrediction

    with torch.device("meta"):
        model = VLARLForActionPrediction(config)
        frame = torch.zeros((1, *config.view_shape), dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        patches = model.embed_frames(frame).shape[1]
    text = config.language
    tokens = patches + PROMPT_TOKENS + config.num_action_tokens
    shapes = lora_shapes(config).values()
    return Work(
        flops=counter.get_total_flops() + _text_flops(model, tokens),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        lora_parameters=sum(lora_rank * (shape[0] + prod(shape[1:])) for shape in shapes),
        tokens=tokens,
        action_tokens=config.num_action_tokens,
        cache_numbers=2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim,
        layer_units=text.hidden_size * text.num_hidden_layers,
    )


def roofline_costs(policy: OpenVLAConfig, work: Work, gpu: Gpu, config: Config) -> Costs:
    """What a decision costs each part, on GPUs of this kind and ordinary cores."""
    cameras = len(policy.cameras)
    view_s = SHRUNK_PICTURE_S if policy.image_resize_strategy == SHRINK else PICTURE_S
    return Costs(
        simulation_s=policy.steps_per_decision * STEP_S + cameras * FRAME_S,
        picture_s=cameras * view_s,
        engine_s=engine_seconds(work, gpu, config),
        learner_s=learner_seconds(work, gpu, config),
    )


def engine_seconds(work: Work, gpu: Gpu, config: Config) -> float:
    """GPU-seconds of one decision when the engine's batch is full."""
    weights_gb = work.parameters * DTYPE_BYTES[config.engine.dtype] / GB
    reading_s = work.action_tokens * weights_gb / gpu.bandwidth_gbs / config.engine.max_num_seqs
    return work.flops / _flops_per_s(gpu) + reading_s


def learner_seconds(work: Work, gpu: Gpu, config: Config) -> float:
    """GPU-seconds of one decision in an update."""
    passes = 1 + 2 * config.learner.epochs
    has_critic = config.advantage.kind is AdvantageKind.GAE
    if has_critic and config.critic.kind is CriticKind.ADAPTER:
        passes *= 2
    return passes * work.flops / _flops_per_s(gpu)


def replica_gb(work: Work, config: Config) -> float:
    """Weights, the unmerged ones beside them (adapters are merged into a copy), and a full cache."""
    size = DTYPE_BYTES[config.engine.dtype]
    cache = config.engine.max_num_seqs * work.tokens * work.cache_numbers
    return (2 * work.parameters + cache) * size / GB / config.engine.tensor_parallel_size


def learner_gb(work: Work, config: Config) -> float:
    """Frozen weights, LoRA with its gradients and moments, and one micro-batch's activations."""
    learner = config.learner
    size = DTYPE_BYTES[learner.dtype]
    trained = work.lora_parameters * (TRAINED_BYTES + MOMENT_BYTES / learner.num_ranks)
    activations = ACTIVATION_NUMBERS * size * learner.microbatch_size * work.tokens * work.layer_units
    weights = work.parameters * size / (learner.num_ranks if learner.zero_stage == 3 else 1)
    return (weights + trained + activations) / GB


def _text_flops(model: "object", tokens: int) -> float:
    from torch import nn

    from policy.model import VLARLForActionPrediction

    assert isinstance(model, VLARLForActionPrediction)
    text, body = model.config.language, model.language_model.model
    linear = sum(module.weight.numel() for module in body.modules() if isinstance(module, nn.Linear))
    head = model.language_model.lm_head.weight.numel()
    attention = 2 * tokens**2 * text.hidden_size * text.num_hidden_layers  # causal: half of 4·s²·h a layer
    return 2 * linear * tokens + 2 * head * model.config.num_action_tokens + attention


def _flops_per_s(gpu: Gpu) -> float:
    return gpu.tflops * 1e12 * EFFICIENCY
