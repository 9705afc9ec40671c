"""Everything around the network: prompts, the model's view of a frame, actions to tokens and back.

In: instructions, raw frames, simulator actions. Out: token ids and uint8 views; and back to `(K, 7)`
actions that the simulator can execute.
"""

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from policy.conventions import SHRINK, Conventions
from policy.images import openvla_view, shrink
from policy.tokens import (
    ACTION_DIM,
    ActionStatistics,
    ActionTokens,
    gripper_from_simulator,
    gripper_to_simulator,
)

PROMPT = "In: What action should the robot take to {instruction}?\nOut:"


class Processor:
    """One policy's conventions at work. Holds no weights and no torch: environment actors have one too."""

    def __init__(
        self, config: Conventions, tokenizer: Tokenizer, statistics: ActionStatistics | None
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.statistics = statistics
        self.action_tokens = ActionTokens(config.action_ids)

    @property
    def num_action_tokens(self) -> int:
        return self.config.num_action_tokens

    @property
    def render_size(self) -> int:
        """Pixels of the raw frame that `view` wants."""
        return self.config.render_size

    @property
    def cameras(self) -> tuple[str, ...]:
        """Whose pictures lie side by side in a raw frame."""
        return tuple(self.config.cameras)

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of the view it makes."""
        return self.config.view_shape

    def prompt_ids(self, instruction: str) -> list[int]:
        """BOS, the prompt, and the token that ends every prompt."""
        ids = self.tokenizer.encode(PROMPT.format(instruction=instruction.lower().strip())).ids
        return ids if ids[-1] == self.config.prompt_end_id else [*ids, self.config.prompt_end_id]

    def view(self, raw_frame: np.ndarray) -> np.ndarray:
        """What the model is shown of a raw frame, all cameras side by side."""
        height, width = raw_frame.shape[:2]
        if raw_frame.ndim != 3 or raw_frame.shape[2] != 3 or raw_frame.dtype != np.uint8:
            raise ValueError(f"a frame is (H, W, 3) uint8, got {raw_frame.shape} {raw_frame.dtype}")
        if width != height * len(self.cameras):
            raise ValueError(
                f"this policy sees {len(self.cameras)} square pictures side by side "
                f"({', '.join(self.cameras)}), got a frame of {height} x {width} pixels"
            )
        if self.config.image_resize_strategy == SHRINK:
            return shrink(raw_frame, self.config.image_size)
        pictures = np.split(raw_frame, len(self.cameras), axis=1)
        return np.concatenate([openvla_view(p, self.config.image_size) for p in pictures], axis=1)

    def encode(self, actions_T7: np.ndarray) -> np.ndarray:
        """(7·K,) tokens of the simulator actions of one decision.

        A token stands for all the steps for which its action is held: the mean movement, and the gripper as
        it is in the end.
        """
        if actions_T7.shape != (self.config.steps_per_decision, ACTION_DIM):
            raise ValueError(
                f"want {(self.config.steps_per_decision, ACTION_DIM)} actions, got {actions_T7.shape}"
            )
        held_KR7 = actions_T7.reshape(self.config.num_action_steps, self.config.action_repeat, ACTION_DIM)
        actions_K7 = np.concatenate([held_KR7[..., :-1].mean(axis=1), held_KR7[:, -1, -1:]], axis=1)
        normalized = self._statistics().normalize(gripper_from_simulator(actions_K7))
        return self.action_tokens.encode(normalized).reshape(-1)

    def decode(self, tokens_A: np.ndarray) -> np.ndarray:
        """(T, 7) actions as the simulator takes them, one for each environment step of the decision."""
        if np.shape(tokens_A) != (self.num_action_tokens,):
            raise ValueError(f"want {self.num_action_tokens} action tokens, got shape {np.shape(tokens_A)}")
        normalized = self.action_tokens.decode(np.asarray(tokens_A)).reshape(-1, ACTION_DIM)
        actions_K7 = gripper_to_simulator(self._statistics().unnormalize(normalized))
        return np.repeat(actions_K7, self.config.action_repeat, axis=0)

    def _statistics(self) -> ActionStatistics:
        if self.statistics is None:
            raise ValueError(
                "no action statistics were chosen: name the suite, or if the policy has none yet, "
                "`vlarl sft` computes them from its data"
            )
        return self.statistics


def resolve_folder(checkpoint: str | Path) -> Path:
    """The folder itself, or the local copy of a hub name."""
    folder = Path(checkpoint)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder} has no config.json, so it is not a policy in the published layout")
        return folder

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(str(checkpoint)))
    except (HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError, OSError) as error:
        raise ValueError(f"{checkpoint} is neither a folder nor a model on the hub ({error})") from error


def load_processor(checkpoint: str | Path, suite: str | None = None) -> Processor:
    """Prompts, views and action decoding of a policy, without its weights."""
    folder = resolve_folder(checkpoint)
    conventions = Conventions.read(folder)
    return Processor(conventions, load_tokenizer(folder), choose_statistics(conventions.norm_stats, suite))


def load_tokenizer(folder: Path) -> Tokenizer:
    """The folder's fast tokenizer."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ValueError(f"{folder} has no tokenizer.json; a policy folder in the published layout has one")
    return Tokenizer.from_file(str(file))


def choose_statistics(norm_stats: dict[str, Any] | None, suite: str | None) -> ActionStatistics | None:
    """The suite's entry (or `{suite}_no_noops`). Without a suite, the entry if there is one alone: who never
    decodes an action needs none.
    """
    if not norm_stats:
        return None
    names = list(norm_stats) if suite is None else [suite, f"{suite}_no_noops"]
    found = [name for name in names if name in norm_stats]
    if len(found) == 1 or (suite is not None and found):
        return ActionStatistics.from_json(norm_stats[found[0]]["action"])
    if suite is None:
        return None
    raise ValueError(f"action statistics: there is none for {suite!r}; this policy has {sorted(norm_stats)}")
