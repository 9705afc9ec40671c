"""What an actor does with the GPU that Ray gave it.

In: Ray's word. Out: nothing, or an error that says why it cannot be used.
"""

import ray


def refuse_unusable_gpu() -> None:
    """Where PyTorch cannot use a GPU that Ray counts, a 7B model would quietly begin on the CPU."""
    import torch

    if ray.get_gpu_ids() and not torch.cuda.is_available():
        raise RuntimeError(
            "Ray gave this process a GPU that PyTorch cannot use: its driver is too old, or it has the CPU "
            "packages; `vlarl doctor` on this machine says more"
        )
