"""Our classes against the original OpenVLA code's outputs, on a small checkpoint in the published layout."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from policy.checkpoint import load_model
from policy.configuration import OpenVLAConfig
from policy.model import VLARLForActionPrediction
from policy.tokens import ActionStatistics, ActionTokens

TOLERANCE = 1e-4
HALF_PRECISION = 2.0**-11
"""The original's logits are stored in half precision, rounded by at most this share of their size."""


@pytest.fixture(scope="module")
def folder(shared_dir: Path) -> Path:
    return shared_dir / "fixtures" / "openvla_tiny"


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "expected.safetensors")


@pytest.fixture(scope="module")
def model(folder: Path) -> VLARLForActionPrediction:
    towers = json.loads((folder / "about.json").read_text())["towers"]
    config = OpenVLAConfig(
        **json.loads((folder / "config.json").read_text()), vit_towers=[towers["dinov2"], towers["siglip"]]
    )
    return load_model(folder, config, torch.float32)


@torch.no_grad()
def test_image_tokens(model: VLARLForActionPrediction, expected: dict[str, Tensor]) -> None:
    features = model.vision_features(None, expected["pixel_values"].float())
    patches = model.projector(features)[:, : expected["projector_features"].shape[1]]
    torch.testing.assert_close(patches, expected["projector_features"], rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_hidden_states_and_logits(model: VLARLForActionPrediction, expected: dict[str, Tensor]) -> None:
    tokens = expected["action_ids"]
    one_more = torch.cat([tokens, tokens[:, :1]], dim=1)  # the last hidden state comes after the last token
    output = model(
        expected["input_ids"], pixel_values=expected["pixel_values"].float(), action_tokens=one_more
    )
    torch.testing.assert_close(output.hidden, expected["last_hidden"], rtol=0, atol=TOLERANCE)
    ids = model.config.action_ids
    head = model.language_model.lm_head.weight[ids.start : ids.stop]
    logits = expected["last_hidden"][:, :7] @ head.T  # the original's, before they were rounded
    torch.testing.assert_close(logits, expected["action_logits"], rtol=HALF_PRECISION, atol=1e-6)
    torch.testing.assert_close(output.logits[:, :7], logits, rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_greedy_tokens_and_actions(
    model: VLARLForActionPrediction, expected: dict[str, Tensor], folder: Path
) -> None:
    """The original decodes greedily over the whole vocabulary; so does this test, by hand."""
    sequence = expected["input_ids"]
    patches = model.projector(model.vision_features(None, expected["pixel_values"].float()))
    for _ in range(7):
        hidden = model.language_model.model(inputs_embeds=model.splice(sequence, patches)).last_hidden_state
        chosen = model.language_model.lm_head(hidden[:, -1]).argmax(dim=-1, keepdim=True)
        sequence = torch.cat([sequence, chosen], dim=1)
    greedy = sequence[:, -7:]
    assert torch.equal(greedy, expected["greedy_ids"])

    key = json.loads((folder / "about.json").read_text())["unnorm_key"]
    stats = ActionStatistics.from_json(
        json.loads((folder / "config.json").read_text())["norm_stats"][key]["action"]
    )
    actions = stats.unnormalize(ActionTokens(model.config.action_ids).decode(greedy.numpy()))
    np.testing.assert_allclose(actions, expected["predicted_actions"].numpy(), rtol=0, atol=TOLERANCE)
