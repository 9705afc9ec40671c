"""Random trajectory chunks for a micro policy; what an engine would have said comes from the learner."""

from dataclasses import replace

import numpy as np

from core.types import Start, StateSource, TaskId, TrajectoryChunk
from learner.learner import Learner
from policy.processing import Processor

IMAGE_SIZE = 112
INSTRUCTIONS = ("pick up the black bowl", "open the middle drawer of the cabinet and put the plate there")
TERMINATED, TRUNCATED, UNFINISHED = "terminated", "truncated", "unfinished"


def make_chunk(
    processor: Processor, episode: int, num_decisions: int = 4, ending: str = TERMINATED, *, start: int = 0
) -> TrajectoryChunk:
    """One episode's first chunk; rewarded with 1 at the end where it terminated."""
    rng = np.random.default_rng((episode, num_decisions))
    frames = rng.integers(0, 256, (num_decisions + 1, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    ids, shape = processor.config.action_ids, (num_decisions, processor.num_action_tokens)
    return TrajectoryChunk(
        id=f"episode-{episode:03d}/0",
        episode_id=f"episode-{episode:03d}",
        index=0,
        env_id=episode,
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
    from core.types import Observation

    observations = [Observation(frame=frame, instruction=chunk.instruction) for frame in chunk.frames]
    return replace(chunk, logprobs=learner.probe(observations, chunk.tokens))
