"""Processes that end with the one that started them, even when that is killed.

In: the owner's process id, in a process that it started. Out: nothing; from then on the kernel watches.
"""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with(owner_pid: int) -> None:
    """Have the kernel kill this process when its owner dies, even by SIGKILL, even while this one hangs.

    The owner, to the kernel, is the thread that started this process.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner_pid:  # it died before the line above
        os._exit(1)
