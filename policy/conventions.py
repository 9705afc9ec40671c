"""What surrounds a policy's network: pictures, action tokens, how long an action is held.

In: a folder's `config.json`. Out: `Conventions`, read without torch or transformers, so that the processes
that only simulate start in a second and stay small.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

PUBLISHED_VOCABULARY = 32064

RESIZE = "resize-naive"
SHRINK = "shrink"
"""Mean over equal blocks of pixels: for renders that are a multiple of the view."""

STATISTICS_FILE = "dataset_statistics.json"


@dataclass(kw_only=True)
class Conventions:
    """The fields of `config.json` that somebody without weights needs."""

    # Published.
    text_config: Any = None
    image_sizes: list[int] | tuple[int, ...] = (224, 224)
    image_resize_strategy: str = RESIZE
    n_action_bins: int = 256
    pad_to_multiple_of: int = 64
    norm_stats: dict | None = None

    # Ours; absent from published checkpoints.
    cameras: list[str] | tuple[str, ...] = ("agentview",)
    """Whose pictures the policy sees, side by side in one frame."""
    num_action_steps: int = 1
    """K: actions, of 7 tokens each, in one decision."""
    action_repeat: int = 1
    """Environment steps for which each action is held."""
    prompt_end_id: int = 29871
    """Token that ends every prompt (the published tokenizer's lone space)."""
    render_size: int = 256
    """Pixels of the square camera pictures that the policy's view is made from."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """From `config.json`; the statistics file, where there is one, goes before its `norm_stats`."""
        values = json.loads((folder / "config.json").read_text())
        names = {field.name for field in fields(cls)}
        conventions = cls(**{name: value for name, value in values.items() if name in names})
        conventions.norm_stats = read_statistics(folder) or conventions.norm_stats
        conventions.check()
        return conventions

    def check(self) -> None:
        """Refuse what cannot be meant."""
        if self.image_resize_strategy not in (RESIZE, SHRINK):
            raise ValueError(
                f"image_resize_strategy is {self.image_resize_strategy!r}; allowed are {RESIZE} and {SHRINK}"
            )
        if len(set(self.image_sizes)) != 1:
            raise ValueError(
                f"image_sizes must be equal (both towers see one picture), got {self.image_sizes}"
            )
        for name in ("num_action_steps", "action_repeat"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def image_size(self) -> int:
        """Pixels of the square view of each camera."""
        return self.image_sizes[0]

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of the frames the model is shown: all cameras side by side."""
        return self.image_size, self.image_size * len(self.cameras), 3

    @property
    def action_ids(self) -> range:
        """Ids of the action tokens: the last `n_action_bins` before the vocabulary's padding."""
        text = self.text_config or {"vocab_size": PUBLISHED_VOCABULARY}
        vocabulary = text["vocab_size"] if isinstance(text, dict) else text.vocab_size
        end = vocabulary - self.pad_to_multiple_of
        return range(end - self.n_action_bins, end)

    @property
    def num_action_tokens(self) -> int:
        return 7 * self.num_action_steps

    @property
    def steps_per_decision(self) -> int:
        """Environment steps."""
        return self.num_action_steps * self.action_repeat


def read_statistics(folder: Path) -> dict[str, Any] | None:
    """The statistics that lie beside `config.json`, if any."""
    file = folder / STATISTICS_FILE
    return json.loads(file.read_text()) if file.is_file() else None
