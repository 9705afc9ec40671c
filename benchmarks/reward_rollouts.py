"""Episodes of a policy, successes and failures, recorded as a run records them, for the reward model.

  python -m benchmarks.reward_rollouts demo/policy --suite libero_spatial --episodes 10 --out rollouts

In: a policy, how many fresh starts of each task. Out: a folder that `vlarl rprm` and `benchmarks.reward`
read, with a video beside every episode.
"""

import argparse
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import torch

from actors.environments import make_loop
from actors.evaluator import evaluate
from actors.torch_policy import TorchPolicy
from core.config import Config, EnvConfig, PolicyConfig
from core.types import EpisodeOutcome, Start, StateSource, TaskId
from envs.suites import suite_tasks
from reward.episodes import is_held_out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("policy", help="policy folder or hub name")
    parser.add_argument("--suite", default="libero_spatial")
    parser.add_argument("--tasks", type=int, nargs="+", help="task numbers; all of the suite without")
    parser.add_argument("--episodes", type=int, default=10, help="per task")
    parser.add_argument("--first", type=int, default=0, help="number (seed) of the first start of each task")
    parser.add_argument("--held-out", action="store_true", help="only starts that no training sees")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = Config(
        env=EnvConfig(suite=args.suite, assets="primitive", envs_per_actor=2, workers_per_actor=1),
        policy=PolicyConfig(checkpoint=args.policy, temperature=args.temperature, lora_rank=1),
    )
    args.out.mkdir(parents=True, exist_ok=True)
    policy = TorchPolicy(args.policy, config.policy, config.engine)
    tasks = args.tasks or range(len(suite_tasks(args.suite)))
    chosen = [
        start
        for task in tasks
        for start in islice(starts(args.suite, task, args.first, args.held_out), args.episodes)
    ]
    loop = make_loop(config, policy, args.out)
    try:
        evaluate(loop, chosen, greedy=False, num_recorded=len(chosen), on_outcome=_say)
    finally:
        loop.close()


def _say(outcome: EpisodeOutcome, num_left: int) -> None:
    print(f"{outcome.start}: {'success' if outcome.success else 'failure'}, {num_left} left", flush=True)


def starts(suite: str, task: int, first: int, held_out: bool) -> Iterator[Start]:
    """Fresh starts of a task without end, from number `first` on."""
    for number in count(first):
        start = Start(task=TaskId(suite=suite, index=task), source=StateSource.FRESH, number=number)
        if is_held_out(str(start)) or not held_out:
            yield start


if __name__ == "__main__":
    main()
