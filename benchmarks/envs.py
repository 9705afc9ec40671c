"""`python -m benchmarks.envs`: the simulation's targets, measured in one run on this machine.

Out: progress, a table, and one JSON object on the last line. Comparisons are made in turns and given as
ratios, so that the machine's speed does not matter; other work on the machine still does. `--quick` takes a
few minutes.
"""

import argparse
import time

from benchmarks.envs_common import asset_folders
from benchmarks.envs_expert import expert_success
from benchmarks.envs_parity import state_differences
from benchmarks.envs_resources import memory_per_env, rate_during_restart, reset_cost
from benchmarks.envs_throughput import against_libero, primitive_against_original
from benchmarks.report import Row, print_report, print_rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer starts and shorter turns")
    quick = parser.parse_args().quick
    rounds, seconds, starts_per_task = (2, 4.0, 1) if quick else (5, 8.0, 10)
    assets = asset_folders()
    sections = {
        "throughput against LIBERO": lambda: against_libero(assets, rounds, seconds),
        "throughput of the assets": lambda: primitive_against_original(assets, rounds, seconds),
        "state differences": lambda: state_differences(assets),
        "reset": lambda: reset_cost(assets),
        "memory": lambda: memory_per_env(assets),
        "restart of a worker": lambda: rate_during_restart(assets),
        "expert": lambda: expert_success(assets, starts_per_task),
    }
    rows: list[Row] = []
    for name, measure in sections.items():
        began_s = time.perf_counter()
        print(f"{name} ...", flush=True)
        measured = measure()
        print(f"{name}: {time.perf_counter() - began_s:.0f} s", flush=True)
        print_rows(measured)
        rows += measured
    print_report("envs", rows)


if __name__ == "__main__":
    main()
