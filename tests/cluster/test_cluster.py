"""Cluster mode over several raylets on one machine: one leaves and returns; a job is submitted to a head."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.submission import submit_command
from tests.cluster.processes import PATIENCE_S, process, train, trained_slots, updates, wait_for

RAY = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a-token-of-this-test-alone-0123456789",
    "RAY_worker_niceness": "0",  # Ray's default lets whatever else this machine does go first
    "RAY_raylet_start_wait_time_s": "300",
}
STORE_BYTES = 200 * 2**20
CLUSTER = [
    "env.num_actors=2",
    "env.envs_per_actor=1",
    "env.workers_per_actor=1",
    "engine.max_num_seqs=4",
    "critic.warmup_updates=0",
]

START_NODES = f"""
import sys
from ray.cluster_utils import Cluster
head = dict(num_cpus=2, object_store_memory={STORE_BYTES}, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args=head)
node = lambda: cluster.add_node(num_cpus=2, object_store_memory={STORE_BYTES})
others = [node()]
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "leave":
        cluster.remove_node(others.pop(), allow_graceful=False)
    if line.strip() == "return":
        others.append(node())
    print("done", flush=True)
cluster.shutdown()
"""


class Nodes:
    """Two raylets, kept by a process that can take one away."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", START_NODES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **RAY},
        )
        self.address = self._read()

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        assert self._read() == "done"

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def _read(self) -> str:
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            assert line, "the nodes' process ended"
            if line.startswith(("127.", "192.", "10.", "172.", "done")):
                return line.strip()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_machine_leaves_and_returns(short_run: list[str], tmp_path: Path, nodes: Nodes) -> None:
    run = tmp_path / "nodes"
    words = [*short_run, *CLUSTER, "run.mode=cluster", "run.name=nodes", "run.num_updates=100000"]
    with train(tmp_path, [*words, "run.checkpoint_every=1"], RAY_ADDRESS=nodes.address, **RAY) as started:
        wait_for(lambda: len(updates(run)) >= 2, started, "two updates on two machines")
        nodes.tell("leave")
        nodes.tell("return")
        wait_for(lambda: updates(run)[-1]["faults/node"] == 1, started, "an update after one had left")
        left_at = updates(run)[-1]["update"]
        wait_for(lambda: updates(run)[-1]["update"] >= left_at + 2, started, "two more updates")
        started.terminate()
        assert started.wait(PATIENCE_S) == 75
    slots = trained_slots(run)
    assert len(set(slots)) == len(slots)
    assert all(line["learner/lag_max"] <= 2 for line in updates(run))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_job_submitted_to_a_head_started_by_hand(short_run: list[str], tmp_path: Path) -> None:
    ray = str(Path(sys.executable).with_name("ray"))
    ports = {"port": 26379, "dashboard-port": 28265, "ray-client-server-port": 30001}
    options = [f"--{name}={port}" for name, port in ports.items()]
    head = [ray, "start", "--head", "--block", "--num-cpus=4", "--dashboard-host=127.0.0.1", *options]
    head += [f"--object-store-memory={STORE_BYTES}", f"--temp-dir={_short_folder()}"]
    words = [*short_run, *CLUSTER, "run.name=job", "run.num_updates=2", "run.mode=cluster"]
    environment: dict[str, Any] = {**RAY, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with process(head, tmp_path / "head.txt", **environment) as started:
        wait_for(lambda: "Ray runtime started" in (tmp_path / "head.txt").read_text(), started, "the head")
        submit = submit_command("http://127.0.0.1:28265", words)
        result = subprocess.run(
            submit, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
    assert result.returncode == 0, result.stdout + result.stderr
    assert [line["update"] for line in updates(tmp_path / "job")] == [1, 2]
    assert "update 2/2" in result.stdout


def _short_folder() -> str:
    """Ray's sockets have paths of at most 107 letters."""
    import tempfile

    return tempfile.mkdtemp(prefix="ray")
