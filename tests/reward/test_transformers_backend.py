"""The back end for published models, on a small random one of the LLaVA family that is made here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from policy.processing import load_processor
from reward.checkpoint import Backend, Description, load_reward_model
from reward.model import ScoreWeights
from reward.transformers_backend import TransformersNetwork

PICTURE, PATCH = 28, 14
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<image>")
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
POLICY = "demo/policy"
INSTRUCTIONS = ["open the drawer", "put the bowl on the plate and close the door", "push it"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub would hold it: random weights, letters as tokens, Yes and No whole."""
    folder = tmp_path_factory.mktemp("vlm")
    tokenizer = _tokenizer()
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": PICTURE}, crop_size={"height": PICTURE, "width": PICTURE}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=PICTURE,
        patch_size=PATCH,
    )
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_token)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    words = [*SPECIAL, "Yes", "No", *map(chr, range(32, 127))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # into letters
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    fast.image_token, fast.image_token_id = "<image>", fast.convert_tokens_to_ids("<image>")
    fast.add_tokens(["Yes", "No"])
    return fast


def test_answers_do_not_depend_on_who_else_is_in_the_batch(base: Path) -> None:
    """Prompts of several lengths are padded on the left; that must not move what is read."""
    network = TransformersNetwork(str(base), view_of=POLICY, lora_rank=2)
    network.module.eval()
    with torch.no_grad():
        together = network.answers(FRAMES, INSTRUCTIONS)
        alone = [network.answers(FRAMES[i : i + 1], INSTRUCTIONS[i : i + 1]) for i in range(len(FRAMES))]
    assert together.progress.shape == (3, 10)
    for name in ("step", "done", "progress"):
        singles = torch.cat([getattr(answer, name) for answer in alone])
        torch.testing.assert_close(getattr(together, name), singles, atol=1e-4, rtol=1e-4)
    assert together.step[0] != together.done[0]  # read at different places


def test_only_the_adapter_is_trained_and_comes_back(base: Path, tmp_path: Path) -> None:
    network = TransformersNetwork(str(base), view_of=POLICY, lora_rank=2)
    trained = [name for name, p in network.module.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    with torch.no_grad():
        for name, parameter in network.module.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    network.module.eval()
    network.save(tmp_path)
    Description(
        backend=Backend.TRANSFORMERS, base=str(base), view_of=POLICY, weights=ScoreWeights(), training={}
    ).write(tmp_path)
    model = load_reward_model(tmp_path)
    with torch.no_grad():
        expected = ScoreWeights().score(network.answers(FRAMES, INSTRUCTIONS)).numpy()
        plain = TransformersNetwork(str(base), view_of=POLICY, lora_rank=2)
        plain.module.eval()
        before = ScoreWeights().score(plain.answers(FRAMES, INSTRUCTIONS)).numpy()
    np.testing.assert_allclose(model.score(FRAMES, INSTRUCTIONS, batch_size=2), expected, atol=1e-5)
    assert np.abs(before - expected).max() > 1e-3


def test_it_learns_from_what_a_run_will_show_it(base: Path) -> None:
    """The policy's own view of its main camera, not what was recorded."""
    network = TransformersNetwork(str(base), view_of=POLICY, lora_rank=2)
    processor = load_processor(POLICY)
    raw = np.random.default_rng(1).integers(0, 256, (2, 128, 256, 3), dtype=np.uint8)
    assert network.cameras == processor.cameras
    views = network.views(raw, None)
    assert views.shape == (2, *network.view_shape) == (2, 64, 64, 3)
    np.testing.assert_array_equal(views[1], processor.view(raw[1])[:, :64])
    lit = network.views(raw, np.random.default_rng(0)).astype(float)
    assert lit.shape == views.shape
    assert np.abs(lit.mean(axis=(1, 2, 3)) / views.mean(axis=(1, 2, 3)) - 1).max() < 0.11
