"""Starting vLLM for one policy: environment variables, engine arguments, our architecture's registration.

In: a policy folder and `EngineConfig`. Out: a running `LLMEngine` in this process (with tensor parallelism
its workers are processes of their own).
"""

import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch

from core.config import EngineConfig
from policy.configuration import ARCHITECTURE, OpenVLAConfig
from policy.vllm_layout import max_sequence_tokens

MAX_BATCHED_TOKENS = 16384
BLOCK_TOKENS = 32
CPU_ARGUMENTS = {"enforce_eager": True}
"""No compilation."""


def start_vllm(folder: Path, policy: OpenVLAConfig, config: EngineConfig) -> Any:
    """A vLLM engine that serves the folder's policy through `policy.vllm_model`."""
    on_gpu = torch.cuda.is_available()
    _prepare_environment(on_gpu)
    if config.tensor_parallel_size > 1:
        _require_entry_point()
    from vllm.engine.arg_utils import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    from policy.vllm_plugin import register

    register()
    _let_vllm_scan_llvmlite()
    arguments = _arguments(folder, policy, config)
    arguments |= {"gpu_memory_utilization": config.gpu_memory_fraction} if on_gpu else CPU_ARGUMENTS
    return LLMEngine.from_engine_args(EngineArgs(**arguments))


def _prepare_environment(on_gpu: bool) -> None:
    """vLLM reads these when it is imported, so this runs first; what the user has set stays."""
    variables = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_USE_V2_MODEL_RUNNER": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # torch has looked for GPUs: no fork after that
        "TRITON_F32_DEFAULT": "ieee",  # float32 is float32, as in the learner
    }
    if not on_gpu:
        # One thread: OMP threads that spin on busy cores make a step ten times slower.
        variables |= {"TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    if not on_gpu:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # torch has been imported already


def _let_vllm_scan_llvmlite() -> None:
    """vLLM on CPU reads the `__dict__` of everything in every loaded module, and llvmlite's library object
    (there once numba is, as in a process that simulates) would answer with a C function of that name."""
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is not None:
        ffi.lib._fntab.setdefault("__dict__", {})


def _require_entry_point() -> None:
    """Tensor-parallel workers are new processes, which learn of our architecture by the entry point alone."""
    values = {point.value for point in entry_points(group="vllm.general_plugins")}
    if "policy.vllm_plugin:register" not in values:
        raise ValueError(
            "vLLM's workers cannot find this project's plugin; install the project with `pip install -e .`"
        )


def _arguments(folder: Path, policy: OpenVLAConfig, config: EngineConfig) -> dict[str, Any]:
    length = max_sequence_tokens(policy)
    return {
        "model": str(folder),
        "hf_overrides": {"architectures": [ARCHITECTURE], "model_type": "vlarl"},
        "dtype": config.dtype,
        "max_num_seqs": config.max_num_seqs,
        "max_model_len": length,
        "max_num_batched_tokens": max(length, min(config.max_num_seqs * length, MAX_BATCHED_TOKENS)),
        "tensor_parallel_size": config.tensor_parallel_size,
        # Without a word from us vLLM asks Ray for its workers' GPUs, within the one bundle that we are given.
        "distributed_executor_backend": "mp" if config.tensor_parallel_size > 1 else None,
        "block_size": BLOCK_TOKENS,
        # Measured, as vLLM would do it, what a learner on the same GPU takes meanwhile would count as ours.
        "kv_cache_memory_bytes": _cache_bytes(policy, config),
        "worker_extension_cls": "policy.vllm_weights.AdapterWorker",
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "logprobs_mode": "processed_logprobs",  # of the distribution that was sampled from
        "limit_mm_per_prompt": {"image": 1},
        # Every prompt begins with a new frame: caches could only serve what an older version computed.
        "enable_prefix_caching": False,
        "mm_processor_cache_gb": 0,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }


def _cache_bytes(policy: OpenVLAConfig, config: EngineConfig) -> int:
    """Of a worker's keys and values: they just hold `max_num_seqs` of the longest sequences."""
    text = policy.language
    num_blocks = config.max_num_seqs * (max_sequence_tokens(policy) // BLOCK_TOKENS + 2)
    heads = -(-text.num_key_value_heads // config.tensor_parallel_size)
    head_dim = text.hidden_size // text.num_attention_heads
    number_bytes = getattr(torch, config.dtype).itemsize
    return num_blocks * BLOCK_TOKENS * 2 * number_bytes * text.num_hidden_layers * heads * head_dim
