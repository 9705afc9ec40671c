"""Labels of motions drawn by hand, and of the scripted expert's phases."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reward_labels import compare_keyframes
from envs.assets import resolve_assets
from envs.demo_recording import Recording, record_episode
from envs.environment import LiberoEnv
from envs.suites import task
from reward.labels import (
    LabelOptions,
    gripper_keyframes,
    make_labels,
    motion_keyframes,
    moving_spans,
    rules_for,
    turning_points,
)
from reward.motion import count_positions, motion_of_demo
from tests.reward.motions import GRASP, NUM, RELEASE, SUCCESS, TRAVEL, pick_and_place, push

OPTIONS = LabelOptions()
GRASPED, RELEASED = GRASP + TRAVEL, RELEASE + TRAVEL


def test_keyframes_are_where_the_arm_rests_after_the_fingers_moved() -> None:
    assert gripper_keyframes(pick_and_place(), OPTIONS) == [GRASPED, RELEASED]


def test_a_wide_object_counts_like_a_thin_one() -> None:
    """A held can leaves the fingers 63 of 80 mm open: what counts is the change, not how narrow they get."""
    assert gripper_keyframes(pick_and_place(held_share=0.79), OPTIONS) == [GRASPED, RELEASED]


def test_a_miss_before_a_hold_of_a_wide_object_counts_as_well() -> None:
    """After fingers closed on nothing, a held can is 79 % open by the episode's own measure: a change."""
    motion = pick_and_place(held_share=0.79)
    opening = motion.opening.copy()
    opening[5:15], opening[15:20] = 0.0, 0.08
    command = np.where((np.arange(NUM) >= 4) & (np.arange(NUM) < 14), 1.0, motion.command)
    speed = motion.speed.copy()
    speed[5:9] = 0.01
    motion = dataclasses.replace(motion, opening=opening, command=command, speed=speed)
    found = gripper_keyframes(motion, OPTIONS)
    assert len(found) == 3
    assert 5 <= found[0] <= 8
    assert abs(found[1] - GRASPED) <= 3  # fingers that creep have arrived as soon as they are noticed
    assert abs(found[2] - RELEASED) <= 3


def test_a_flickering_sensor_makes_no_keyframes() -> None:
    assert gripper_keyframes(pick_and_place(flicker=0.01), OPTIONS) == [GRASPED, RELEASED]


def test_fingers_that_move_on_the_fly_are_no_milestone() -> None:
    assert gripper_keyframes(pick_and_place(on_the_fly=True), OPTIONS) == []


def test_fingers_that_were_pushed_and_not_told_are_no_milestone() -> None:
    pushed = dataclasses.replace(pick_and_place(), command=np.full(NUM, -1.0))
    assert gripper_keyframes(pushed, OPTIONS) == [RELEASED]


@pytest.mark.parametrize(("carried", "expected"), [(True, [GRASPED, RELEASED]), (False, [GRASPED])])
def test_a_hand_that_carried_nothing_releases_nothing(carried: bool, expected: list[int]) -> None:
    time = np.arange(NUM)
    moving = np.where((time > GRASPED) & (time < RELEASE) & carried, 0.2, 0.0)
    assert gripper_keyframes(dataclasses.replace(pick_and_place(), object_speed=moving), OPTIONS) == expected


def test_fingers_that_never_move_make_no_keyframes() -> None:
    still = dataclasses.replace(pick_and_place(), opening=np.full(NUM, 0.08))
    assert gripper_keyframes(still, OPTIONS) == []


def test_a_push_has_its_milestones_in_the_objects_motion() -> None:
    assert motion_keyframes(push(seen=True), OPTIONS) == [30, 50]  # the halt is shorter than settle_s


def test_a_push_of_unseen_objects_has_them_where_the_arm_rests() -> None:
    assert motion_keyframes(push(seen=False), OPTIONS) == [25, 50]


@pytest.mark.parametrize(
    ("instruction", "rules"),
    [
        ("pick up the black bowl and place it on the plate", "gripper"),
        ("push the plate to the front of the stove", "motion"),
        ("turn on the stove", "motion"),
        ("open the top drawer and put the bowl inside", "gripper"),
        ("put the wine bottle on the rack", "gripper"),
    ],
)
def test_rules_are_chosen_by_the_task(instruction: str, rules: str) -> None:
    assert rules_for(instruction) == rules


def test_labels_of_a_success() -> None:
    labels = make_labels(pick_and_place(), OPTIONS, gripper_keyframes)
    assert labels.keyframes == [GRASPED, SUCCESS, RELEASED]
    radius = 2  # 0.1 s at 20 Hz
    grasp = GRASPED
    assert (labels.step[grasp - radius : grasp + radius + 1] == 1).all()
    assert np.isnan(labels.step[[grasp - 3, grasp - 4, grasp + 3, grasp + 4]]).all()
    assert (labels.step[[grasp - 5, grasp + 5, 0]] == 0).all()
    assert (labels.done[:80] == 0).all()
    assert np.isnan(labels.done[81:SUCCESS]).all()
    assert (labels.done[SUCCESS:] == 1).all()
    # half of horizon_s = 2.5 s before success: exp(-1/2)
    np.testing.assert_allclose(labels.progress[SUCCESS - 25], np.exp(-0.5))
    assert labels.progress[SUCCESS] == labels.progress[-1] == 1


def test_a_failure_is_never_positive() -> None:
    labels = make_labels(pick_and_place(success=False), OPTIONS, gripper_keyframes)
    assert np.nansum(labels.step) == 0
    assert (labels.done == 0).all()
    assert np.isnan(labels.progress).all()
    assert np.isnan(labels.step[GRASPED])  # a step that may well have been right: not asked


def test_turning_points_by_hand() -> None:
    values = np.array([0, 1, 0.95, 1, 0.4, 0.45, 0.4, 0.9])
    # up by 1 from sample 0; down from 1 (last at sample 3); the wobble at 0.4 is below 0.2; up from sample 6
    assert turning_points(values, 0.2) == [(0, 1, False), (3, 4, True), (6, 7, False)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50).map(np.array), st.floats(0.05, 0.9))
def test_turning_points_alternate_and_are_large_enough(values: np.ndarray, travel: float) -> None:
    found = turning_points(values, travel)
    assert all(before[2] != after[2] for before, after in pairwise(found))
    assert all(abs(values[extreme] - values[noticed]) > travel for extreme, noticed, _ in found)


def test_moving_spans_by_hand() -> None:
    speed = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 1.0])
    assert moving_spans(speed, high=0.5, low=0.25, pause=1) == [(1, 5), (8, 9)]


def test_keyframes_meet_the_experts_phases() -> None:
    """The end of a grasp and of a release, as the expert itself names them, found from motion alone."""
    recording = Recording(
        suite="libero_spatial",
        task=2,
        assets="primitive",
        episodes=1,
        noise=0.3,
        size=32,
        source="fresh",
        first=7,
        keep_failures=False,
    )
    demo = record_episode(recording, recording.start(0))
    matches = compare_keyframes(demo.phases, gripper_keyframes(motion_of_demo(demo), OPTIONS))
    assert matches.num_true >= 1
    assert matches.num_found == matches.num_matched == matches.num_true
    env = LiberoEnv(task(recording.start(0).task), assets=resolve_assets("primitive"), render=None)
    assert count_positions(demo.states, 20.0) == env.model.nq
