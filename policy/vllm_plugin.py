"""vLLM's entry point into this project: makes our architecture and its configuration known to vLLM.

vLLM calls `register` in every process it starts (entry-point group `vllm.general_plugins`).
"""


def register() -> None:
    """Register under our own name: vLLM ships an OpenVLA of its own that a published name would pick."""
    from transformers import AutoConfig
    from vllm import ModelRegistry

    from policy.configuration import ARCHITECTURE, OpenVLAConfig

    AutoConfig.register(OpenVLAConfig.model_type, OpenVLAConfig, exist_ok=True)
    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, "policy.vllm_model:ServedPolicy")
