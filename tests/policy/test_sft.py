"""Imitation: its labels and losses by hand, and a toy world where the instruction tells left from right."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from core.types import Start, StateSource, TaskId
from envs.demos import Demo, DemoWriter
from envs.suites import Task, task
from policy.augment import random_views
from policy.checkpoint import load_policy
from policy.imitation_data import next_switch, read_episodes
from policy.imitation_loss import soft_cross_entropy
from policy.model import action_logits, pad_prompts
from policy.presets import make_tiny, tiny_config
from policy.sft import STATE_FILE, Progress, SftOptions, Trainer, train

NUM_STEPS = 12
CAMERAS = ("agentview", "robot0_eye_in_hand")


def demo(task: Task, direction: float, seed: int) -> Demo:
    """The arm moves in `direction`, then grasps; pictures say nothing."""
    rng = np.random.default_rng(seed)
    actions = np.zeros((NUM_STEPS, 7))
    actions[:, 1] = direction
    actions[:, 6] = np.where(np.arange(NUM_STEPS) < 8, -1, 1)
    return Demo(
        frames=rng.integers(100, 110, (NUM_STEPS, 128, 128, 3), dtype=np.uint8),
        wrist_frames=rng.integers(100, 110, (NUM_STEPS, 128, 128, 3), dtype=np.uint8),
        actions=actions,
        clean_actions=actions,
        phases=("approach",) * NUM_STEPS,
        states=np.zeros((NUM_STEPS, 5)),
        end_effector=np.cumsum(actions[:, :6], axis=0),
        gripper=np.full((NUM_STEPS, 2), 0.04),
        joints=np.zeros((NUM_STEPS, 7)),
        success=True,
        num_steps=NUM_STEPS,
        start=Start(task=task.id, source=StateSource.FRESH, number=seed),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("demos")
    for index, direction in ((0, 0.5), (1, -0.5)):
        asked = task(TaskId(suite="libero_spatial", index=index))
        with DemoWriter(
            folder / f"{index}.hdf5", asked, {"suite": "libero_spatial", "task": index}
        ) as writer:
            for seed in range(6):
                writer.add(demo(asked, direction, seed))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    make_tiny(folder, "micro")
    return folder


def options(**changes: object) -> SftOptions:
    given = {"steps": 6, "batch_size": 8, "report_every": 3, "lr": 3e-3}
    return SftOptions(**given | changes)  # type: ignore[arg-type]


def ignore(_: Progress) -> None:
    """For runs whose progress nobody watches."""


def test_next_switch_by_hand() -> None:
    gripper = np.array([-1, -1, 1, 1, -1, -1.0])
    assert next_switch(gripper).tolist() == [2, 2, 4, 4, 5, 5]
    assert next_switch(np.array([1.0, 1, 1])).tolist() == [2, 2, 2]


def test_soft_cross_entropy_by_hand() -> None:
    """Three bins, sigma 1: the label's neighbours weigh exp(-1/2) and exp(-2) before normalising."""
    logits, labels = torch.tensor([[[0.0, 1.0, 2.0]]]), torch.tensor([[0]])
    weights = np.exp([0, -0.5, -2.0])
    expected = -(weights / weights.sum() * torch.log_softmax(logits[0, 0], 0).numpy()).sum()
    assert soft_cross_entropy(logits, labels, 1.0).item() == pytest.approx(expected, abs=1e-6)
    assert soft_cross_entropy(logits, labels, 0).item() == pytest.approx(
        -torch.log_softmax(logits[0, 0], 0)[0]
    )


def test_views_are_moved_and_in_other_light() -> None:
    config = tiny_config("micro")
    ramp = np.indices((128, 128)).transpose(1, 2, 0)[None].astype(np.uint8)
    pictures = np.concatenate([ramp, np.full((1, 128, 128, 1), 100, np.uint8)], axis=-1)
    frames = np.concatenate([pictures, pictures], axis=2).repeat(16, axis=0)
    views = random_views(frames, config, np.random.default_rng(0), max_shift=4)
    assert views.shape == (16, 64, 128, 3)
    gains = views[..., 2].mean(axis=(1, 2)) / 100
    assert gains.min() > 0.88
    assert gains.max() < 1.12
    assert len(np.unique(gains.round(3))) > 8
    middles = views[:, 32, [32, 96], :2] / gains[:, None, None]
    assert np.abs(middles - 64.5).max() < 6  # 4 pixels of shift, and rounding
    assert len(np.unique(middles[:, 0].round(), axis=0)) > 8
    assert not np.array_equal(middles[:, 0].round(), middles[:, 1].round()), "each camera moves by itself"


