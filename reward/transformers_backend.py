"""Back end: any image-text-to-text model of transformers with LoRA, such as Qwen/Qwen2.5-VL-3B-Instruct.

In: a model's hub name or folder, and the policy through whose main camera it looks, so that it learns from
the pictures that a run will show it. Out: a `RewardNetwork`. After the question the model's reply is fixed,
"Step: Done: Progress:", and read at each colon: "Yes" against "No" twice, then the ten digits as levels of
progress. Prompts are padded on the left, so that the reply is always at the end.

Shape letters: B frames, N tokens, R tokens of the reply, V vocabulary, H W picture.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor, BatchFeature

from policy.augment import BRIGHTNESS
from policy.processing import load_processor
from reward.model import Answers

QUESTION = (
    "A robot was told to {instruction}. Has it just completed a step of this? Is all of it done? "
    "How far is it, from 0 to 9?"
)
REPLY = ("Step:", " Done:", " Progress:")
YES, NO, DIGITS = "Yes", "No", "0123456789"
ADAPTER_FOLDER = "adapter"


class TransformersNetwork:
    """A published model whose adapter alone is trained."""

    def __init__(self, name: str, *, view_of: str, lora_rank: int, lora_alpha: float = 16.0) -> None:
        config = LoraConfig(
            r=lora_rank, lora_alpha=lora_alpha, target_modules="all-linear", init_lora_weights="gaussian"
        )
        self._set_up(name, view_of, get_peft_model(_load(name), config))

    @classmethod
    def from_adapter(cls, name: str, view_of: str, folder: Path) -> "TransformersNetwork":
        """The base with a trained adapter."""
        network = cls.__new__(cls)
        module = PeftModel.from_pretrained(_load(name), str(folder / ADAPTER_FOLDER))
        network._set_up(name, view_of, module)
        return network

    def _set_up(self, name: str, view_of: str, module: nn.Module) -> None:
        self.module = module
        self._policy = load_processor(view_of)
        self._side = self._policy.view_shape[0]
        self._processor = AutoProcessor.from_pretrained(name)
        tokenizer = self._processor.tokenizer
        tokenizer.padding_side = "left"
        parts = [tokenizer(part, add_special_tokens=False).input_ids for part in REPLY]
        self._reply_R = torch.tensor(list(chain.from_iterable(parts)))
        lengths = np.cumsum([len(part) for part in parts])
        self._asked = [int(length - lengths[-1] - 1) for length in lengths]
        """Positions of the colons, counted from the end."""
        self._yes, self._no, *self._digits = (_last_token(tokenizer, word) for word in (YES, NO, *DIGITS))

    @property
    def cameras(self) -> tuple[str, ...]:
        return self._policy.cameras

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """Of the first camera alone: one picture a question."""
        return self._side, self._side, 3

    def views(self, frames_BHWC: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """In training in another light; the model has seen enough pictures to need no more."""
        views_BHWC = np.stack([self._policy.view(frame)[:, : self._side] for frame in frames_BHWC])
        if rng is None:
            return views_BHWC
        gains = rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, (len(views_BHWC), 1, 1, 1))
        return np.clip(views_BHWC * gains, 0, 255).astype(np.uint8)

    def answers(self, views_BHWC: np.ndarray, instructions: Sequence[str]) -> Answers:
        logits_BRV = self._logits(self._inputs(views_BHWC, instructions))
        step, done, progress = (logits_BRV[:, position] for position in self._asked)
        return Answers(
            step[:, self._yes] - step[:, self._no],
            done[:, self._yes] - done[:, self._no],
            progress[:, self._digits],
        )

    def save(self, folder: Path) -> None:
        self.module.save_pretrained(str(folder / ADAPTER_FOLDER))

    def _logits(self, inputs: BatchFeature) -> Tensor:
        """(B, R, V) of the reply's positions."""
        return self.module(**inputs).logits[:, -len(self._reply_R) :]

    def _inputs(self, views_BHWC: np.ndarray, instructions: Sequence[str]) -> BatchFeature:
        """What the model's own processor makes of pictures and questions, with the reply added to each."""
        inputs = self._processor(
            text=[self._prompt(instruction) for instruction in instructions],
            images=[[Image.fromarray(view)] for view in views_BHWC],
            padding=True,
            return_tensors="pt",
        )
        num_rows, num_tokens = inputs["input_ids"].shape
        reply_BR = self._reply_R.repeat(num_rows, 1)
        for name, value in inputs.items():
            if value.shape == (num_rows, num_tokens):
                fill = {"input_ids": reply_BR, "attention_mask": torch.ones_like(reply_BR)}
                inputs[name] = torch.cat([value, fill.get(name, torch.zeros_like(reply_BR))], dim=1)
        return inputs.to(self.module.device)

    def _prompt(self, instruction: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": QUESTION.format(instruction=instruction)}]
        messages = [{"role": "user", "content": content}]
        return self._processor.apply_chat_template(messages, add_generation_prompt=True)


def _load(name: str) -> nn.Module:
    has_gpu = torch.cuda.is_available()
    model = AutoModelForImageTextToText.from_pretrained(
        name, dtype=torch.bfloat16 if has_gpu else torch.float32
    )
    return model.to("cuda" if has_gpu else "cpu")


def _last_token(tokenizer: object, word: str) -> int:
    assert callable(tokenizer)
    return int(tokenizer(word, add_special_tokens=False).input_ids[-1])
