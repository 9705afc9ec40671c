"""Matrix products in bfloat16, where that is faster.

A CPU without instructions for them takes 25 to 65 times as long as with float32 (AVX2 only, products of 64 to
1,024 columns); with them half as long.
"""

import torch

CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def half_products(device: str, wanted: bool = True) -> torch.autocast:
    """A context; without instructions for bfloat16 it changes nothing."""
    return torch.autocast(device, torch.bfloat16, enabled=wanted and multiplies_bfloat16(device))


def multiplies_bfloat16(device: str) -> bool:
    """By instructions of its own."""
    if device == "cpu":
        found = torch.cpu.get_capabilities()
        return any(found.get(name) for name in CPU_INSTRUCTIONS)
    return torch.cuda.is_bf16_supported(including_emulation=False)
