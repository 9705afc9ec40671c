"""The process reward model's measured targets; the last line is JSON.

  vlarl demos record --suite libero_spatial --episodes 20 --noise 1.5 --first 50000 --keep-failures \\
                     --assets primitive --out reward_test/expert          (and libero_object)
  python -m benchmarks.reward_rollouts demo/policy --suite libero_spatial --episodes 4 --first 60000 \\
                     --held-out --out reward_test/policy/libero_spatial
  python -m benchmarks.reward

In: a reward model, episodes that it was not trained on. Out: the table and the JSON. Labels are compared on
all of the expert's successes, everything else on held-out starts alone. Scoring is timed in CPU seconds,
since that is what it takes from the rest of the loop.
"""

import argparse
import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.report import Row, at_least, below, not_measured, print_report
from benchmarks.reward_labels import Matches, compare_keyframes
from envs.demos import DemoFile
from reward.checkpoint import RewardModel, load_reward_model
from reward.episodes import Episode, Labelled, is_held_out, label_demo, label_recorded, thin_out
from reward.evaluation import Quality, quality, score_episode
from reward.labels import LabelOptions, gripper_keyframes
from reward.recorded import RECORDED_SUFFIX, read_recorded

STRIDE = 4
"""Environment steps of a decision: what the loop scores."""
BATCH_SIZE = 64
NUM_TIMED = 20
EXPERT_PHASE = "approach"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("demo/reward"))
    parser.add_argument(
        "--episodes", type=Path, default=Path("reward_test"), help="folder of .hdf5 and .npz files"
    )
    parser.add_argument(
        "--decision-rate", type=float, default=50.0, help="decisions/s of the loop on this machine's cores"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_reward_model(args.model)
    matches, held_out = _read(_files(args.episodes), model.network.cameras)
    scored = [(episode, score_episode(model, episode)) for episode in held_out]
    whole = quality([(episode.success, scores) for episode, scores in scored])
    _print_groups(scored)
    print_report(
        "reward", [*_labels(matches), *_quality(whole), _throughput(model, held_out[0], args.decision_rate)]
    )


def _files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".hdf5", RECORDED_SUFFIX))
    if not files:
        raise ValueError(
            f"{folder} holds no episodes; `python -m benchmarks.reward --help` says how to record some"
        )
    return files


def _read(files: list[Path], cameras: tuple[str, ...]) -> tuple[dict[bool, Matches], list[Episode]]:
    """Label matches over the expert's failures and successes, and the held-out episodes of anybody."""
    none = Matches(num_true=0, num_found=0, num_matched=0)
    matches, held_out = {False: none, True: none}, []
    for path in files:
        for labelled, phases in _labelled(path):
            if EXPERT_PHASE in phases:
                found = gripper_keyframes(labelled.motion, LabelOptions())
                matches[labelled.motion.success_at is not None] += compare_keyframes(phases, found)
            if is_held_out(labelled.start):
                held_out.append(thin_out(labelled, STRIDE, cameras))
    return matches, held_out


def _labelled(path: Path) -> Iterator[tuple[Labelled, Sequence[str]]]:
    """Episodes, named by where they came from, with the expert's phases if it was the expert."""
    name = f"{path.parent.parent.name} on {path.parent.name}/{path.stem}"
    if path.suffix == RECORDED_SUFFIX:
        yield dataclasses.replace(label_recorded(read_recorded(path), LabelOptions()), name=name), ()
        return
    with DemoFile(path) as demos:
        for index, demo in enumerate(demos):
            yield label_demo(demo, demos.instruction, f"{name}/{index}", LabelOptions()), demo.phases


def _labels(matches: dict[bool, Matches]) -> list[Row]:
    """Judged on successes, from which labels are made; a failure's keyframes are only left out."""
    good, bad = matches[True], matches[False]
    note = f"{good.num_true} grasps and releases, {good.num_found} keyframes; in failures"
    what = "keyframes of successes against the expert's phases"
    return [
        at_least(f"{what}, recall", good.recall, 0.95, f"{note} {bad.recall:.3f}"),
        at_least(f"{what}, precision", good.precision, 0.9, f"in failures {bad.precision:.3f}"),
    ]


def _quality(q: Quality) -> list[Row]:
    note = f"{q.num_successes} successes, {q.num_failures} failures"
    rows = [
        at_least("value-order correlation (VOC) on successes", q.value_order, 0.95, note),
        at_least("Kendall tau of frame order on successes", q.kendall_tau, 0.85),
    ]
    if not q.num_failures:
        return [*rows, not_measured("success against failure", "no failure among the held-out episodes")]
    return [
        *rows,
        at_least("mean final score, success minus failure", q.gap, 0.46),
        at_least("AUC of success against failure at the last frame", q.final_auc, 0.95),
        below("share of failures whose final score is above 0.5", q.false_alarms, 0.05),
    ]


def _throughput(model: RewardModel, episode: Episode, decision_rate: float) -> Row:
    """Share of one CPU that scoring as many frames as the loop decides on would take."""
    views = model.network.views(episode.frames, None)
    views = np.concatenate([views] * (BATCH_SIZE // len(views) + 1))[:BATCH_SIZE]
    instructions = [episode.instruction] * BATCH_SIZE
    seconds = []
    for _ in range(NUM_TIMED):
        started = time.process_time()
        model.score(views, instructions, BATCH_SIZE)
        seconds.append(time.process_time() - started)
    rate = BATCH_SIZE / float(np.median(seconds))
    note = f"{rate:.0f} frames per CPU-second against {decision_rate:g} decisions/s of the loop"
    return below("share of one CPU that keeps up with the loop", decision_rate / rate, 0.2, note)


def _print_groups(scored: list[tuple[Episode, np.ndarray]]) -> None:
    """The same figures, by who played them."""
    groups: dict[str, list[tuple[bool, np.ndarray]]] = defaultdict(list)
    for episode, scores in scored:
        groups[episode.name.split("/")[0]].append((episode.success, scores))
    for name, group in groups.items():
        print(f"{name}: {_line(quality(group))}")


def _line(q: Quality) -> str:
    return (
        f"order {q.value_order:.3f}, tau {q.kendall_tau:.3f}, end {q.success_final:.2f} against "
        f"{q.failure_final:.2f}, AUC {q.final_auc:.3f}, false alarms {q.false_alarms:.1%}, "
        f"{q.num_successes} successes, {q.num_failures} failures"
    )


if __name__ == "__main__":
    main()
