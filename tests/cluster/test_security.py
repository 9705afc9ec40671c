"""The rows of docs/security.md: what is refused, what is never called, what never leaves."""

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cluster import ray_settings
from cluster.security import is_loopback, refuse_open_dashboard, refuse_open_head
from core.settings import known_keys
from docs.check import ROOT

FLOORS = ("core", "envs", "policy", "reward", "learner", "actors", "cluster", "dashboard", "cli", "drills")

# --- who may reach Ray -----------------------------------------------------------------------------


def test_every_ray_that_we_start_asks_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ray_settings.LOCAL:  # set first, so that it is put back as it was, whatever it was
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(ray_settings.sys, "modules", {})
    ray_settings.prepare_local()
    assert os.environ["RAY_AUTH_MODE"] == "token"


LISTENERS = """
from cluster.ray_settings import prepare_local
prepare_local()
import psutil
from cluster.distributed import connect
from core.config import Config
connect(Config())
me = psutil.Process()
for process in [me, *me.children(recursive=True)]:
    for connection in process.net_connections("inet"):
        if connection.status == psutil.CONN_LISTEN:
            print("listens", connection.laddr.ip)
"""


def test_a_ray_of_our_own_is_reached_from_this_machine_only_and_joins_no_other() -> None:
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:1"}
    run = subprocess.run(
        [sys.executable, "-c", LISTENERS], env=environment, check=True, capture_output=True, text=True
    )
    listeners = {line.split()[1] for line in run.stdout.splitlines() if line.startswith("listens")}
    assert listeners
    assert all(is_loopback(listener) for listener in listeners), listeners


@pytest.mark.parametrize(
    ("address", "mode", "refused"),
    [
        ("127.0.0.1:6379", None, False),
        ("[::1]:6379", "disabled", False),
        ("192.0.2.7:6379", "token", False),
        ("192.0.2.7:6379", None, True),
        ("192.0.2.7:6379", "disabled", True),
        ("[2001:db8::7]:6379", None, True),
    ],
)
def test_a_head_on_the_network_must_ask_for_a_token(address: str, mode: str | None, refused: bool) -> None:
    environment = {} if mode is None else {"RAY_AUTH_MODE": mode}
    if not refused:
        refuse_open_head(address, environment)
        return
    with pytest.raises(ValueError, match="RAY_AUTH_MODE=token on every machine"):
        refuse_open_head(address, environment)


@pytest.fixture(params=[200, 401, 403])
def dashboard(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A web server on all addresses that gives everybody the same answer; its port, and the answer."""
    code: int = request.param

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("0.0.0.0", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, code
    server.shutdown()
    server.server_close()


def test_a_dashboard_on_the_network_must_refuse_strangers(
    dashboard: tuple[int, int], own_address: str
) -> None:
    port, code = dashboard
    refuse_open_dashboard(f"127.0.0.1:{port}")  # nobody else can reach this one
    if code == 200:
        with pytest.raises(ValueError, match="asks for no token"):
            refuse_open_dashboard(f"http://{own_address}:{port}")
        with pytest.raises(ValueError, match="asks for no token"):  # its head can be reached
            refuse_open_dashboard(f"127.0.0.1:{port}", head=f"{own_address}:6379")
        refuse_open_dashboard(f"127.0.0.1:{port}", head="127.0.0.1:6379")
    else:
        refuse_open_dashboard(f"{own_address}:{port}")


def test_only_the_loopback_is_loopback() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("::ffff:127.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("no-such-host.invalid")


# --- what is never called --------------------------------------------------------------------------

FORBIDDEN = {
    *("eval", "exec", "os.system", "tempfile.mktemp", "yaml.load", "yaml.unsafe_load"),
    *("pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "dill.load", "dill.loads"),
    *("joblib.load", "extractall", "marshal.loads", "shelve.open"),
}
UNPICKLES_ARRAYS_ONLY = ROOT / "envs/suites.py"
"""LIBERO's initial states are pickles; this reader knows nothing but arrays (tests/envs/test_suites.py)."""


def dangers(source: str) -> Iterator[str]:
    """Calls that run what they read, or that leave the door open."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and any("Unpickler" in ast.unparse(base) for base in node.bases):
            yield "Unpickler"
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name in FORBIDDEN or name.split(".")[-1] in ("extractall", "Unpickler"):
            yield name
        if name == "torch.load" and keywords.get("weights_only") != "True":
            yield "torch.load without weights_only"
        for keyword in ("shell", "trust_remote_code", "allow_pickle"):
            if keywords.get(keyword, "False") != "False":
                yield keyword


def test_nothing_that_is_read_is_ever_run() -> None:
    found = {
        str(file.relative_to(ROOT)): list(dangers(file.read_text()))
        for floor in FLOORS
        for file in (ROOT / floor).rglob("*.py")
    }
    assert len(found) > 80
    reader = str(UNPICKLES_ARRAYS_ONLY.relative_to(ROOT))
    assert found.pop(reader) == ["Unpickler"]
    assert {file: calls for file, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "line",
    [
        "pickle.loads(x)",
        "torch.load(f)",
        "AutoModel.from_pretrained(n, trust_remote_code=True)",
        "subprocess.run(c, shell=True)",
        "archive.extractall(folder)",
        "numpy.load(f, allow_pickle=True)",
        "eval(text)",
        "class A(pickle.Unpickler): ...",
    ],
)
def test_each_danger_would_be_found(line: str) -> None:
    assert list(dangers(line))


def test_code_and_pickles_that_come_with_a_checkpoint_are_left_alone(tmp_path: Path) -> None:
    """A folder that asks to run its own code, and one whose weights are not safetensors."""
    import torch

    from policy.checkpoint import load_policy
    from policy.presets import make_tiny

    make_tiny(tmp_path / "policy", "micro")
    mark = tmp_path / "was-run"
    (tmp_path / "policy/modeling.py").write_text(f"open({str(mark)!r}, 'w')\nclass Model: ...\n")
    config = json.loads((tmp_path / "policy/config.json").read_text())
    config["auto_map"] = {"AutoModelForVision2Seq": "modeling.Model", "AutoConfig": "modeling.Model"}
    (tmp_path / "policy/config.json").write_text(json.dumps(config))
    load_policy(tmp_path / "policy", dtype=torch.float32)
    assert not mark.exists()

    for file in (tmp_path / "policy").glob("*.safetensors"):
        file.unlink()

    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(mark), "w")

    torch.save({"weights": Harm()}, tmp_path / "policy/pytorch_model.bin")
    with pytest.raises(ValueError, match="no weights in"):
        load_policy(tmp_path / "policy", dtype=torch.float32)
    assert not mark.exists()


# --- what never leaves -----------------------------------------------------------------------------


def test_no_setting_holds_a_secret() -> None:
    """Settings are saved with the run; secrets come from the environment or from files, and stay there."""
    words = ("token", "secret", "password", "api_key", "credential")
    assert [key for key in known_keys() if any(word in key for word in words)] == []


def test_every_row_of_the_table_names_a_test_that_exists() -> None:
    import re

    page = (ROOT / "docs/security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`tests/" in line]
    assert len(rows) >= 10
    for row in rows:
        for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row):
            assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"
