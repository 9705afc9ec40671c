"""The network: published sizes on the meta device, padding that changes nothing, instructions that matter."""

import pytest
import torch

from policy.configuration import OpenVLAConfig
from policy.model import VLARLForActionPrediction, action_logits, append_actions, pad_prompts
from policy.presets import tiny_config

PUBLISHED_PARAMETERS = 7_541_237_184


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published OpenVLA-7B layout, written out from its description."""
    shapes: dict[str, tuple[int, ...]] = {
        "language_model.model.embed_tokens.weight": (32064, 4096),
        "language_model.model.norm.weight": (4096,),
        "language_model.lm_head.weight": (32064, 4096),
        "projector.fc1.weight": (8704, 2176),
        "projector.fc1.bias": (8704,),
        "projector.fc2.weight": (4096, 8704),
        "projector.fc2.bias": (4096,),
        "projector.fc3.weight": (4096, 4096),
        "projector.fc3.bias": (4096,),
    }
    for layer in range(32):
        prefix = f"language_model.model.layers.{layer}."
        shapes |= {f"{prefix}self_attn.{name}_proj.weight": (4096, 4096) for name in "qkvo"}
        shapes |= {f"{prefix}mlp.{name}_proj.weight": (11008, 4096) for name in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (4096, 11008)
        shapes |= {f"{prefix}{name}_layernorm.weight": (4096,) for name in ("input", "post_attention")}
    shapes |= _tower("featurizer", 1024, depth=24, mlp=4096, layer_scale=True)
    shapes |= {
        "vision_backbone.featurizer.cls_token": (1, 1, 1024),
        "vision_backbone.featurizer.reg_token": (1, 4, 1024),
    }
    shapes |= _tower("fused_featurizer", 1152, depth=27, mlp=4304, layer_scale=False)
    pool = "vision_backbone.fused_featurizer.attn_pool."
    shapes |= {f"{pool}latent": (1, 1, 1152), f"{pool}norm.weight": (1152,), f"{pool}norm.bias": (1152,)}
    linears = {"q": (1152, 1152), "kv": (2304, 1152), "proj": (1152, 1152)}
    linears |= {"mlp.fc1": (4304, 1152), "mlp.fc2": (1152, 4304)}
    return shapes | _linears(pool, linears)


def _tower(name: str, dim: int, *, depth: int, mlp: int, layer_scale: bool) -> dict[str, tuple[int, ...]]:
    prefix = f"vision_backbone.{name}."
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}patch_embed.proj.weight": (dim, 3, 14, 14),
        f"{prefix}patch_embed.proj.bias": (dim,),
        f"{prefix}pos_embed": (1, 256, dim),
        f"{prefix}norm.weight": (dim,),
        f"{prefix}norm.bias": (dim,),
    }
    linears = {
        "attn.qkv": (3 * dim, dim),
        "attn.proj": (dim, dim),
        "mlp.fc1": (mlp, dim),
        "mlp.fc2": (dim, mlp),
    }
    for index in range(depth):
        block = f"{prefix}blocks.{index}."
        shapes |= {f"{block}norm{n}.{part}": (dim,) for n in (1, 2) for part in ("weight", "bias")}
        shapes |= _linears(block, linears)
        if layer_scale:
            shapes |= {f"{block}ls{n}.scale_factor": (dim,) for n in (1, 2)}
    return shapes


def _linears(prefix: str, sizes: dict[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    weights = {f"{prefix}{name}.weight": size for name, size in sizes.items()}
    return weights | {f"{prefix}{name}.bias": size[:1] for name, size in sizes.items()}


def test_published_7b_layout_is_met_to_the_last_parameter() -> None:
    with torch.device("meta"):
        model = VLARLForActionPrediction(OpenVLAConfig())
    ours = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert ours == published_shapes()
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED_PARAMETERS


@pytest.fixture(scope="module")
def tiny() -> VLARLForActionPrediction:
    torch.manual_seed(0)
    return VLARLForActionPrediction(tiny_config("micro")).eval()


@torch.no_grad()
def test_padding_and_company_change_nothing(tiny: VLARLForActionPrediction) -> None:
    frames = torch.randint(0, 255, (2, *tiny.config.view_shape), dtype=torch.uint8)
    tokens = torch.randint(tiny.config.action_ids.start, tiny.config.action_ids.stop, (2, 7))
    long, short = [1, 10, 11, 12, 13, 3], [1, 20, 3]
    together, hidden = action_logits(
        tiny, pad_prompts([long, short], tiny.config.pad_token_id), frames, tokens
    )
    for row, prompt in enumerate([long, short]):
        alone, alone_hidden = action_logits(
            tiny, torch.tensor([prompt]), frames[row : row + 1], tokens[row : row + 1]
        )
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(hidden[row], alone_hidden[0], rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_logit_depends_on_everything_before_it_and_nothing_after(tiny: VLARLForActionPrediction) -> None:
    frames = torch.randint(0, 255, (1, *tiny.config.view_shape), dtype=torch.uint8)
    tokens = torch.full((1, 7), tiny.config.action_ids.start)
    changed = tokens.clone()
    changed[0, 3] += 9
    before, _ = action_logits(tiny, torch.tensor([[1, 10, 3]]), frames, tokens)
    after, _ = action_logits(tiny, torch.tensor([[1, 10, 3]]), frames, changed)
    difference = (before - after).abs().amax(dim=-1)[0]
    assert torch.all(difference[:4] < 1e-6)
    assert torch.all(difference[4:] > 1e-5)
    other_words, _ = action_logits(tiny, torch.tensor([[1, 11, 3]]), frames, tokens)
    other_frame, _ = action_logits(tiny, torch.tensor([[1, 10, 3]]), 255 - frames, tokens)
    assert (before - other_words).abs().max() > 1e-5
    assert (before - other_frame).abs().max() > 1e-5


def test_actions_follow_each_prompt_at_once() -> None:
    padded = torch.tensor([[1, 5, 6, 3], [1, 3, 99, 99]])
    joined = append_actions(padded, torch.tensor([4, 2]), torch.tensor([[70, 71], [80, 81]]))
    assert joined[0].tolist() == [1, 5, 6, 3, 70, 71]
    assert joined[1].tolist()[:4] == [1, 3, 80, 81]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vision_tower", "resnet"),
        ("image_resize_strategy", "letterbox"),
        ("image_sizes", [224, 112]),
        ("num_action_steps", 0),
        ("action_repeat", 0),
        ("timm_model_ids", ["vit_large_patch14_reg4_dinov2.lvd142m"]),
    ],
)
def test_configurations_that_cannot_work_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        OpenVLAConfig(**{field: value})
