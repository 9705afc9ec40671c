"""Evaluation by the fleet that also trains: episodes from given starts.

In: which environments are idle, and how to hand out grants and hear events. Out: one outcome per start, in
order; nothing if it was told to stop before.
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
    greedy: bool,
    num_recorded: int,
    go: Callable[[int, Grant], None],
    poll: Callable[[], list[Event]],
    told_to_stop: Callable[[], bool],
) -> list[EpisodeOutcome] | None:
    """Play every start once, again where an episode was lost. `idle` is kept up to date."""
    outcomes: dict[int, EpisodeOutcome] = {}
    todo = deque(range(len(starts)))
    while len(outcomes) < len(starts):
        if told_to_stop():
            return None
        while todo and idle:
            number = todo.popleft()
            grant = Grant(
                slot=number,
                episode_id=f"{name}-{number:04d}",
                start=starts[number],
                evaluate=True,
                greedy=greedy,
                record=number < num_recorded,
            )
            go(idle.pop(), grant)
        for event in poll():
            match event:
                case Idle():
                    idle.add(event.env)
                case Evaluated():
                    outcomes[event.slot] = event.outcome
                case Dropped():
                    todo.append(event.slot)
    return [outcomes[number] for number in range(len(starts))]
