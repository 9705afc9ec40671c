"""A tiny policy with random weights, and short settings, for tests of whole runs."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

SUITE = "libero_spatial"
STATISTICS = {"q01": [-0.9] * 6 + [0.0], "q99": [0.9] * 6 + [1.0], "mask": [True] * 6 + [False]}


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy folder that knows nothing yet."""
    from policy.presets import make_tiny

    folder = tmp_path_factory.mktemp("policy") / "tiny"
    make_tiny(folder, "tiny")
    (folder / "dataset_statistics.json").write_text(json.dumps({SUITE: {"action": STATISTICS}}))
    return folder


@pytest.fixture
def short_run(tiny_policy: Path, tmp_path: Path) -> list[str]:
    """Command-line words of a run of seconds: episodes of 12 steps, 3 decisions each."""
    return [
        f"policy.checkpoint={tiny_policy}",
        "policy.lora_rank=4",
        f"run.runs_dir={tmp_path}",
        "run.checkpoint_every=2",
        "run.video_every=0",
        "env.tasks=[0]",
        "env.max_steps=12",
        "learner.decisions_per_update=12",
        "learner.minibatch_size=6",
        "learner.microbatch_size=3",
        "learner.epochs=1",
        "eval.episodes_per_task=1",
        "eval.videos=0",
    ]


@pytest.fixture
def signals() -> Iterator[None]:
    """A run in this process takes over SIGTERM and SIGINT; give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def own_address() -> str:
    """An address of this machine that is not the loopback."""
    import socket

    import psutil

    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family is socket.AF_INET and not address.address.startswith("127."):
                return address.address
    pytest.skip("this machine has no address but the loopback")
