"""Metrics for operators: what Ray's endpoint says, and that the Grafana dashboard asks for nothing else."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from cluster.operator_metrics import gauge_name

DASHBOARD = Path("cluster/grafana/vlarl.json")
PROGRAM = """
import sys, time, urllib.request
from pathlib import Path
from cluster.ray_settings import prepare_local
prepare_local()
import ray
ray.init("local", include_dashboard=False, num_cpus=1, object_store_memory=100 * 2**20)
from cluster.operator_metrics import RayMetricsWriter
writer = RayMetricsWriter(Path(sys.argv[1]))
values = {"learner/kl": 0.25, "learner/entropy": float("nan"), "curriculum/success/libero_spatial/3": 0.5}
writer.scalars(7, values)
port = ray.nodes()[0]["MetricsExportPort"]
deadline, said = time.monotonic() + 90, ""
while "ray_vlarl_update" not in said and time.monotonic() < deadline:
    time.sleep(0.5)
    try:
        said = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    except OSError:
        continue
print("\\n".join(line for line in said.splitlines() if line.startswith("ray_vlarl")))
"""


def test_rays_endpoint_says_what_the_run_folder_says(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "RAY_metrics_report_interval_ms": "1000", "PYTHONPATH": "."},
    )
    found = dict(re.findall(r"^(ray_vlarl_\w+)\{.*\} (\S+)$", result.stdout, flags=re.MULTILINE))
    assert float(found["ray_vlarl_learner_kl"]) == 0.25
    assert float(found["ray_vlarl_update"]) == 7
    assert float(found["ray_vlarl_curriculum_success"]) == 0.5
    assert "ray_vlarl_learner_entropy" not in found  # not a number, so not shown
    assert re.search(r'ray_vlarl_curriculum_success\{.*task="libero_spatial/3"', result.stdout)
    assert 'run="run"' in result.stdout
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert (line["update"], line["learner/kl"]) == (7, 0.25)


def test_the_grafana_dashboard_asks_for_documented_metrics() -> None:
    documented = re.findall(r"^\| `([^`]+)`", Path("docs/metrics.md").read_text(), flags=re.MULTILINE)
    there = {f"ray_{gauge_name(name.removesuffix('/TASK'))}" for name in documented} | {"ray_vlarl_update"}
    dashboard = json.loads(DASHBOARD.read_text())
    asked = set(re.findall(r"ray_vlarl_\w+", DASHBOARD.read_text()))
    assert asked <= there
    assert len(dashboard["panels"]) >= 15
    corners = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]}
    assert len(corners) == len(dashboard["panels"])  # none lies on another
