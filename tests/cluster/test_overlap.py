"""Nobody waits without need: the loop over parts that have devices of their own, in simulated time."""

import pytest

from benchmarks.loop_overlap import CLUSTER, Clock, Servers, durations, lockstep_rate, loop_rate
from core import settings
from core.config import Config

DECISIONS = 3072


@pytest.fixture(scope="module")
def config() -> Config:
    return settings.load(CLUSTER, [f"learner.decisions_per_update={DECISIONS}"])


def test_the_loop_keeps_the_bottleneck_busy_and_lockstep_does_not(config: Config) -> None:
    times = durations(config)
    rate, lag = loop_rate(config, times, num_updates=2)
    assert 0.9 * times.plan.decisions_per_s < rate < 1.1 * times.plan.decisions_per_s
    assert rate > 2 * lockstep_rate(config, times)
    assert lag <= config.buffer.max_lag


def test_a_device_takes_what_waits_and_the_clock_jumps() -> None:
    clock, ended = Clock(), list[tuple[str, float]]()
    device = Servers(clock, 1, round_s=10.0, most=2)
    for name in ("a", "b", "c", "d"):
        device.ask(1.0, lambda name=name: ended.append((name, clock.now)))  # type: ignore[misc]
    for _ in range(3):
        clock.wait()
    assert ended == [("a", 11.0), ("b", 23.0), ("c", 23.0), ("d", 34.0)]
    clock.wait(5.0)
    assert clock.now == 39.0
