"""Random trajectory chunks for a micro policy; what an engine would have said comes from the learner."""

from dataclasses import replace

import numpy as np

from core.config import Config
from core.types import Observation, Start, StateSource, TaskId, TrajectoryChunk
from learner.build import build_learner
from learner.learner import Learner
from policy.processing import Processor

INSTRUCTIONS = ("pick up the black bowl", "open the middle drawer of the cabinet and put the plate there")
TERMINATED, TRUNCATED, UNFINISHED = "terminated", "truncated", "unfinished"


def make_chunk(
    processor: Processor, episode: int, num_decisions: int = 4, ending: str = TERMINATED, *, start: int = 0
) -> TrajectoryChunk:
    """One episode's first chunk; rewarded with 1 at the end where it terminated."""
    rng = np.random.default_rng((episode, num_decisions))
    frames = rng.integers(0, 256, (num_decisions + 1, *processor.view_shape), dtype=np.uint8)
    ids, shape = processor.config.action_ids, (num_decisions, processor.num_action_tokens)
    return TrajectoryChunk(
        id=f"episode-{episode:03d}/0",
        episode_id=f"episode-{episode:03d}",
        index=0,
        first_decision=0,
        start=Start(task=TaskId(suite="libero_spatial", index=start), source=StateSource.FRESH, number=start),
        instruction=INSTRUCTIONS[episode % 2],
        frames=frames[:-1],
        tokens=rng.integers(ids.start, ids.stop, shape, dtype=np.int32),
        logprobs=np.zeros(shape, dtype=np.float32),
        versions=np.zeros(num_decisions, dtype=np.int64),
        rewards=np.eye(num_decisions, dtype=np.float32)[-1] * (ending == TERMINATED),
        terminated=ending == TERMINATED,
        truncated=ending == TRUNCATED,
        bootstrap_frame=None if ending == TERMINATED else frames[-1],
    )


def make_chunks(learner: Learner, num_chunks: int = 6, num_decisions: int = 4) -> list[TrajectoryChunk]:
    """Chunks with every ending, acted on-policy: their log-probabilities are the learner's own."""
    endings = (TERMINATED, TRUNCATED, UNFINISHED)
    chunks = [
        make_chunk(learner.processor, episode, num_decisions + episode % 2, endings[episode % 3])
        for episode in range(num_chunks)
    ]
    return [as_acted_by(learner, chunk) for chunk in chunks]


def as_acted_by(learner: Learner, chunk: TrajectoryChunk) -> TrajectoryChunk:
    """The chunk with the behaviour log-probabilities this learner's policy gives its tokens now."""
    observations = [Observation(frame=frame, instruction=chunk.instruction) for frame in chunk.frames]
    return replace(chunk, logprobs=learner.probe(observations, chunk.tokens))


def full_batch_gradient(
    config: Config, chunks: list[TrajectoryChunk], *, microbatch_size: int
) -> dict[str, np.ndarray]:
    """The gradient of one update that is one optimizer step, unclipped."""
    config.learner.microbatch_size = microbatch_size
    make_single_step(config)
    learner = build_learner(config)
    learner.update(chunks, {})
    return gradient_of_only_step(learner)


def make_single_step(config: Config) -> None:
    """One epoch, one minibatch, no clipping: an update is one optimizer step on its whole batch."""
    config.learner.epochs, config.learner.minibatch_size = 1, 10_000
    config.learner.max_grad_norm = 1e9


def gradient_of_only_step(learner: Learner) -> dict[str, np.ndarray]:
    """Adam's first moment after its first step is (1 - beta_1) times the gradient; beta_1 is 0.9."""
    state = learner.engine.optimizer_state()
    return {name: value.numpy() / 0.1 for name, value in state.items() if name.endswith("/exp_avg")}


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Relative to the largest number in either."""
    assert one.keys() == other.keys()
    scale = max(float(np.abs(value).max()) for value in one.values())
    assert scale > 0
    return max(float(np.abs(one[name] - other[name]).max()) for name in one) / scale
