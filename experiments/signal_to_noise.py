"""How much does one episode teach? Signal and noise of the policy's gradient, for several advantages.

    python -m experiments.signal_to_noise                          400 episodes, half an hour on two cores
    python -m experiments.signal_to_noise advantage.gamma=0.98     with a setting of the demonstration changed
    python -m experiments.signal_to_noise --episodes 40            a glance, too few to rank anything

In: experiments/tiny_cpu.yaml and settings, of a `pooled` critic. Out: tables on the terminal and in
experiments/signal_to_noise.json.

The policy plays as it begins. An episode's gradient is g = sum of A grad log pi over its decisions, each
parameter scaled as Adam would. Signal is the mean of g·g' over pairs of different episodes, noise the mean
of g·g: after noise / signal episodes the two are alike. "Gain" is the mean of g·g' where g' has whole returns
for advantages, which are unbiased, over the root of the noise: what a step of one length brings. The critic
of each half of the episodes is fitted to the other half. ± is the standard deviation over random halves.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from actors.environments import make_loop
from actors.evaluator import play_with
from actors.messages import Grant, Sealed
from actors.torch_policy import TorchPolicy
from cluster.tasks import chosen_tasks, reward_function
from core import settings
from core.config import Config, CriticKind
from core.types import RewardScores, Start, StateSource, TrajectoryChunk
from experiments.gradients import Sketch, figures
from experiments.rows import BASE, Row, load_rows, save_rows
from learner.advantages import explained_variance
from learner.batch import Batch, build_batch
from learner.build import build_learner
from learner.critic import Pass
from learner.learner import Learner
from learner.targets import Proximal, Targets, make_targets
from learner.update import evaluate_views
from learner.window_critic import WindowCritic
from reward.checkpoint import load_reward_model
from reward.scoring import Scorer

RESULTS = Path(__file__).parent / "signal_to_noise.json"
LAMBDAS = (1.0, 0.95, 0.8, 0.5, 0.3, 0.0)
SHARES = (0.75, 0.5, 0.35, 0.25, 0.15)
WIDTH = 2048
"""Numbers that stand for a gradient: inner products of such sketches are right on average."""
NUM_SCALING = 2000
"""Decisions from which the scale of each parameter is estimated."""
SAY_EVERY = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="other settings, as of `vlarl train`")
    parser.add_argument("--episodes", type=int, default=400)
    args = parser.parse_args()
    config = settings.load(BASE, args.words)
    if config.critic.kind is not CriticKind.POOLED:
        parser.error(f"critic.kind={config.critic.kind.value}: only a pooled critic can be fitted afterwards")
    chunks = list(played(config, args.episodes))
    learner = build_learner(config, reward_function=reward_function(config))
    assert learner.critic is not None
    batch = build_batch(
        chunks,
        score(config, learner, chunks),
        prompt_ids=learner.processor.prompt_ids,
        reward_function=learner.reward_function,
    )
    proximal = evaluate_views(learner.engine, learner.ranks, batch, config, learner.critic)
    proximal = with_values_of_others(proximal, batch, config, learner.critic.dim)
    found = judge(config, batch, proximal, sketched_gradients(learner, batch, proximal))
    print("\n".join(table(found)))
    asked = {"words": args.words, "episodes": args.episodes}
    others = [row for row in load_rows(RESULTS) if {name: row[name] for name in asked} != asked]
    save_rows(RESULTS, [*others, *(row | asked for row in found)])


def played(config: Config, number: int) -> Iterator[TrajectoryChunk]:
    """Whole episodes on fresh starts, task by task in turn."""
    policy = TorchPolicy(config.policy.checkpoint, config.policy, config.engine)
    tasks = chosen_tasks(config)
    starts = [
        Start(task=tasks[index % len(tasks)].id, source=StateSource.FRESH, number=index // len(tasks))
        for index in range(number)
    ]
    grants = [Grant(slot=i, episode_id=f"episode-{i:05d}", start=start) for i, start in enumerate(starts)]
    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(config, policy, Path(folder))
        try:
            for done, event in enumerate(play_with(loop, grants), 1):
                assert isinstance(event, Sealed)
                print(f"\rplayed {done} of {number} episodes", end="", flush=True)
                yield event.chunk
            print()
        finally:
            loop.close()


def score(config: Config, learner: Learner, chunks: list[TrajectoryChunk]) -> dict[str, RewardScores]:
    """What the reward model says of them; nothing where there is none."""
    if not config.reward.checkpoint:
        return {}
    model = load_reward_model(Path(config.reward.checkpoint))
    scorer = Scorer(model, policy_view=learner.processor.view_shape, batch_size=config.reward.batch_size)
    return {chunk.id: scorer.score(chunk) for chunk in chunks}


def with_values_of_others(proximal: Proximal, batch: Batch, config: Config, dim: int) -> Proximal:
    """Each half of the episodes valued by a critic that is fitted to the other half, update by update."""
    targets = make_targets(batch, proximal, config.advantage)
    half_V = batch.chunk_of_view % 2
    values_V = np.zeros(batch.num_views, dtype=np.float32)
    for half in (0, 1):
        critic = WindowCritic(
            dim,
            config.critic,
            minibatch_size=config.learner.minibatch_size,
            seed=config.run.seed,
        )
        rows = targets.rows[half_V[targets.rows] != half]
        num_updates = max(1, round(len(rows) / config.learner.decisions_per_update))
        for update, piece in enumerate(np.array_split(rows, num_updates)):
            critic.fit(proximal.seen[piece], targets.observed[piece], (config.run.seed, update))
        values_V[half_V == half] = critic.values(proximal.seen)[half_V == half]
    return dataclasses.replace(proximal, values=values_V)


def sketched_gradients(learner: Learner, batch: Batch, proximal: Proximal) -> np.ndarray:
    """(V, W) gradients of log pi at every decision, scaled, sketched; zero at the other views."""
    rows = np.concatenate(
        [np.arange(batch.num_views)[batch.decisions_of(c)] for c in range(len(batch.chunks))]
    )
    # Where LoRA begins, its first factors have no gradient.
    parameters = [p for name, p in learner.engine.model.policy_parameters().items() if "lora_B" in name]

    def gradient(row: int) -> np.ndarray:
        said = learner.engine(batch.inputs(np.array([row]), proximal.features), Pass.POLICY)
        parts = torch.autograd.grad(said["logprobs"].sum(), parameters)
        return torch.cat([part.flatten() for part in parts]).float().numpy()

    sample = np.random.default_rng(0).permutation(rows)[:NUM_SCALING]
    fisher = np.zeros(sum(parameter.numel() for parameter in parameters))
    for row in sample:
        fisher += gradient(row).astype(np.float64) ** 2 / len(sample)
    scale = (fisher + 0.01 * np.median(fisher)) ** -0.25
    sketch = Sketch(len(scale), WIDTH)
    sketches_VW = np.zeros((batch.num_views, WIDTH), dtype=np.float32)
    for done, row in enumerate(rows):
        if done % SAY_EVERY == 0:
            print(f"gradients of {done} of {len(rows)} decisions", flush=True)
        sketches_VW[row] = sketch(gradient(row) * scale)
    return sketches_VW


def judge(config: Config, batch: Batch, proximal: Proximal, sketches_VW: np.ndarray) -> list[Row]:
    """A row for every lambda, and with the setting's own for every share of the decisions."""

    def targets(lam: float) -> Targets:
        return make_targets(batch, proximal, dataclasses.replace(config.advantage, lam=lam))

    def gradients(of: Targets, rows: np.ndarray) -> np.ndarray:
        gradients_EW = np.zeros((len(batch.chunks), WIDTH))
        np.add.at(gradients_EW, batch.chunk_of_view[rows], of.advantages[rows, None] * sketches_VW[rows])
        return gradients_EW

    whole, own = targets(1.0), targets(config.advantage.lam)
    unbiased_EW = gradients(whole, whole.rows)
    explained = explained_variance(proximal.values[whole.rows], whole.observed[whole.rows])
    about = {"episodes": len(batch.chunks), "decisions": len(own.rows), "explained_variance": explained}
    generator = np.random.default_rng(0)
    cases = [(lam, 1.0, "all", targets(lam)) for lam in LAMBDAS]
    cases += [
        (config.advantage.lam, share, which, own) for share in SHARES for which in ("largest", "random")
    ]
    found = []
    for lam, share, which, of in cases:
        rows = of.strongest_rows(share)
        if which == "random":
            rows = generator.permutation(of.rows)[: len(rows)]
        about_gradient = dataclasses.asdict(figures(gradients(of, rows), unbiased_EW))
        found.append({"lam": lam, "share": share, "which": which, **about_gradient, **about})
    return found


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown."""
    first = rows[0]
    lines = [
        f"{first['episodes']} episodes, {first['decisions']} decisions; the critic explains "
        f"{first['explained_variance']:.2f} of the variance of returns",
        "",
        "| lambda | decisions | signal / noise of an episode, 1e-3 | episodes until alike | gain |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = 1000 * row["signal_to_noise"]
        alike = f"{1000 / ratio:,.0f}" if ratio > 0 else "?"
        lines.append(
            f"| {row['lam']:g} | {row['share']:.0%} {row['which']} "
            f"| {ratio:.1f} ± {1000 * row['signal_to_noise_sd']:.1f} | {alike} "
            f"| {row['gain']:.2f} ± {row['gain_sd']:.2f} |"
        )
    return lines


if __name__ == "__main__":
    main()
