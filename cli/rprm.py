"""The process reward model: label episodes, train on them, judge what was trained.

  vlarl rprm label demos/libero_spatial --sheets sheets           what the labels of some episodes look like
  vlarl rprm train demos --out checkpoints/rprm --minutes 10      train; the same command goes on after a stop
  vlarl rprm eval checkpoints/rprm demos --sheets sheets          order, success against failure, pictures

Files are those of `vlarl demos record`, of LIBERO, or the episodes that a run recorded (in its `episodes/`).
Record some with --keep-failures and much --noise: a model that never saw a failure rewards everything. One
start in five is held out: `train` stops by those, `eval` judges only those.
"""

import argparse
import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reward.checkpoint import RewardModel
    from reward.episodes import Episode, Labelled
    from reward.evaluation import Quality
    from reward.labels import LabelOptions
    from reward.model import RewardNetwork
    from reward.training import Progress

SHEETS_PER_FILE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", required=True, metavar="label | train | eval")
    label = commands.add_parser("label", help="show what the label rules find")
    _add_files(label)
    _add_sheets(label)
    _add_thresholds(label)
    label.add_argument("--rules", choices=["gripper", "motion"], default="", help="for all; by task without")
    _add_train(commands.add_parser("train", help="train on labelled episodes"))
    judge = commands.add_parser("eval", help="judge a trained model on held-out starts")
    judge.add_argument("model", type=Path, help="folder of a trained model")
    _add_files(judge)
    _add_sheets(judge)
    judge.add_argument(
        "--stride", type=int, default=4, help="judge every so many samples: a decision's steps"
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("demos", type=Path, nargs="+", help="HDF5 files, or folders of them")


def _add_sheets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sheets", type=Path, help="folder for pictures")


def _add_thresholds(parser: argparse.ArgumentParser) -> None:
    from reward.labels import LabelOptions

    meanings = _meanings(LabelOptions)
    for field in dataclasses.fields(LabelOptions):
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=float, default=field.default, help=f"labels: {meanings[field.name]}")


def _meanings(options: type) -> dict[str, str]:
    """What the source says below each field, on one line."""
    import ast
    import inspect
    from itertools import pairwise

    (definition,) = ast.parse(inspect.getsource(options)).body
    assert isinstance(definition, ast.ClassDef)
    meanings = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                meanings[name] = " ".join(text.split())
    return meanings


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_files(parser)
    _add_thresholds(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument(
        "--backend", choices=["native", "transformers"], default="native", help="kind of network"
    )
    parser.add_argument(
        "--start",
        help="native: a policy's folder or hub name, a tiny one with random weights without; "
        "transformers: an image-text-to-text model such as Qwen/Qwen2.5-VL-3B-Instruct",
    )
    parser.add_argument(
        "--view-of",
        default="",
        help="transformers: the policy (folder or hub name) whose views it will score",
    )
    parser.add_argument("--lora-rank", type=int, default=0, help="0 trains every weight (native only)")
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU-minutes at most")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak; 2e-4 suits LoRA on a large model")
    parser.add_argument("--batch-tasks", type=int, default=6, help="tasks in a batch, 8 frames each")
    parser.add_argument("--stride", type=int, default=4, help="keep every so many frames")
    parser.add_argument("--seed", type=int, default=0, help="of weights and frames")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; tiny models gain nothing from more"
    )


def run(args: argparse.Namespace) -> int:
    return {"label": _label, "train": _train, "eval": _eval}[args.command](args)


def _label(args: argparse.Namespace) -> int:
    from reward.episodes import label_file

    options = _options(args)
    for path in _files(args.demos):
        num_episodes = num_keyframes = 0
        for labelled in label_file(path, options, args.rules):
            if args.sheets and num_episodes < SHEETS_PER_FILE:
                _label_sheet(labelled, options, args.sheets / f"{path.stem}-{num_episodes}.png")
            num_episodes += 1
            num_keyframes += len(labelled.labels.keyframes)
        print(f"{path}: {num_episodes} episodes, {num_keyframes} keyframes", flush=True)
    return 0


def _label_sheet(labelled: "Labelled", options: "LabelOptions", path: Path) -> None:
    from core.types import MAIN_CAMERA
    from reward.sheets import label_sheet

    episode, ending = labelled.name.split("/")[-1], _ending(labelled.motion.success_at is not None)
    title = f"{labelled.instruction}: episode {episode}, {ending}"
    frames = labelled.pictures((MAIN_CAMERA,))
    label_sheet(path, title, frames, labelled.motion, labelled.labels, options)


def _train(args: argparse.Namespace) -> int:
    import torch

    from reward.checkpoint import Backend, Description, found_from_anywhere
    from reward.model import ScoreWeights
    from reward.training import TrainOptions, train

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    labels = _options(args)
    options = TrainOptions(minutes=args.minutes, lr=args.lr, batch_tasks=args.batch_tasks, seed=args.seed)
    network, base = _network(args)
    found = _episodes(args, labels, network.cameras)
    episodes = [episode for episode in found if not episode.is_published]
    if len(episodes) < len(found):
        print(
            f"left out {len(found) - len(episodes)} from published starts, which are for judging", flush=True
        )
    print(_summary(episodes), flush=True)
    training = {
        "labels": dataclasses.asdict(labels),
        "data": _summary(episodes),
        "files": _fingerprint(_files(args.demos)),
        "stride": args.stride,
        "start": args.start,
    }
    description = Description(
        backend=Backend(args.backend),
        base=base,
        view_of=found_from_anywhere(args.view_of),
        weights=ScoreWeights(),
        training=training,
    )
    quality = train(network, episodes, description, args.out, options, _report)
    print(f"best on held-out starts:\n{_table(quality)}")
    return 0


