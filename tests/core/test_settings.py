"""Settings: layers, and what is refused with which advice."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from core import rules, settings
from core.config import Config, CurriculumKind, Mode


def test_layers_later_ones_win(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("learner: {lr: 0.5, epochs: 7}\nrun: {mode: inline}\n")
    config = settings.load(file, ["learner.lr=2e-5", "env.tasks=[3,4]"])
    assert (config.learner.lr, config.learner.epochs) == (2e-5, 7)
    assert config.run.mode is Mode.INLINE
    assert config.env.tasks == [3, 4]
    assert config.curriculum.kind is CurriculumKind.FRONTIER


def test_nothing_after_the_equals_sign_takes_a_text_away(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("reward:\n  checkpoint: somewhere\n")
    config = settings.load(file, ["reward.checkpoint="])
    assert config.reward.checkpoint == ""


def test_nothing_said_is_the_defaults() -> None:
    assert settings.load() == Config()


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("learner.clip_lo=0.1", "did you mean learner.clip_low"),
        ("lerner.lr=0.1", "did you mean learner.lr"),
        ("policy.lr=0.1", "critic.lr or learner.lr?"),
        ("learner=3", "there is no setting 'learner'"),
        ("run.mode=inlin", "allowed are inline, local, cluster; did you mean inline?"),
        ("learner.lr=fast", "expected a number, as in learner.lr=0.0001; got 'fast'"),
        ("learner.epochs=1.5", "expected a whole number"),
        ("env.tasks=3", "expected a list"),
        ("learner.lr", "neither a .yaml file nor key=value"),
        ("learner.lr=-1", "learner.lr must be above 0, got -1"),
        ("advantage.gamma=1.2", "advantage.gamma must lie in 0..1"),
        ("learner.zero_stage=4", "allowed are 1, 2, 3"),
        ("env.tasks=[3,0,3]", "names a task twice"),
        ("learner.minibatch_size=16", "microbatch_size <= minibatch_size"),
        ("env.workers_per_actor=9", "the rest would idle"),
        ("learner.lr=[1", "'learner.lr=[1': what follows the = is not YAML"),
        ("run.name=", "run.name= cannot be a folder of run.runs_dir=runs"),
        ("run.name=.", "give a name without slashes"),
        ("run.name=..", "give a name without slashes"),
        ("run.name=a/b", "give a name without slashes"),
        ("curriculum.temperature=0", "curriculum.temperature must be above 0"),
    ],
)
def test_wrong_keys_and_values_are_refused_with_advice(word: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        settings.load(None, [word])


def test_every_number_has_a_range() -> None:
    """The size of a group has its own rule: it depends on the kind of advantages."""
    ruled = {*rules.POSITIVE, *rules.NOT_NEGATIVE, *rules.UNIT, *rules.CHOICES, "advantage.group_size"}
    for section, part in dataclasses.asdict(Config()).items():
        numbers = {f"{section}.{name}" for name, value in part.items() if type(value) in (int, float)}
        assert numbers <= ruled, numbers - ruled


def test_a_word_may_switch_off_what_the_file_sets(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("reward: {checkpoint: somewhere, scale: 0.1}\n")
    assert settings.load(file, ["reward.checkpoint="]).reward.checkpoint == ""
    file.write_text("reward: {scale: 0.1}\n")
    with pytest.raises(ValueError, match="has no effect here"):
        settings.load(file, [])


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (["advantage.group_size=4"], "advantage.kind=grpo or rloo"),
        (["advantage.kind=grpo", "critic.lr=0.1"], "advantage.kind=gae"),
        (["advantage.kind=rloo", "advantage.lam=0.9"], "advantage.kind=gae"),
        (["advantage.kind=grpo", "advantage.gamma=0.9"], "advantage.kind=gae"),
        (["curriculum.kind=uniform", "curriculum.floor=0.2"], "curriculum.kind=frontier or paper"),
        (["critic.window=4"], "critic.kind=pooled"),
        (["learner.train_share=0.5"], "critic.kind=pooled"),
        (["critic.kind=pooled", "critic.coef=0.1"], "critic.kind=shared or adapter"),
        (["run.mode=inline", "engine.num_replicas=2"], "run.mode=local or cluster"),
        (["run.mode=inline", "learner.zero_stage=3"], "run.mode=local or cluster"),
    ],
)
def test_a_setting_without_effect_is_refused(words: list[str], needs: str) -> None:
    with pytest.raises(ValueError, match="has no effect here") as refusal:
        settings.load(None, words)
    assert needs in str(refusal.value)


def test_checkpoints_are_also_kept_of_evaluations() -> None:
    settings.load(None, ["run.checkpoint_every=0", "eval.every=10", "run.keep_checkpoints=50"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["advantage.kind=grpo", "buffer.chunk_decisions=8"], "buffer.chunk_decisions=0"),
        (["learner.num_ranks=3"], "must be a multiple of learner.num_ranks=3"),
        (["eval.episodes_per_task=51"], "a task has 50 published states"),
        (["reward.checkpoint=x", "reward.shaping=additive"], "advantage.bootstrap_time_limit=true"),
        (
            [
                *("advantage.kind=grpo", "buffer.chunk_decisions=0", "reward.checkpoint=x"),
                *("reward.shaping=additive", "reward.when_down=sparse"),
            ],
            "some episodes of a group unpaid",
        ),
    ],
)
def test_contradictions_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        settings.load(None, words)


def test_a_file_without_sections_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    for text, message in (("3\n", "does not hold settings"), ("- 3\n", "got a list"), ("a: [\n", "not YAML")):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            settings.load(file)


def test_a_missing_file_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="experiments/ there are"):
        settings.load(Path("nowhere.yaml"))


def test_the_saved_file_gives_the_same_settings_back(tmp_path: Path) -> None:
    config = settings.load(None, ["run.mode=inline", "env.tasks=[1]", "learner.lr=3e-5"])
    settings.save(config, tmp_path / "config.yaml")
    assert settings.load_resolved(tmp_path / "config.yaml") == config
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["run"]["mode"] == "inline"


def test_a_begun_run_hears_what_its_file_and_words_change(tmp_path: Path) -> None:
    """And keeps what neither names, whatever the defaults are by now."""
    begun = settings.load(None, ["learner.lr=3e-5", "run.seed=4", "run.num_updates=9"])
    settings.save(begun, tmp_path / "config.yaml")
    (tmp_path / "edited.yaml").write_text("learner: {lr: 1.0e-5}\nrun: {num_updates: 20}\n")
    now = settings.load_resolved(tmp_path / "config.yaml", ["run.num_updates=30"], tmp_path / "edited.yaml")
    assert (now.learner.lr, now.run.num_updates, now.run.seed) == (1e-5, 30, 4)
    assert settings.changes(begun, now) == ["run.num_updates: 9 -> 30", "learner.lr: 3e-05 -> 1e-05"]
    assert settings.changes(begun, begun) == []


@pytest.mark.parametrize("file", sorted(Path("experiments").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_experiment_loads(file: Path) -> None:
    assert settings.load(file) != Config()
