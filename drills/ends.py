"""Drills that end the run, or that are made on the run folder: a second driver, a full disk, SIGTERM, damaged
checkpoints, a driver that is killed.

In: a running system, or its folder. Out: rows for the table.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import Row
from drills.system import DrillError, System
from learner.checkpoint import list_checkpoints

RESUMABLE = 75
DISK_BYTES = 96 * 2**20
NUM_DAMAGED = 3
CHECKPOINT_S = 300.0
LEAVING_S = 20.0
ORPHANS_S = 90.0
"""Ray's own agents first try for 60 s, fixed in its code, to tell the dead head that its raylet died."""


def held(name: str, failure: str, note: str = "") -> Row:
    """A row that says whether something held."""
    return Row(name=name, value=float(not failure), target="= 1", ok=not failure, note=failure or note)


def second_driver(system: System) -> Row:
    """Another process that resumes the same run is refused, and the first one does not notice."""
    result = subprocess.run(
        [sys.executable, "-m", "cli.main", "train", "--resume", str(system.run)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    refused = result.returncode == 2 and f"trained by process {system.process.pid}" in result.stderr
    return held("a second driver on the run folder is refused", "" if refused else result.stderr[-200:])


@contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """A file system of its own in this folder; says why not where that is not allowed."""
    size = f"size={DISK_BYTES}"
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        yield mount.stderr.strip()
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def full_disk(system: System) -> Row:
    """No checkpoint can be written for a while; training goes on, and the next checkpoint succeeds."""
    name = "a full disk costs checkpoints, not the run: seconds until the next one"
    ballast = system.run.parent / "ballast"
    try:
        _fill(ballast)
        system.wait_for(
            lambda: "no checkpoint after update" in system.log.read_text(),
            "a failed checkpoint",
            CHECKPOINT_S,
        )
        ballast.unlink()
        mark = len(system.events)
        kinds = lambda: {event["kind"] for event in system.events[mark:]}  # noqa: E731
        seconds = system.wait_for(
            lambda: "checkpoint" in kinds(), "a checkpoint after space was freed", CHECKPOINT_S
        )
    except DrillError as error:
        ballast.unlink(missing_ok=True)
        return held(name, str(error))
    return Row(name=name, value=seconds, target=f"<= {CHECKPOINT_S:g}", ok=True)


def _fill(ballast: Path) -> None:
    block = bytes(2**16)
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(block) == len(block):
                pass
        except OSError:
            pass


def told_to_stop(system: System) -> list[Row]:
    """SIGTERM: a checkpoint of the last update, the agreed exit code, and nothing left behind."""
    system.look_around()
    system.signal("driver", signal.SIGTERM)
    code = system.process.wait(300)
    last = system.updates[-1]["update"]
    newest = list_checkpoints(system.run / "checkpoints")[-1].name
    saved = code == RESUMABLE and newest == f"{last:06d}"
    why = f"exit code {code}, checkpoint {newest}, update {last}"
    return [
        held("SIGTERM: a checkpoint of the last update, exit code 75", "" if saved else why, why),
        held("SIGTERM: no process or shared memory left", " ".join(system.left_behind(LEAVING_S))),
    ]


def killed_driver(system: System) -> Row:
    """kill -9 of the controller: everything that it started goes with it, Ray's own agents last."""
    system.look_around()
    system.signal("driver", signal.SIGKILL)
    system.process.wait()
    began_s = time.monotonic()
    left = " ".join(system.left_behind(ORPHANS_S))
    return Row(
        name="kill -9 of the controller: seconds until no process or shared memory is left",
        value=time.monotonic() - began_s,
        target=f"<= {ORPHANS_S:g}",
        ok=not left,
        note=left,
    )


def damage_newest(run: Path) -> int:
    """Truncate, flip a bit, remove: one for each of the newest checkpoints; the number of the one before."""
    folders = list_checkpoints(run / "checkpoints")
    truncated, flipped, missing = (folder / "critic.safetensors" for folder in folders[-NUM_DAMAGED:])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    truncated.write_bytes(truncated.read_bytes()[:-1])
    missing.unlink()
    return int(folders[-NUM_DAMAGED - 1].name)


def resumed(system: System, expected: int) -> Row:
    """It passed over what was damaged, said so, and went on from the one before."""
    events = [event for event in system.events if event["kind"] == "resumed"]
    passed_over = system.log.read_text().count("passed over a damaged checkpoint")
    ok = events and events[-1]["update"] == expected and passed_over == NUM_DAMAGED
    return held(
        "truncated, flipped and missing files: the checkpoint before them is taken",
        "" if ok else f"{events[-1:]}, {passed_over} passed over",
    )


def nothing_twice(system: System) -> list[Row]:
    """In all updates that the present weights come from."""
    slots = [slot for update in _history(system).values() for slot in update]
    lag = max(line["learner/lag_max"] for line in system.updates)
    return [
        held("no trajectory is trained on twice", "" if len(set(slots)) == len(slots) else "slots repeat"),
        Row(name="oldest data, versions behind", value=lag, target="<= 2", ok=lag <= 2),
    ]


def _history(system: System) -> dict[int, list[int]]:
    """Updates to their slots, without those that went with a damaged checkpoint and were made anew."""
    history: dict[int, list[int]] = {}
    for event in system.events:
        if event["kind"] == "resumed":
            history = {number: slots for number, slots in history.items() if number <= event["update"]}
        elif event["kind"] == "trained":
            history[event["update"]] = event["slots"]
    return history


def kept_to_itself(system: System) -> list[Row]:
    """Ray asks for a token, nothing listens beyond this machine, no secret is in the folder or the output."""
    from cluster.security import is_loopback

    outside = sorted({ip for ip, _ in system.open_ports if not is_loopback(ip)})
    return [
        held("every process of Ray asks for a token", " ".join(system.without_token)),
        held("every port is open to this machine only", f"open on {', '.join(outside)}" if outside else ""),
        held("no secret in the run folder or the output", " ".join(system.secrets_shown())),
    ]
