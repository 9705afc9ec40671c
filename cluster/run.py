"""One training run: its parts put together, trained, and taken down again.

In: settings and a run folder, new or to be resumed. Out: whether the run came to its end.
"""

from typing import Any

from cluster.buffer import TrajectoryBuffer
from cluster.controller import Controller, tell_damaged
from cluster.curriculum import Curriculum
from cluster.parts import Loaded, Parts
from cluster.progress import Progress
from cluster.publishing import Probes, Publisher
from cluster.ray_settings import prepare_local
from cluster.rollouts import Rollouts
from cluster.scoring import Scoring
from cluster.supervision import Supervisor, interrupt_on_sigterm
from cluster.tasks import chosen_tasks, max_chunk_decisions
from core.config import AdvantageKind, Config, Mode, TrainingStates
from core.metrics import MetricsWriter, read_lines
from core.runfolder import RunFolder
from core.types import NUM_PUBLISHED_STATES, StateSource
from envs.suites import Task, published_starts
from policy.processing import load_processor


def train(config: Config, folder: RunFolder, *, resume: bool) -> bool:
    """Run to the end; False if it was told to stop before."""
    interrupt_on_sigterm()
    parts = _build(config, folder)
    try:
        start = parts.learner.load(folder.checkpoints) if resume else Loaded.nothing()
        writer = _writer(config, folder)
        if resume:
            writer.rewind(start.number)
        tell_damaged(parts.learner.damaged, writer)
        tasks = {str(task.id): task.instruction for task in chosen_tasks(config)}
        writer.event("resumed" if resume else "started", update=start.number, tasks=tasks)
        try:
            complete = controller(config, folder, parts, start, writer).run()
            writer.event("ended", complete=complete)
            return complete
        finally:
            writer.close()
    finally:
        parts.close()


def controller(
    config: Config, folder: RunFolder, parts: Parts, start: Loaded, writer: MetricsWriter
) -> Controller:
    """Wire a controller to these parts."""
    processor = load_processor(config.policy.checkpoint, config.env.suite)
    tasks = chosen_tasks(config)
    attempt, num_evaluated = _history(folder, start.number)
    supervisor = Supervisor(parts.mortals, writer)
    progress = Progress(config.run.num_updates)
    curriculum = _curriculum(config, tasks, start.extra)
    buffer = _buffer(config, tasks, processor.config.steps_per_decision, start.extra)
    scoring = Scoring(parts.rewards)
    rollouts = Rollouts(
        parts.fleet,
        buffer,
        curriculum,
        scoring=scoring,
        supervisor=supervisor,
        progress=progress,
        writer=writer,
        attempt=attempt,
        video_every=config.run.video_every,
    )
    probes = Probes.make(
        processor.view_shape,
        tasks[0].instruction,
        processor.config.action_ids,
        processor.num_action_tokens,
    )
    return Controller(
        config,
        folder.checkpoints,
        rollouts=rollouts,
        buffer=buffer,
        curriculum=curriculum,
        learner=parts.learner,
        scoring=scoring,
        publisher=Publisher(
            parts.learner, parts.replicas, probes, dtypes={config.engine.dtype, config.learner.dtype}
        ),
        supervisor=supervisor,
        progress=progress,
        writer=writer,
        evaluation_starts=published_starts(tasks, config.eval.episodes_per_task),
        num_updates=start.number,
        num_evaluated=num_evaluated,
    )


def _history(folder: RunFolder, num_updates: int) -> tuple[int, int]:
    """How often the run was taken up again, and which of its policies was judged last, if it is not lost."""
    resumed, num_evaluated = 0, -1
    for line in read_lines(folder.path / "events.jsonl"):
        resumed += line["kind"] == "resumed"
        if line["kind"] == "evaluation":
            num_evaluated = line["update"]
    return resumed, num_evaluated if num_evaluated <= num_updates else -1


def _build(config: Config, folder: RunFolder) -> Parts:
    if config.run.mode is Mode.INLINE:
        from cluster.inline import build_inline

        return build_inline(config, folder)
    if config.run.mode is Mode.LOCAL:
        prepare_local()
    from cluster.distributed import build_distributed

    return build_distributed(config, folder)


def _writer(config: Config, folder: RunFolder) -> MetricsWriter:
    """Where there is a Ray, its metrics show the run too."""
    if config.run.mode is Mode.INLINE:
        return MetricsWriter(folder.path)
    from cluster.operator_metrics import RayMetricsWriter

    return RayMetricsWriter(folder.path)


def _curriculum(config: Config, tasks: list[Task], saved: dict[str, Any]) -> Curriculum:
    paper = config.env.training_states is TrainingStates.PAPER
    curriculum = Curriculum(
        config.curriculum,
        {task.id: NUM_PUBLISHED_STATES for task in tasks},
        StateSource.PUBLISHED if paper else StateSource.FRESH,
        seed=config.run.seed,
    )
    if saved:
        curriculum.load(saved["curriculum"])
    return curriculum


def _buffer(
    config: Config, tasks: list[Task], steps_per_decision: int, saved: dict[str, Any]
) -> TrajectoryBuffer[Any]:
    grouped = config.advantage.kind is not AdvantageKind.GAE
    return TrajectoryBuffer(
        decisions_per_update=config.learner.decisions_per_update,
        max_lag=config.buffer.max_lag,
        max_chunk_decisions=max_chunk_decisions(config, tasks, steps_per_decision),
        group_size=config.advantage.group_size if grouped else 1,
        next_slot=saved.get("next_slot", 0),
    )
