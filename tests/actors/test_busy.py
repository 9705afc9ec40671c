"""How long a piece of work has lasted: each piece by itself, none between two."""

import time

import pytest

from actors.busy import Busy


def test_each_piece_of_work_is_counted_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    busy = Busy()
    busy.begin_next()  # a pass of the model outside of any call
    now += 7
    assert busy.seconds == 0.0
    with busy:
        now += 5
        assert busy.seconds == 5.0
        busy.begin_next()
        now += 2
        assert busy.seconds == 2.0
    assert busy.seconds == 0.0


def test_work_that_fails_is_over() -> None:
    busy = Busy()
    with pytest.raises(ValueError, match="refused"), busy:
        raise ValueError("refused")
    assert busy.seconds == 0.0
