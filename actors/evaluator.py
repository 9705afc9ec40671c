"""Evaluation by the fleet that also trains: greedy episodes from given starts.

In: which environments are idle, and how to hand out grants and hear events. Out: one outcome per start, in
order.
"""

from collections import deque
from collections.abc import Callable, Sequence

from actors.messages import Dropped, Evaluated, Event, Grant, Idle
from core.types import EpisodeOutcome, Start


def evaluate(
    starts: Sequence[Start],
    *,
    name: str,
    idle: set[int],
    num_recorded: int,
    go: Callable[[int, Grant], None],
    poll: Callable[[], list[Event]],
) -> list[EpisodeOutcome]:
    """Play every start once, again where an episode was lost. `idle` is kept up to date."""
    outcomes: dict[int, EpisodeOutcome] = {}
    todo = deque(range(len(starts)))
    while len(outcomes) < len(starts):
        while todo and idle:
            number = todo.popleft()
            go(idle.pop(), _grant(number, starts[number], name, record=number < num_recorded))
        for event in poll():
            match event:
                case Idle():
                    idle.add(event.env)
                case Evaluated():
                    outcomes[event.slot] = event.outcome
                case Dropped():
                    todo.append(event.slot)
    return [outcomes[number] for number in range(len(starts))]


def _grant(number: int, start: Start, name: str, *, record: bool) -> Grant:
    episode_id = f"{name}-{number:04d}"
    return Grant(slot=number, episode_id=episode_id, start=start, evaluate=True, record=record)
