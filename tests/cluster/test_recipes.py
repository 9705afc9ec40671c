"""The recipes as far as a machine without Kubernetes, SLURM, a cloud or Docker can check them."""

import json
import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from core import settings

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
SLURM = CLUSTER / "slurm/train.sbatch"

# --- Kubernetes: the fields of KubeRay's v1 API that the recipe may use, from its reference --------
FIELDS = {
    "RayJobSpec": {
        *("activeDeadlineSeconds", "authOptions", "backoffLimit", "entrypoint", "jobId", "rayClusterSpec"),
        *("runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterPodTemplate"),
        "ttlSecondsAfterFinished",
    },
    "RayClusterSpec": {
        *("authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "headGroupSpec", "rayVersion"),
        "workerGroupSpecs",
    },
    "AutoscalerOptions": {"idleTimeoutSeconds", "resources", "securityContext", "upscalingMode", "version"},
    "HeadGroupSpec": {"rayStartParams", "serviceType", "template"},
    "WorkerGroupSpec": {
        *("groupName", "maxReplicas", "minReplicas", "rayStartParams", "replicas", "template"),
        "idleTimeoutSeconds",
    },
    "PodSpec": {
        *("automountServiceAccountToken", "containers", "restartPolicy", "volumes"),
        "terminationGracePeriodSeconds",
    },
    "Container": {"image", "lifecycle", "name", "resources", "securityContext", "volumeMounts"},
}


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, Any]:
    """The recipe's objects by kind."""
    documents = yaml.safe_load_all((CLUSTER / "kuberay/rayjob.yaml").read_text())
    return {document["kind"]: document for document in documents}


