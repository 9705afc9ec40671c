"""The command line: quick help, clear refusals, what config, submit and doctor say."""

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cli import demo, doctor
from cli.main import COMMANDS, main


@pytest.mark.parametrize("command", ["config", "doctor", "submit", "train"])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys\nfrom cli.main import main\n"
        f"try: main(['{command}', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'vllm', 'numpy', 'omegaconf'} & set(sys.modules)))"
    )
    began_s = _children_s()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
    assert _children_s() - began_s < 1


def _children_s() -> float:
    """CPU time of the processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    output = capsys.readouterr().out.split()
    assert set(COMMANDS) <= set(output)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command 'trian'"),
        (["train", "learner.clip_lo=1"], "did you mean learner.clip_low"),
        (["train", "a.yaml", "b.yaml"], "settings files: got a.yaml, b.yaml; allowed is one"),
        (["train", "a.yaml", "--or-resume", "b.yaml"], "settings files: got a.yaml, b.yaml; allowed is one"),
        (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
        (["train"], "policy.checkpoint is missing"),
        (["eval", "demo/policy", "--sample", "0"], "--sample 0: a temperature is above 0"),
        (["config", "lerner"], "there is no section 'lerner'"),
        (["config", "experiments/tiny_cpu.yaml", "learner.lr"], "neither a .yaml file nor key=value"),
        (["config", "a.yaml", "b.yaml"], "one settings file, got a.yaml, b.yaml"),
    ],
)
def test_mistakes_get_one_clear_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_config_shows_defaults_choices_and_comments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "curriculum"]) == 0
    output = capsys.readouterr().out
    assert "curriculum.kind=frontier (or paper, uniform)" in output
    assert "share of episodes drawn uniformly" in output


def test_config_prints_the_resolved_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "experiments/debug.yaml", "learner.lr=0.5"]) == 0
    output = capsys.readouterr().out
    assert "mode: inline" in output
    assert "lr: 0.5" in output


@pytest.mark.parametrize(
    ("minutes", "length"),
    [(2.0, "num_updates=2"), (3.0, "num_updates=2"), (9.0, "num_updates=14"), (30.0, "max_minutes=26")],
)
def test_a_taste_is_measured_in_updates(minutes: float, length: str) -> None:
    """On a slow machine, too, the policy is changed: the critic warms up for one."""
    words = demo._settings(argparse.Namespace(minutes=minutes, seed=0, settings=[]))
    assert f"run.{length}" in words
    assert ("critic.warmup_updates=1" in words) == (minutes < demo.TASTE_MINUTES)


def test_doctor_says_how_to_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "MIN_DISK_GB", 10**6)
    finding = doctor.check_disk(tmp_path / "not" / "yet" / "there")
    assert finding.verdict is doctor.Verdict.WARNING
    assert "run.runs_dir" in finding.mend
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert "export RAY_AUTH_MODE=token" in doctor.check_ray_auth().mend


def test_doctor_says_what_the_cpus_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("os.getloadavg", lambda: (7.21, 0.0, 0.0))
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    assert doctor.check_cpu().what == "2, load 7.2, no bfloat16, float32 instead"


def test_doctor_finds_this_installation_in_order() -> None:
    assert doctor.check_versions().verdict is doctor.Verdict.FINE
    assert doctor.check_engine().verdict is doctor.Verdict.FINE