def _network(args: argparse.Namespace) -> "tuple[RewardNetwork, str]":
    """The network to train, and the name of the base that an adapter will need."""
    from reward.checkpoint import OWN_START, found_from_anywhere

    if args.backend == "transformers":
        from reward.transformers_backend import TransformersNetwork

        if not args.start or not args.view_of or args.lora_rank < 1:
            raise ValueError(
                "--backend transformers needs --start MODEL, --view-of POLICY and a --lora-rank "
                "(16 is common)"
            )
        network = TransformersNetwork(args.start, view_of=args.view_of, lora_rank=args.lora_rank)
        return network, found_from_anywhere(args.start)
    if args.view_of:
        raise ValueError("--view-of is of --backend transformers; a native model sees as its --start does")
    from policy.presets import make_tiny
    from reward.native import NativeNetwork

    start, base = args.start, found_from_anywhere(args.start or "")
    if start is None:
        start, base = str(args.out / OWN_START), OWN_START
        if not (Path(start) / "config.json").is_file():
            make_tiny(Path(start), seed=args.seed)
    return NativeNetwork(start, lora_rank=args.lora_rank), base if args.lora_rank else ""


def _eval(args: argparse.Namespace) -> int:
    import torch

    from reward.checkpoint import load_reward_model
    from reward.evaluation import judge
    from reward.labels import LabelOptions

    torch.set_num_threads(1)
    model = load_reward_model(args.model)
    episodes = _episodes(args, LabelOptions(), model.network.cameras)  # labels are not judged by
    held_out = [episode for episode in episodes if episode.held_out]
    if not held_out:
        raise ValueError("none of these episodes is on the held-out side (one start in five)")
    quality = judge(model, held_out)
    print(f"model {model.version}, held-out starts: {_summary(held_out)}\n{_table(quality)}")
    if args.sheets:
        _score_sheets(model, held_out, args.sheets)
    print(json.dumps(quality.to_json()))
    return 0


def _score_sheets(model: "RewardModel", episodes: "list[Episode]", folder: Path) -> None:
    """Of every task a success, and of its failures the one that moves most and the one that stalls."""
    from reward.evaluation import score_episode
    from reward.motion import CONTROL_HZ
    from reward.sheets import ScoredEpisode, score_sheet

    for number, task in enumerate(sorted({e.instruction for e in episodes})):
        shown = []
        for kind, episode in _examples([e for e in episodes if e.instruction == task]):
            until = slice(episode.until_success)
            scored = ScoredEpisode(
                title=f"{kind}: {task} ({episode.name})",
                success=episode.success,
                frames=episode.frames[until],
                seconds=episode.steps[until] / CONTROL_HZ,
                scores=score_episode(model, episode),
            )
            shown.append(scored)
        score_sheet(folder / f"scores-{number:02d}.png", shown)


def _examples(episodes: "list[Episode]") -> "list[tuple[str, Episode]]":
    from reward.sheets import late_motion

    successes = [("Success", episode) for episode in episodes if episode.success]
    failures = [episode for episode in episodes if not episode.success]
    failures.sort(key=lambda episode: late_motion(episode.frames), reverse=True)
    stalls = [("Stall", episode) for episode in failures[1:]]
    return successes[:1] + [("Failure", episode) for episode in failures[:1]] + stalls[-1:]


def _files(paths: list[Path]) -> list[Path]:
    files = [file for path in paths for file in (_below(path) if path.is_dir() else [path])]
    if not files:
        raise ValueError(
            f"there is no .hdf5 (or a run's .npz) file below {', '.join(map(str, paths))}; "
            "`vlarl demos record` makes some"
        )
    return files


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".hdf5", ".npz"))


def _fingerprint(files: list[Path]) -> str:
    """Tells other files from the same ones."""
    sizes = [f"{file.name} {file.stat().st_size}" for file in files]
    return hashlib.sha256("\n".join(sizes).encode()).hexdigest()[:12]


def _options(args: argparse.Namespace) -> "LabelOptions":
    from reward.labels import LabelOptions

    return LabelOptions(
        **{field.name: getattr(args, field.name) for field in dataclasses.fields(LabelOptions)}
    )


def _episodes(args: argparse.Namespace, options: "LabelOptions", cameras: tuple[str, ...]) -> "list[Episode]":
    from reward.episodes import read_episodes

    return list(read_episodes(_files(args.demos), args.stride, options, cameras))


def _summary(episodes: "list[Episode]") -> str:
    held_out = sum(episode.held_out for episode in episodes)
    successes = sum(episode.success for episode in episodes)
    tasks = len({episode.instruction for episode in episodes})
    frames = sum(episode.num_frames for episode in episodes)
    kinds = f"{successes} successes, {held_out} held out, {frames} frames"
    return f"{len(episodes)} episodes of {tasks} tasks, {kinds}"


def _report(progress: "Progress") -> None:
    q = progress.quality
    text = (
        f"step {progress.step}  {progress.minutes:.1f} CPU-min  loss {progress.loss:.3f}  held out: "
        f"order {q.value_order:.3f}  tau {q.kendall_tau:.3f}  end {q.success_final:.2f} against "
        f"{q.failure_final:.2f}  AUC {q.final_auc:.3f}  false alarms {q.false_alarms:.1%}"
        f"{'  *' if progress.is_best else ''}"
    )
    print(text, file=sys.stdout, flush=True)


def _table(quality: "Quality") -> str:
    return "\n".join(f"  {name:<16} {value:.3f}" for name, value in quality.to_json().items())


def _ending(success: bool) -> str:
    return "success" if success else "failure"
