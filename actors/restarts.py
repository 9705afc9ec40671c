"""What every actor that Ray restarts for ever needs in its constructor.

In: whatever the constructor does. Out: a process that ends where a restart fails, so that Ray tries again.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import ray


@contextmanager
def again_if_restarted() -> Iterator[None]:
    """Ray gives an actor up whose constructor raises, whatever its `max_restarts`; but not one that dies.

    The first time it raises all the same: what has never worked is the user's to know. Later it may be that
    the dead process' memory has not been given back yet.
    """
    try:
        yield
    except Exception:
        if not ray.get_runtime_context().was_current_actor_reconstructed:
            raise
        traceback.print_exc(file=sys.stderr)
        os._exit(1)
