"""Given episodes, each played once by a fleet, whatever breaks.

In: starts, or grants where a run names its episodes itself; environments that are idle or about to say so.
Out: the episodes' ends, as they come; one outcome per start, in order.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from actors.messages import Dropped, Evaluated, Event, Fleet, Grant, Idle, Sealed
from core.types import EpisodeOutcome, Start

POLL_S = 1.0
MAX_ATTEMPTS = 3
"""An episode whose environment fails is played again, this often."""


def play(
    grants: Sequence[Grant],
    *,
    idle: set[int],
    go: Callable[[int, Grant], None],
    poll: Callable[[], list[Event]],
) -> Iterator[list[Evaluated | Sealed]]:
    """After every look at the fleet, which episodes have ended since the last. A grant's slot is its place.

    A lost episode is played again, after the others. `idle` is kept up to date.
    """
    todo, num_left = deque(grants), len(grants)
    while num_left:
        while todo and idle:
            go(idle.pop(), todo.popleft())
        ended: list[Evaluated | Sealed] = []
        for event in poll():
            match event:
                case Idle():
                    idle.add(event.env)
                case Dropped():
                    todo.append(grants[event.slot])
                case Evaluated() | Sealed():
                    ended.append(event)
        num_left -= len(ended)
        yield ended


def play_with(fleet: Fleet, grants: Sequence[Grant]) -> Iterator[Evaluated | Sealed]:
    """`play` with a fleet of one's own. An episode that is lost again and again ends it all."""
    lost = Counter[int]()

    def poll() -> list[Event]:
        events = fleet.poll(POLL_S)
        for event in events:
            if isinstance(event, Dropped):
                lost[event.slot] += 1
                if lost[event.slot] == MAX_ATTEMPTS:
                    start = grants[event.slot].start
                    raise RuntimeError(f"{start} failed {MAX_ATTEMPTS} times; the last time: {event.reason}")
        return events

    for ended in play(grants, idle=set(), go=fleet.go, poll=poll):
        yield from ended


def evaluate(
    fleet: Fleet,
    starts: Sequence[Start],
    *,
    greedy: bool,
    num_recorded: int = 0,
    on_outcome: Callable[[EpisodeOutcome, int], None] | None = None,
) -> list[EpisodeOutcome]:
    """One outcome per start, in order. `on_outcome` hears of every end, and how many are left."""
    names = [str(start).replace("/", "-") for start in starts]
    outcomes: dict[int, EpisodeOutcome] = {}
    for event in play_with(fleet, evaluation(starts, names, greedy=greedy, num_recorded=num_recorded)):
        assert isinstance(event, Evaluated)
        outcomes[event.slot] = event.outcome
        if on_outcome is not None:
            on_outcome(event.outcome, len(starts) - len(outcomes))
    return [outcomes[number] for number in range(len(starts))]


def evaluation(
    starts: Sequence[Start], names: Sequence[str], *, greedy: bool, num_recorded: int
) -> list[Grant]:
    """A grant for each start, with its episode's name; `num_recorded`, spread over all, are recorded."""
    recorded = {index * len(starts) // num_recorded for index in range(num_recorded)}
    return [
        Grant(
            slot=number, episode_id=name, start=start, evaluate=True, greedy=greedy, record=number in recorded
        )
        for number, (start, name) in enumerate(zip(starts, names, strict=True))
    ]
