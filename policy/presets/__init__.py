"""The tiny family: small policies, in the published layout, that need neither a download nor a GPU."""

from policy.presets.tiny import PRESETS, make_tiny, tiny_config

__all__ = ["PRESETS", "make_tiny", "tiny_config"]
