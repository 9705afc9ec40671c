"""Environment variables that Ray reads once, when it is first imported.

In: nothing. Out: this process's environment, unless the user has set a variable already.
"""

import os
import sys

LOCAL = {
    "RAY_AUTH_MODE": "token",
    # Not only for Windows: without it Ray listens on every address of the machine, whatever address
    # it is given; with it on loopback alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # A killed worker takes its children (simulators, engines) with it.
    "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper": "1",
    # Ray's default of 15 lets every other process of the machine go before the run.
    "RAY_worker_niceness": "0",
}


def prepare_local() -> None:
    """For a Ray that this process is going to start. A cluster's own settings are its owner's."""
    assert "ray" not in sys.modules or LOCAL.items() <= os.environ.items(), "too late: Ray is imported"
    for name, value in LOCAL.items():
        os.environ.setdefault(name, value)