def only(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    assert set(fields) <= FIELDS[kind], f"{kind} has no {set(fields) - FIELDS[kind]}"
    return fields


def pods(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every pod template by name, all fields checked on the way."""
    spec = only("RayJobSpec", job["spec"])
    cluster = only("RayClusterSpec", spec["rayClusterSpec"])
    only("AutoscalerOptions", cluster["autoscalerOptions"])
    found = {
        "submitter": spec["submitterPodTemplate"],
        "head": only("HeadGroupSpec", cluster["headGroupSpec"])["template"],
    }
    for group in cluster["workerGroupSpecs"]:
        found[group["groupName"]] = only("WorkerGroupSpec", group)["template"]
    for pod in found.values():
        for container in only("PodSpec", pod["spec"])["containers"]:
            only("Container", container)
    return found


def test_kuberay_job_has_only_fields_there_are_and_numbers_as_texts(kubernetes: dict[str, Any]) -> None:
    assert set(pods(kubernetes["RayJob"])) == {"submitter", "head", "gpus", "environments"}
    cluster = kubernetes["RayJob"]["spec"]["rayClusterSpec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_kuberay_job_asks_for_a_token_and_ends(kubernetes: dict[str, Any]) -> None:
    spec = kubernetes["RayJob"]["spec"]
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    version = tuple(map(int, spec["rayClusterSpec"]["rayVersion"].split(".")))
    assert version >= (2, 52, 0)  # the first that knows tokens
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["shutdownAfterJobFinishes"]
    assert spec["backoffLimit"] > 0
    patience = yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]
    head = pods(kubernetes["RayJob"])["head"]["spec"]
    assert int(patience) < head["terminationGracePeriodSeconds"]
    assert spec["jobId"] in head["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]


def test_kuberay_versions_are_those_installed(kubernetes: dict[str, Any]) -> None:
    lock = (ROOT / "requirements/cpu.txt").read_text()
    assert f"ray=={kubernetes['RayJob']['spec']['rayClusterSpec']['rayVersion']}\n" in lock


def test_kuberay_pods_are_unprivileged_walled_in_and_keep_the_run(kubernetes: dict[str, Any]) -> None:
    wall = kubernetes["NetworkPolicy"]["spec"]
    assert set(wall["policyTypes"]) == {"Ingress", "Egress"}
    assert all("from" in rule for rule in wall["ingress"])  # none that lets everybody in
    claim = kubernetes["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for name, pod in pods(kubernetes["RayJob"]).items():
        assert pod["metadata"]["labels"] == wall["podSelector"]["matchLabels"]
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["runAsNonRoot"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert {"requests", "limits"} == set(container["resources"])
        if name == "submitter":
            continue
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert mounts["/runs"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory"


def test_kuberay_entrypoint_is_a_command_of_ours(kubernetes: dict[str, Any]) -> None:
    words = kubernetes["RayJob"]["spec"]["entrypoint"].split()
    assert words[:4] == ["python", "-m", "cli.main", "train"]
    assert words[-1] == "--or-resume"
    (file,), rest = settings.split(words[4:-1])
    config = settings.load(ROOT / Path(file).relative_to("/opt/vlarl"), rest)
    assert config.run.runs_dir == "/runs"
    cluster = kubernetes["RayJob"]["spec"]["rayClusterSpec"]
    limits = {
        group["groupName"]: group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for group in cluster["workerGroupSpecs"]
    }
    gpus = config.learner.num_ranks + config.engine.num_replicas * config.engine.tensor_parallel_size
    assert gpus == int(limits["gpus"]["nvidia.com/gpu"])
    environments = cluster["workerGroupSpecs"][1]["maxReplicas"] * int(limits["environments"]["cpu"])
    assert config.env.num_actors * config.env.workers_per_actor <= environments


# --- ray up: Ray's own schema ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def machines() -> dict[str, Any]:
    loaded = yaml.safe_load((CLUSTER / "ray_up/cluster.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_ray_up_obeys_rays_schema(machines: dict[str, Any]) -> None:
    import ray.autoscaler

    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(machines, schema)
    with pytest.raises(jsonschema.ValidationError):  # the schema does notice mistakes
        jsonschema.validate({**machines, "max_worker": 1}, schema)


def test_ray_up_scales_environments_on_cpus_only(machines: dict[str, Any]) -> None:
    types = machines["available_node_types"]
    assert machines["head_node_type"] in types
    environments = types["environments"]
    assert environments["resources"]["GPU"] == 0
    assert environments["min_workers"] < environments["max_workers"]
    most = sum(kind.get("max_workers", 0) for kind in types.values())
    assert machines["max_workers"] == most


def test_ray_up_starts_ray_with_a_token_and_a_dashboard_for_the_head_alone(machines: dict[str, Any]) -> None:
    starts = [*machines["head_start_ray_commands"], *machines["worker_start_ray_commands"]]
    starts = [command for command in starts if "ray start" in command]
    assert len(starts) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "~/.ray/auth_token" in machines["file_mounts"]
    (rule,) = machines["provider"]["security_group"]["IpPermissions"]
    assert rule["FromPort"] == rule["ToPort"] == 22
    assert all(source["CidrIp"] != "0.0.0.0/0" for source in rule["IpRanges"])


# --- SLURM: the script itself, with the scheduler's commands played by small scripts ---------------

SHIMS = {
    "scontrol": 'if [ "$1" = show ]; then echo this-node; else echo "$@" >>"$RECORD"; fi',
    "srun": 'echo "srun $*" >>"$RECORD"\nshift\nexec "$@"',
    "ray": 'until [ "$1" = -- ]; do shift; done\nshift\n"$@"',
    "python": (
        'echo "python $*" >>"$RECORD"\n'
        'trap "echo checkpoint >>$RECORD; exit 75" TERM\n'
        'echo "token ${#RAY_AUTH_TOKEN} $RAY_AUTH_MODE" >>"$RECORD"\n'
        'if [ -n "${ENDS_WITH:-}" ]; then exit "$ENDS_WITH"; fi\n'
        "while true; do sleep 0.05; done"
    ),
}


def start_slurm_job(folder: Path, *words: str, **environment: str) -> tuple[subprocess.Popen[str], Path]:
    (folder / ".venv/bin").mkdir(parents=True)
    for name, body in SHIMS.items():
        file = folder / ".venv/bin" / name
        file.write_text(f"#!/bin/bash\n{body}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    record = folder / "record"
    variables = {
        **os.environ,
        "RECORD": str(record),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "this-node",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "8",
        **environment,
    }
    command = ["bash", str(SLURM), *words]
    job = subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return job, record


def wait_until_written(record: Path, word: str) -> None:
    deadline = time.monotonic() + 30
    while not record.is_file() or word not in record.read_text():
        assert time.monotonic() < deadline, f"no {word!r}"
        time.sleep(0.02)


def test_slurm_script_has_no_syntax_error_and_its_options_are_known() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    options = re.findall(r"^#SBATCH --([a-z-]+)", SLURM.read_text(), flags=re.MULTILINE)
    known = {
        *("job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "exclusive"),
        *("time", "requeue", "open-mode", "signal"),
    }
    assert set(options) == known


def test_slurm_sigterm_reaches_the_driver_and_the_job_queues_again(tmp_path: Path) -> None:
    job, record = start_slurm_job(tmp_path, "a.yaml", "run.name=x")
    wait_until_written(record, "token")
    job.send_signal(signal.SIGTERM)
    assert job.wait(30) == 75
    lines = record.read_text().splitlines()
    assert lines[1] == "python -m cli.main train a.yaml run.name=x run.mode=cluster --or-resume"
    assert lines[2] == "token 64 token"
    assert lines[3:] == ["checkpoint", "requeue 4711"]
    assert "--min-nodes 2" in lines[0]
    assert "this-node:24711" in lines[0]


@pytest.mark.parametrize("code", [0, 2])
def test_slurm_job_that_ends_by_itself_does_not_queue_again(tmp_path: Path, code: int) -> None:
    job, record = start_slurm_job(tmp_path, "a.yaml", ENDS_WITH=str(code))
    assert job.wait(30) == code
    assert "requeue" not in record.read_text()


def test_slurm_job_without_settings_says_what_to_give(tmp_path: Path) -> None:
    job, _ = start_slurm_job(tmp_path)
    assert job.wait(30) == 2
    assert job.stderr is not None
    assert "settings file" in job.stderr.read()


# --- containers ------------------------------------------------------------------------------------

INSTRUCTIONS = {"FROM", "RUN", "USER", "WORKDIR", "ENV", "COPY", "CMD"}


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and their arguments, continuation lines joined."""
    text = (CLUSTER / "containers/Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = [line.split(maxsplit=1) for line in joined.splitlines()]
    return [(instruction, argument) for instruction, argument in pairs]


def test_containers_are_well_formed_and_not_root() -> None:
    instructions = dockerfile()
    assert {name for name, _ in instructions} <= INSTRUCTIONS
    stages = [argument.split(" AS ") for name, argument in instructions if name == "FROM"]
    assert [stage[1] for stage in stages] == ["base", "cpu", "gpu"]
    assert [stage[0] for stage in stages[1:]] == ["base", "base"]
    users = [argument for name, argument in instructions if name == "USER"]
    assert users[-1] != "0"


def test_containers_hold_both_renderers_and_what_set_up_asks_for() -> None:
    text = (CLUSTER / "containers/Dockerfile").read_text()
    wanted = re.search(r'^packages="(.*)"', (ROOT / "scripts/setup.sh").read_text(), flags=re.MULTILINE)
    assert wanted is not None
    assert all(package in text for package in wanted[1].split())
    assert "graphics" in text  # else the driver's EGL stays outside
    assert '"library_path": "libEGL_nvidia.so.0"' in text


def test_no_secret_and_no_history_goes_into_an_image() -> None:
    ignored = set((ROOT / ".dockerignore").read_text().splitlines())
    assert {".git", ".env", ".venv", "runs", "checkpoints"} <= ignored
    assert not [argument for name, argument in dockerfile() if re.search(r"TOKEN|PASSWORD|SECRET", argument)]
