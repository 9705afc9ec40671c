"""How many environments, replicas and learner ranks to run, how fast that will be, and what will hold it up.

  vlarl plan experiments/openvla7b_cluster.yaml --gpu H200 --gpus 8 --cpus 128    by the roofline, run nowhere
  vlarl plan experiments/tiny_cpu.yaml --measure                                  by measuring this machine

The last line is what to put behind `vlarl train` or `vlarl submit`.
"""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.plan import Costs, Plan
    from cluster.roofline import Work
    from core.config import Config
    from policy.configuration import OpenVLAConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="*", metavar="FILE.yaml | key=value", help="as of `vlarl train`")
    parser.add_argument("--gpu", default="H200", help="kind of GPU (default: %(default)s)")
    parser.add_argument("--gpus", type=int, default=0, help="how many there are, over all machines")
    parser.add_argument("--cpus", type=int, help="cores, over all machines; default: this machine's")
    parser.add_argument("--measure", action="store_true", help="measure the parts here; takes a minute")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of each measurement (default: %(default)g)"
    )


def run(args: argparse.Namespace) -> int:
    import os

    from cli.train import read_settings
    from cluster.plan import Devices, make_plan

    config = read_settings(args.settings)
    costs, work = _costs(args, config)
    plan = make_plan(
        costs,
        Devices(num_gpus=args.gpus, num_cores=args.cpus or len(os.sched_getaffinity(0))),
        max_num_seqs=config.engine.max_num_seqs,
        gather_s=config.engine.gather_ms / 1000,
        tensor_parallel=config.engine.tensor_parallel_size,
    )
    _show_rates(plan)
    if work is not None:
        _show_memory(args.gpu, work, config, plan)
    print("\n" + " ".join([*plan.settings, *_fitting(config, plan)]))
    return 0


def _costs(args: argparse.Namespace, config: "Config") -> "tuple[Costs, Work | None]":
    """Measured here, or from the policy's sizes."""
    if args.measure:
        from cluster.measurement import measure

        return measure(config, args.seconds), None
    if args.gpus == 0:
        raise ValueError("without a GPU there is no roofline: give --gpus N (and --gpu KIND), or --measure")
    from cluster.roofline import GPUS, roofline_costs, work_of

    if args.gpu not in GPUS:
        raise ValueError(f"--gpu {args.gpu}: known are {', '.join(GPUS)}; or measure on one with --measure")
    policy = _policy_config(config.policy.checkpoint)
    work = work_of(policy, config.policy.lora_rank)
    return roofline_costs(policy, work, GPUS[args.gpu], config), work


def _policy_config(checkpoint: str) -> "OpenVLAConfig":
    """Sizes from a policy's folder. A name on the hub is not fetched for this."""
    from pathlib import Path

    from policy.checkpoint import load_config
    from policy.configuration import OpenVLAConfig

    if Path(checkpoint).is_dir():
        return load_config(Path(checkpoint))
    print(f"{checkpoint} is not a folder here: counting with the published OpenVLA-7B's sizes\n")
    return OpenVLAConfig()


def _show_rates(plan: "Plan") -> None:
    print(f"{'':<32}{'ms a decision':>14}{'at most /s':>14}")
    for stage, cost in plan.costs.items():
        mark = "  <- bottleneck" if stage is plan.bottleneck else ""
        print(f"{stage.value:<32}{1e3 * cost:>14.3g}{plan.capacities[stage]:>14.3g}{mark}")
    print(f"{'expected':<46}{plan.decisions_per_s:>14.3g}")
    if not plan.shares_cores:
        print(f"cores for simulation never to be the bottleneck: {plan.cores_wanted}")


def _show_memory(gpu_name: str, work: "Work", config: "Config", plan: "Plan") -> None:
    from cluster.roofline import GPUS, learner_gb, replica_gb

    gpu, config = GPUS[gpu_name], _with(config, plan)
    print(
        f"\none decision: {work.flops / 1e12:.2f} TFLOP forward, {work.tokens} tokens in the language model"
    )
    needs = {"a replica": replica_gb(work, config), "a learner rank": learner_gb(work, config)}
    for part, needed_gb in needs.items():
        verdict = "" if needed_gb < gpu.memory_gb else "  DOES NOT FIT: see docs/troubleshooting.md"
        print(f"{part:<16}{needed_gb:6.0f} of {gpu.memory_gb:.0f} GB{verdict}")


def _with(config: "Config", plan: "Plan") -> "Config":
    import dataclasses

    return dataclasses.replace(config, learner=dataclasses.replace(config.learner, num_ranks=plan.num_ranks))


def _fitting(config: "Config", plan: "Plan") -> list[str]:
    """What must change with them: room in the buffer for every environment, minibatches that divide.

    The update that is being trained keeps its share of the buffer.
    """
    learner, buffer = config.learner, config.buffer
    words = []
    minibatch = -(-learner.minibatch_size // plan.num_ranks) * plan.num_ranks
    if minibatch != learner.minibatch_size:
        words.append(f"learner.minibatch_size={minibatch}")
    envs = plan.num_actors * plan.envs_per_actor
    room = -(-envs * buffer.chunk_decisions // max(1, buffer.max_lag))
    if room > learner.decisions_per_update:
        words.append(f"learner.decisions_per_update={room}")
    return words