@pytest.mark.parametrize("size", [56, 128])
def test_published_views_have_the_policy_s_size_and_differ(size: int) -> None:
    config = tiny_config("micro")
    config.image_resize_strategy, config.image_sizes = "resize-naive", [56, 56]
    frames = np.random.default_rng(0).integers(0, 255, (1, size, 2 * size, 3)).astype(np.uint8)
    views = random_views(frames.repeat(3, axis=0), config, np.random.default_rng(0), max_shift=4)
    assert views.shape == (3, 56, 112, 3)
    assert not np.array_equal(views[0], views[1])


def test_the_instruction_decides(start: Path, files: list[Path], tmp_path: Path) -> None:
    """The same picture, another instruction, another action."""
    train(start, files, tmp_path, "libero_spatial", options(steps=300, batch_size=16), ignore)
    policy = load_policy(tmp_path, suite="libero_spatial")
    frame = torch.full((1, 64, 128, 3), 105, dtype=torch.uint8)
    directions = []
    for index in range(2):
        prompt = policy.processor.prompt_ids(task(TaskId(suite="libero_spatial", index=index)).instruction)
        tokens = torch.full((1, 7), policy.config.action_ids.start)
        for position in range(7):
            with torch.no_grad():
                logits, _ = action_logits(policy.model, pad_prompts([prompt], 0), frame, tokens)
            tokens[0, position] = logits[0, position].argmax() + policy.config.action_ids.start
        directions.append(policy.processor.decode(tokens[0].numpy())[0, 1])
    assert directions == [pytest.approx(0.5, abs=0.1), pytest.approx(-0.5, abs=0.1)]


def test_statistics_are_stored(start: Path, files: list[Path], tmp_path: Path) -> None:
    train(start, files, tmp_path, "libero_spatial", options(), ignore)
    stats = load_policy(tmp_path).config.norm_stats["libero_spatial"]
    assert stats["num_trajectories"] == 12
    assert stats["action"]["q99"][1] == pytest.approx(0.5)
    assert stats["action"]["q01"][1] == pytest.approx(-0.5)


def test_a_resumed_run_ends_where_an_unbroken_one_does(
    start: Path, files: list[Path], tmp_path: Path
) -> None:
    unbroken = trainer(start, files)
    unbroken.steps(6)
    first = trainer(start, files)
    first.steps(3)
    first.save(tmp_path)
    second = trainer(start, files)
    second.load(tmp_path)
    second.steps(6)  # the budget leaves three
    assert second.num_steps == 6
    for name, parameter in unbroken.parameters().items():
        assert torch.equal(parameter, second.parameters()[name]), name


def trainer(start: Path, files: list[Path], **changes: object) -> Trainer:
    torch.manual_seed(0)
    return Trainer(start, list(read_episodes(files, 2, CAMERAS)), "libero_spatial", options(**changes))


def test_lora_leaves_the_start_and_saves_a_whole_policy(
    start: Path, files: list[Path], tmp_path: Path
) -> None:
    tuned = trainer(start, files, lora_rank=2)
    tuned.steps(6)
    tuned.save(tmp_path)
    before, after = load_policy(start).model.state_dict(), load_policy(tmp_path).model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "projector.fc1.weight" in changed
    assert "language_model.model.embed_tokens.weight" not in changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"minutes": 0}, "--minutes must be above 0, got 0"), ({"batch_size": 0}, "--batch-size must be above")],
)
def test_a_budget_or_batch_of_nothing_is_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_a_policy_is_not_overwritten_by_what_is_learned_from_it(start: Path, files: list[Path]) -> None:
    with pytest.raises(ValueError, match="would be overwritten"):
        train(start, files, start / "." / "", "libero_spatial", options(), ignore)


def test_a_changed_option_is_refused_on_resume(start: Path, files: list[Path], tmp_path: Path) -> None:
    first = trainer(start, files)
    first.steps(1)
    first.save(tmp_path)
    assert (tmp_path / STATE_FILE).is_file()
    with pytest.raises(ValueError, match="other lr"):
        trainer(start, files, lr=1e-4).load(tmp_path)
    trainer(start, files, steps=9).load(tmp_path)


def test_demonstrations_without_success_are_refused(start: Path, files: list[Path], tmp_path: Path) -> None:
    failed = tmp_path / "failed.hdf5"
    failed.write_bytes(files[0].read_bytes())
    with h5py.File(failed, "a") as file:
        for group in file["data"].values():
            group.attrs["success"] = False
    with pytest.raises(ValueError, match="successful demonstrations in these files: 0; at least 2"):
        train(start, [failed], tmp_path / "out", "libero_spatial", options(), ignore)
