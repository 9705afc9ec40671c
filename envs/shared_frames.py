"""Frames in memory that the pool and its workers share: one slot per environment, no name anywhere.

In: frames written by the one worker that simulates an environment. Out: private copies for the owner of the
pool. The memory is an anonymous file that lives exactly as long as a process holds it, so even a killed
owner leaves nothing in /dev/shm. A slot has one writer and one reader that alternate: the worker writes
before it answers a request, and the owner copies the frame before another request for that environment can
be sent.
"""

import math
import mmap
import os

import numpy as np


class SharedFrames:
    """(num_slots, H, W, 3) uint8 over an anonymous shared file."""

    def __init__(self, num_slots: int, shape: tuple[int, int, int], fd: int | None = None) -> None:
        """Make the memory, or map the one behind the inherited descriptor `fd`."""
        self.num_slots, self.shape = num_slots, shape
        num_bytes = num_slots * math.prod(shape)
        self.fd = os.memfd_create("vlarl-frames") if fd is None else fd
        if fd is None:
            os.ftruncate(self.fd, num_bytes)
        self._memory = mmap.mmap(self.fd, num_bytes)
        self._frames_NHWC = np.frombuffer(self._memory, np.uint8).reshape(num_slots, *shape)

    def write(self, slot: int, frame_HWC: np.ndarray) -> None:
        assert frame_HWC.shape == self._frames_NHWC.shape[1:], frame_HWC.shape
        self._frames_NHWC[slot] = frame_HWC

    def read(self, slot: int) -> np.ndarray:
        """A copy that nobody overwrites."""
        return self._frames_NHWC[slot].copy()

    def close(self) -> None:
        """Unmap and let go of the descriptor; the memory goes with the last process that has it mapped."""
        del self._frames_NHWC
        self._memory.close()
        os.close(self.fd)
