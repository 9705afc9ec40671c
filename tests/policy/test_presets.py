"""The tiny family and its tokenizer."""

from pathlib import Path

import numpy as np
import pytest

from envs.suites import SUITES, suite_tasks
from policy.checkpoint import load_policy
from policy.presets import PRESETS, make_tiny, tiny_config
from policy.presets.tokenizer import NUM_TEXT_IDS, PROMPT_END_ID, build_tokenizer
from policy.processing import PROMPT, Processor, load_processor
from policy.tokens import ActionStatistics

ALL = ActionStatistics(q01=-np.ones(7), q99=np.ones(7), mask=np.array([True] * 6 + [False]))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load_and_have_their_action_ids_last(preset: str, tmp_path: Path) -> None:
    make_tiny(tmp_path, preset)
    config = load_policy(tmp_path).config
    assert config.action_ids == range(NUM_TEXT_IDS, NUM_TEXT_IDS + 256)
    assert config.language.vocab_size >= config.action_ids.stop > config.pad_token_id - 1


def test_same_seed_same_weights(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_tiny(tmp_path / name, "micro", seed=seed)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_tiny_is_small_enough_to_keep_beside_the_code(tmp_path: Path) -> None:
    make_tiny(tmp_path, "tiny")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 20e6


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="tiny, micro"):
        tiny_config("huge")


def test_every_libero_instruction_is_made_of_whole_words_and_has_its_own_ids() -> None:
    tokenizer = build_tokenizer()
    instructions = {task.instruction.lower() for suite in SUITES for task in suite_tasks(suite)}
    encoded = {text: tokenizer.encode(PROMPT.format(instruction=text)) for text in instructions}
    assert len({tuple(encoding.ids) for encoding in encoded.values()}) == len(instructions)
    for text, encoding in encoded.items():
        assert encoding.tokens == ["<s>", *text.split()], text


def test_new_words_are_spelled_and_stay_apart(tmp_path: Path) -> None:
    make_tiny(tmp_path, "micro")
    processor = load_processor(tmp_path)
    ids = {
        text: processor.prompt_ids(text) for text in ("grab the zebra", "grab the zebu", "Grab the  zebra ")
    }
    assert ids["grab the zebra"] != ids["grab the zebu"]
    assert ids["grab the zebra"] == ids["Grab the  zebra "]
    assert all(0 not in encoded and encoded[-1] == PROMPT_END_ID for encoded in ids.values())


@pytest.mark.parametrize("num_steps", [1, 4, 8])
def test_chunks_of_actions_round_trip(num_steps: int) -> None:
    config = tiny_config("micro")
    config.num_action_steps = num_steps
    processor = Processor(config, build_tokenizer(), ALL)
    rng = np.random.default_rng(0)
    actions = np.append(rng.uniform(-1, 1, (num_steps, 6)), rng.choice([-1, 1], (num_steps, 1)), axis=1)
    tokens = processor.encode(actions)
    assert tokens.shape == (7 * num_steps,) == (processor.num_action_tokens,)
    assert np.isin(tokens, config.action_ids).all()
    back = processor.decode(tokens)
    assert np.abs(back[:, :6] - actions[:, :6]).max() <= 1 / 255 + 1e-9
    np.testing.assert_array_equal(back[:, 6], actions[:, 6])


def test_an_action_that_is_held_stands_for_the_mean_movement() -> None:
    """Four steps in two actions: each moves as far in its two steps as was moved, the gripper ends alike."""
    config = tiny_config("micro")
    config.num_action_steps, config.action_repeat = 2, 2
    processor = Processor(config, build_tokenizer(), ALL)
    moved_x, gripper = np.array([0.2, 0.6, -0.4, 0.0]), np.array([-1, 1, 1, 1])
    actions = np.zeros((4, 7))
    actions[:, 0], actions[:, 6] = moved_x, gripper
    tokens = processor.encode(actions)
    assert tokens.shape == (14,) == (processor.num_action_tokens,)
    back = processor.decode(tokens)
    np.testing.assert_allclose(back[:, 0], [0.4, 0.4, -0.2, -0.2], atol=1 / 255)
    np.testing.assert_array_equal(back[:, 6], [1, 1, 1, 1])


def test_wrong_shapes_are_refused() -> None:
    processor = Processor(tiny_config("micro"), build_tokenizer(), ALL)
    with pytest.raises(ValueError, match="7 action tokens"):
        processor.decode(np.zeros(28, np.int32))
    with pytest.raises(ValueError, match=r"\(1, 7\) actions"):
        processor.encode(np.zeros((4, 7)))
    with pytest.raises(ValueError, match="uint8"):
        processor.view(np.zeros((128, 128, 3)))
    with pytest.raises(ValueError, match="agentview, robot0_eye_in_hand"):
        processor.view(np.zeros((128, 128, 3), np.uint8))


def test_view_keeps_the_cameras_side_by_side() -> None:
    processor = Processor(tiny_config("micro"), build_tokenizer(), ALL)
    frame = np.zeros((128, 256, 3), np.uint8)
    frame[:, 128:] = 200
    view = processor.view(frame)
    assert view.shape == processor.view_shape == (64, 128, 3)
    assert np.all(view[:, :64] == 0)
    assert np.all(view[:, 64:] == 200)
