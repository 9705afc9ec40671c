"""The words everything shares: what travels between simulator, engine, buffer, reward model and learner.

Shape letters: T decisions of a chunk, A action tokens of a decision (7·K), K environment steps of a decision,
H W C image height, width, colour channels.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

MAIN_CAMERA, WRIST_CAMERA = "agentview", "robot0_eye_in_hand"
"""What LIBERO's simulator calls the camera in front of the robot and the one in its hand."""


class StateSource(Enum):
    """Where an initial state comes from. Training never sees `PUBLISHED` unless it says so in its results."""

    PUBLISHED = "published"
    FRESH = "fresh"


NUM_PUBLISHED_STATES = 50
"""Of each task, in every suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskId:
    """One task of a LIBERO suite; the short name used in configuration, metrics and file names."""

    suite: str
    index: int

    def __str__(self) -> str:
        return f"{self.suite}/{self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where an episode begins: a task and one of its initial states."""

    task: TaskId
    source: StateSource
    number: int
    """Position among the published states, or the seed of a fresh one."""

    def __str__(self) -> str:
        return f"{self.task}/{self.source.value}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the policy is shown before one decision."""

    frame: np.ndarray
    """(H, W, 3) uint8, already the model's view: rotated, resized, cropped; all cameras side by side."""
    instruction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy answered to one observation."""

    tokens: np.ndarray
    """(A,) int32 action token ids."""
    logprobs: np.ndarray
    """(A,) float32 log-probabilities under the masked, temperature-divided sampling distribution."""
    version: int
    """Adapter version that produced it; 0 is the starting policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryChunk:
    """A sealed piece of one episode: a whole episode, or `chunk_decisions` of it."""

    id: str
    """Unique for ever: `{episode_id}/{index}`."""
    episode_id: str
    index: int
    """0 for the first chunk of its episode, then 1, 2, ..."""
    first_decision: int
    """How many decisions of the episode came before."""
    start: Start
    instruction: str
    frames: np.ndarray
    """(T, H, W, 3) uint8: the frame each decision saw."""
    tokens: np.ndarray
    """(T, A) int32."""
    logprobs: np.ndarray
    """(T, A) float32, from the engine: the behaviour policy."""
    versions: np.ndarray
    """(T,) int64 adapter version of every decision."""
    rewards: np.ndarray
    """(T,) float32 environment reward summed over the decision's K steps."""
    terminated: bool
    """The task was solved within the last decision: nothing follows, the value after it is zero."""
    truncated: bool
    """The step limit ended the episode: bootstrap from `bootstrap_frame`."""
    bootstrap_frame: np.ndarray | None
    """(H, W, 3) uint8: the frame after the last decision; None exactly when `terminated`."""
    recorded: bool = False
    """A video of the episode is kept, so somebody may want to know what was thought of its moments."""

    def __post_init__(self) -> None:
        num_decisions = len(self.frames)
        assert num_decisions > 0
        assert all(len(x) == num_decisions for x in (self.tokens, self.logprobs, self.versions, self.rewards))
        assert not (self.terminated and self.truncated)
        assert (self.bootstrap_frame is None) == self.terminated

    @property
    def num_decisions(self) -> int:
        return len(self.frames)

    @property
    def ends_episode(self) -> bool:
        return self.terminated or self.truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScores:
    """The process reward model's opinion of one chunk."""

    chunk_id: str
    scores: np.ndarray
    """(T + 1,) float32 in [0, 1]: one per decision's frame, then one for the bootstrap frame (0 if none)."""
    model_version: str
    """Which reward model made them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeOutcome:
    """How one finished episode went; what the curriculum and the recorder are told."""

    episode_id: str
    start: Start
    success: bool
    num_steps: int
    """Environment steps taken, settling excluded."""
    episode_return: float
    min_version: int
    max_version: int
    video: str | None = None
    """Path inside the run folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """LoRA weights of one policy version, as they travel from the learner to the replicas."""

    version: int
    rank: int
    alpha: float
    tensors: dict[str, np.ndarray]
    """PEFT names (`base_model.model.<module>.lora_A.weight`) to float32: A (rank, in), B (out, rank)."""
