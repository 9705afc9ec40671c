"""Faults that cannot be made from outside a process: it is ordered to make them itself.

In: files `PID.json` in the folder of DRILL_ORDERS, each with the name of a function of `drills/faults.py`
and its arguments. Out: the file is gone, and the function is called.
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

VARIABLE = "DRILL_ORDERS"
LOOK_EVERY_S = 0.2


def listen() -> None:
    """Look for orders, in a thread, until this process ends."""
    threading.Thread(target=_obey, args=(Path(os.environ[VARIABLE]),), daemon=True, name="drill").start()


def give(folder: Path, pid: int, name: str, **arguments: Any) -> None:
    """Order one process to make a fault."""
    temporary = folder / f".{pid}"
    temporary.write_text(json.dumps({"name": name, "arguments": arguments}))
    temporary.rename(_file(folder, pid))


def is_taken(folder: Path, pid: int) -> bool:
    """Whether the order has been read."""
    return not _file(folder, pid).exists()


def _obey(folder: Path) -> None:
    file = _file(folder, os.getpid())
    while folder.is_dir():
        if file.exists():
            order = json.loads(file.read_text())
            file.unlink()
            from drills import faults

            getattr(faults, order["name"])(**order["arguments"])
        time.sleep(LOOK_EVERY_S)


def _file(folder: Path, pid: int) -> Path:
    return folder / f"{pid}.json"
