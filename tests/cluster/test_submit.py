"""What `vlarl submit` comes to, and what it refuses. A real submission is in test_cluster.py."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cli.main import main
from cluster.submission import logs_command, stop_command, submit_command

SETTINGS = ["experiments/debug.yaml", "policy.checkpoint=p", "run.runs_dir=/runs", "run.name=x"]


def test_a_run_becomes_a_ray_job() -> None:
    words = submit_command("http://head:8265", ["a.yaml", "run.name=x"], wait=False)
    assert words[1:5] == ["job", "submit", "--address", "http://head:8265"]
    assert words[-6:] == ["python", "-m", "cli.main", "train", "a.yaml", "run.name=x"]
    assert "--no-wait" in words[: words.index("--")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (SETTINGS, " ".join(SETTINGS)),
        (["--or-resume", *SETTINGS], f"{' '.join(SETTINGS)} --or-resume"),
        ([*SETTINGS, "--or-resume"], f"{' '.join(SETTINGS)} --or-resume"),
        (["--resume", "/runs/x"], "--resume /runs/x"),
        (["--resume", "/runs/x", "run.num_updates=9"], "run.num_updates=9 --resume /runs/x"),
    ],
)
def test_a_run_is_begun_or_continued_as_by_train(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "--dry-run", *words]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f" train {expected} run.mode=cluster")


def test_the_job_has_time_for_a_checkpoint_and_leaves_the_rest_at_home() -> None:
    words = submit_command(None, [])
    environment = json.loads(words[words.index("--runtime-env-json") + 1])
    assert environment["working_dir"] == "."
    assert {"/.git", "/tests", "/docs", ".env"} <= set(environment["excludes"])
    assert int(environment["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) >= 600


def test_stop_and_logs() -> None:
    assert stop_command(None, "raysubmit_1")[1:] == ["job", "stop", "raysubmit_1"]
    assert logs_command("http://h:1", "j")[1:] == ["job", "logs", "--address", "http://h:1", "--follow", "j"]


def test_a_dry_run_shows_the_command_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-secret-of-this-test")
    assert main(["submit", "--dry-run", *SETTINGS]) == 0
    output = capsys.readouterr().out
    assert "ray job submit" in output
    assert output.rstrip().endswith("run.name=x run.mode=cluster")
    assert "a-secret-of-this-test" not in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dry-run", "learner.clip_lo=1"], "did you mean learner.clip_low"),
        (["--dry-run", "run.name=x"], "policy.checkpoint is missing"),
        (["--dry-run", "policy.checkpoint=p"], "run.runs_dir=runs would be a folder in the job's own copy"),
        (["--dry-run", *SETTINGS, "policy.checkpoint=.venv"], "policy.checkpoint=.venv stays here"),
        (["--stop", "job", "run.name=x"], "take a job's name only, got also run.name=x"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", *words]) == 2
    assert message in capsys.readouterr().err


def test_another_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["submit", "--dry-run", "policy.checkpoint=p"]) == 2
    assert "is not the project's folder" in capsys.readouterr().err


@pytest.fixture
def open_dashboard() -> Iterator[int]:
    """A web server on every address that answers anybody; its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("0.0.0.0", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_an_open_dashboard_on_the_network_is_refused(
    open_dashboard: int, own_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://{own_address}:{open_dashboard}"
    assert main(["submit", "--address", address, *SETTINGS]) == 2
    assert "asks for no token" in capsys.readouterr().err
