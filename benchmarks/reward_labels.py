"""Keyframe labels against what the scripted expert says it did.

In: the expert's phases, sample by sample, keyframes found from motion. Out: counts of matches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 5
"""Samples (a quarter of a second) that a keyframe may lie from the event it is meant for."""
EVENTS = ("grasp", "release")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """True events and found keyframes, each matched once at most."""

    num_true: int
    num_found: int
    num_matched: int

    def __add__(self, other: "Matches") -> "Matches":
        return Matches(
            num_true=self.num_true + other.num_true,
            num_found=self.num_found + other.num_found,
            num_matched=self.num_matched + other.num_matched,
        )

    @property
    def recall(self) -> float:
        return self.num_matched / max(1, self.num_true)

    @property
    def precision(self) -> float:
        return self.num_matched / max(1, self.num_found)


def compare_keyframes(phases: Sequence[str], keyframes: Sequence[int]) -> Matches:
    """Each event takes the nearest keyframe within reach that no other has taken."""
    free = set(keyframes)
    events = true_events(phases)
    for event in events:
        near = [keyframe for keyframe in free if abs(keyframe - event) <= TOLERANCE]
        if near:
            free.remove(min(near, key=lambda keyframe: abs(keyframe - event)))
    num_matched = len(keyframes) - len(free)
    return Matches(num_true=len(events), num_found=len(keyframes), num_matched=num_matched)


def true_events(phases: Sequence[str]) -> list[int]:
    """Samples at which a grasp was closed or a release complete: another phase begins after one of them."""
    return [t for t in range(1, len(phases)) if phases[t - 1] in EVENTS and phases[t] != phases[t - 1]]
