"""The controller over fake parts: order of things, bounds, faults, stopping and going on."""

import itertools
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from actors.messages import Grant
from cluster.parts import GivenUpError, LearnerLostError
from cluster.publishing import WeightsError
from cluster.run import _history
from core.metrics import MetricsWriter, read_lines
from core.runfolder import RunFolder
from core.types import Start
from envs.messages import FailureKind
from envs.vector import EnvFailed
from tests.cluster.fakes import FakeLearner, FakeReport, InstantFleet
from tests.cluster.harness import Harness


def events_of(folder: Path, kind: str) -> list[dict]:
    return [line for line in read_lines(folder / "events.jsonl") if line["kind"] == kind]


@pytest.mark.parametrize("max_lag", [0, 1, 3])
@pytest.mark.parametrize("chunk_decisions", [0, 2])
@pytest.mark.parametrize("slow_turns", [0, 7])
def test_lag_stays_within_its_bound_and_nothing_is_trained_on_twice(
    tmp_path: Path, max_lag: int, chunk_decisions: int, slow_turns: int
) -> None:
    harness = Harness(
        tmp_path,
        ["run.num_updates=12", f"buffer.max_lag={max_lag}", f"buffer.chunk_decisions={chunk_decisions}"],
        num_envs=9,
        learner=FakeLearner(slow_turns=slow_turns),
    )
    assert harness.controller.run()
    assert max(harness.learner.lags) <= max_lag
    harness.assert_no_chunk_twice_or_torn()
    updates = [line["update"] for line in read_lines(tmp_path / "metrics.jsonl")]
    assert updates == list(range(1, 13))


def test_a_slow_learner_makes_lag_and_the_bound_is_reached(tmp_path: Path) -> None:
    """The bound above would hold trivially if everything were synchronous."""
    harness = Harness(
        tmp_path,
        ["run.num_updates=12", "buffer.max_lag=2"],
        num_envs=9,
        learner=FakeLearner(slow_turns=30),
    )
    harness.controller.run()
    assert max(harness.learner.lags) == 2


def test_every_version_is_published_before_the_next(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=5"])
    harness.controller.run()
    assert harness.replicas.published == [0, 1, 2, 3, 4, 5]


def test_a_replica_that_missed_a_push_is_pushed_to_again(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=2"])
    harness.controller._publisher.publish()
    harness.learner.version = 1
    harness.replicas._deaf_times = 1
    published = harness.controller._publisher.publish()
    assert published["weights/probe_error"] == 0
    assert published["weights/probe_change"] == 1


def test_a_replica_that_keeps_old_weights_stops_the_run(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=5"])
    harness.controller._publisher.publish()
    harness.learner.version = 1
    harness.replicas._deaf_times = 2
    with pytest.raises(WeightsError, match="another policy"):
        harness.controller.run()


def test_evaluates_before_during_and_after_without_training_data(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=4", "eval.every=2"], evaluation=6)
    harness.controller.run()
    evaluations = events_of(tmp_path, "evaluation")
    assert [e["update"] for e in evaluations] == [0, 2, 4]
    assert all(len(e["episodes"]) == 6 for e in evaluations)
    assert not any("eval" in chunk_id for chunk_id in harness.trained_ids)


def test_a_policy_that_has_been_judged_already_need_not_be_judged_before(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=2", "eval.before=false"], evaluation=2)
    harness.controller.run()
    assert [e["update"] for e in events_of(tmp_path, "evaluation")] == [2]


def test_evaluation_gives_up_paused_episodes_and_training_goes_on(tmp_path: Path) -> None:
    words = ["run.num_updates=6", "eval.every=1", "buffer.chunk_decisions=2"]
    harness = Harness(tmp_path, words, evaluation=3)
    assert harness.controller.run()
    harness.assert_no_chunk_twice_or_torn()


def test_groups_share_their_start_are_trained_on_whole_and_only_if_mixed(tmp_path: Path) -> None:
    """Every second start always succeeds: nothing to compare, so others are played instead."""
    steps = itertools.count()

    def plan(start: Start) -> tuple[int, bool]:
        return 3, start.number % 2 == 0 or next(steps) % 5 < 2

    words = ["run.num_updates=6", "advantage.kind=grpo", "advantage.group_size=4"]
    harness = Harness(tmp_path, words, num_envs=6, group_size=4, plan=plan)
    harness.controller.run()
    trained = harness.learner.trained
    assert len(trained) >= 6 * 7  # 20 decisions an update, 3 a chunk
    groups = [trained[i : i + 4] for i in range(0, len(trained), 4)]
    assert all(len({chunk.start for chunk in group}) == 1 for group in groups)
    assert all({chunk.rewards.sum() for chunk in group} == {0, 1} for group in groups)
    assert len({group[0].start for group in groups}) == len(groups)
    assert harness.buffer.num_discarded >= len(groups) / 2


def test_nothing_to_compare_is_said_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run.num_updates=1", "run.max_minutes=0.02", "advantage.kind=rloo", "advantage.group_size=4"]
    harness = Harness(tmp_path, words, group_size=4, plan=lambda _: (1, False))
    harness.controller.run()
    assert not harness.learner.trained
    assert "25 groups in a row all returned 0: nothing to learn from" in capsys.readouterr().out


def test_a_lost_learner_comes_back_at_its_checkpoint_and_takes_its_batch_anew(tmp_path: Path) -> None:
    harness = Harness(
        tmp_path, ["run.num_updates=8", "run.checkpoint_every=2"], learner=FakeLearner(dies_at=5)
    )
    assert harness.controller.run()
    assert [e["fault"] for e in events_of(tmp_path, "fault")] == ["learner"]
    updates = [line["update"] for line in read_lines(tmp_path / "metrics.jsonl")]
    assert updates == list(range(1, 9))  # update 5 was lost with the learner and done again
    harness.assert_no_chunk_twice_or_torn()


def test_broken_environments_are_counted_and_cost_only_their_episodes(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=5"], plan=lambda start: (5, True))
    harness.pool.breaks_at = {0: 2, 2: 4}
    harness.controller.run()
    last = list(read_lines(tmp_path / "metrics.jsonl"))[-1]
    assert last["faults/environment"] == 2
    harness.assert_no_chunk_twice_or_torn()


def test_an_environment_that_never_works_ends_the_run(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=5"], num_envs=1)
    harness.pool.step = lambda env, actions: harness.pool.events.append(_broken(env))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="failed 50 times without an update"):
        harness.controller.run()


def _broken(env: int) -> EnvFailed:
    return EnvFailed(env=env, kind=FailureKind.DIED, reason="always")


def test_sigterm_ends_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    class Interrupted(FakeLearner):
        def finished(self) -> FakeReport | None:
            report = super().finished()
            if report is not None and report.number == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return report

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    harness = Harness(tmp_path, ["run.num_updates=100"], learner=Interrupted(), evaluation=2)
    assert not harness.controller.run()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert harness.learner.saved[-1][0] == 3
    assert [e["signal"] for e in events_of(tmp_path, "told_to_stop")] == ["SIGTERM"]


def test_sigterm_does_not_wait_for_an_evaluation(tmp_path: Path) -> None:
    """It would be killed for that, and lose what it had learned since the last checkpoint."""
    words = ["run.num_updates=100", "run.checkpoint_every=100", "eval.before=false", "eval.every=3"]
    harness = Harness(tmp_path, words, evaluation=5)
    poll = harness.policy.poll

    def never_in_evaluations(timeout_s: float) -> list:
        if any(greedy for _, _, greedy, _ in harness.policy.asked):
            os.kill(os.getpid(), signal.SIGTERM)
            return []
        return poll(timeout_s)

    harness.policy.poll = never_in_evaluations  # type: ignore[method-assign]
    assert not harness.controller.run()
    assert events_of(tmp_path, "evaluation") == []
    assert harness.learner.saved[-1][0] == 3


def test_paused_episodes_that_break_during_an_evaluation_disturb_nobody(tmp_path: Path) -> None:
    words = ["run.num_updates=7", "eval.every=1", "buffer.chunk_decisions=2"]
    harness = Harness(tmp_path, words, num_envs=9, evaluation=3, plan=lambda start: (6, True))
    go, broken = harness.fleet.go, []

    def go_and_break(env: int, grant: Grant) -> None:
        go(env, grant)
        if grant.evaluate and grant.slot == 2 and not broken:  # the last one: who is paused stays so
            paused = sorted(harness.fleet._paused)  # type: ignore[attr-defined]
            broken.extend(paused)
            harness.pool.events.extend(_broken(env) for env in paused)

    harness.fleet.go = go_and_break  # type: ignore[method-assign]
    assert harness.controller.run()
    assert broken
    assert [len(e["episodes"]) for e in events_of(tmp_path, "evaluation")] == [3] * 8
    harness.assert_no_chunk_twice_or_torn()


class HardToRestart(FakeLearner):
    num_tries = 0

    def mend(self, member: int) -> None:
        self.num_tries += 1
        if self.num_tries < 3:
            self._dead = True
            raise LearnerLostError("its port was taken")
        super().mend(member)


def test_a_learner_that_cannot_begin_again_at_first_is_replaced_once_more(tmp_path: Path) -> None:
    learner = HardToRestart(dies_at=2)
    harness = Harness(tmp_path, ["run.num_updates=4", "run.checkpoint_every=1"], learner=learner)
    assert harness.controller.run()
    assert learner.num_tries == 3
    assert [e["fault"] for e in events_of(tmp_path, "fault")] == ["learner"] * 3
    harness.assert_no_chunk_twice_or_torn()


def test_a_run_that_is_told_to_stop_does_not_wait_for_a_learner_that_never_comes(tmp_path: Path) -> None:
    class NeverBack(FakeLearner):
        num_tries = 0

        def mend(self, member: int) -> None:
            self.num_tries += 1
            self._dead = True
            if self.num_tries == 2:
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
                time.sleep(600)  # for its machine, which is gone
            raise LearnerLostError("its machine is gone")

    harness = Harness(tmp_path, ["run.num_updates=9", "run.checkpoint_every=1"], learner=NeverBack(dies_at=2))
    assert not harness.controller.run()
    assert [e["fault"] for e in events_of(tmp_path, "fault")] == ["learner"] * 2
    assert [e["signal"] for e in events_of(tmp_path, "told_to_stop")] == ["SIGTERM"]


def test_a_run_that_gives_up_keeps_what_it_has_learned(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=9", "run.checkpoint_every=100"])
    publish = harness.replicas.publish

    def publish_until_none_is_left(adapter: object) -> None:
        if harness.learner.number == 4:
            raise GivenUpError("no inference replica came up again")
        publish(adapter)

    harness.replicas.publish = publish_until_none_is_left  # type: ignore[method-assign]
    with pytest.raises(GivenUpError, match="no inference replica"):
        harness.controller.run()
    assert harness.learner.saved[-1][0] >= 3


@pytest.mark.parametrize("num_updates", [0, 2, 4])
def test_an_evaluation_outlives_a_learner_that_cannot_begin_again_at_first(
    tmp_path: Path, num_updates: int
) -> None:
    """It dies when the policy after so many updates is being judged: all are judged, and all go on."""

    class LostWhileJudging(HardToRestart):
        was_killed = False

        def lost(self) -> dict[int, str]:
            if not self.was_killed and self.number == num_updates and len(judging) >= 2:
                self.was_killed = self._dead = True
            return super().lost()

    judging: set[int] = set()
    words = ["run.num_updates=4", "run.checkpoint_every=1", "eval.every=2"]
    harness = Harness(tmp_path, words, evaluation=6, learner=LostWhileJudging())
    go = harness.fleet.go

    def go_and_look(env: int, grant: Grant) -> None:
        judging.add(grant.slot) if grant.evaluate else judging.clear()
        go(env, grant)

    harness.fleet.go = go_and_look  # type: ignore[method-assign]
    assert harness.controller.run()
    assert harness.learner.was_killed
    evaluations = events_of(tmp_path, "evaluation")
    assert [(e["update"], len(e["episodes"])) for e in evaluations] == [(0, 6), (2, 6), (4, 6)]
    harness.assert_no_chunk_twice_or_torn()


def test_a_batch_that_was_lost_with_its_node_is_no_update(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Forgetful(FakeLearner):
        def finished(self) -> FakeReport | None:
            report = super().finished()
            if report is not None and report.number == 2 and not events_of(tmp_path, "nothing_learned"):
                self.number = self.version = 1
                return FakeReport(number=1, version=1, policy_changed=False)
            return report

    words = ["run.num_updates=3", "run.checkpoint_every=1", "eval.every=1"]
    harness = Harness(tmp_path, words, evaluation=1, learner=Forgetful())
    assert harness.controller.run()
    assert [line["update"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    assert [e["update"] for e in events_of(tmp_path, "evaluation")] == [0, 1, 2, 3]
    assert [number for number, _ in harness.learner.saved] == [1, 2, 3]
    (lost,) = events_of(tmp_path, "nothing_learned")
    assert not set(lost["slots"]) & {slot for e in events_of(tmp_path, "trained") for slot in e["slots"]}
    assert f"all {len(lost['slots'])} chunks of a batch were lost" in capsys.readouterr().out


def test_a_resumed_run_that_falls_back_behind_its_start_goes_on(tmp_path: Path) -> None:
    """Its checkpoint was damaged while it ran: that is told, and the time left is still a time."""

    class FallsBack(FakeLearner):
        def mend(self, member: int) -> None:
            self.number, self.damaged = 3, ["000005: critic.safetensors"]

    learner = FallsBack(dies_at=6)
    learner.number = 5
    harness = Harness(tmp_path, ["run.num_updates=8"], learner=learner, num_updates=5)
    assert harness.controller.run()
    assert [e["reason"] for e in events_of(tmp_path, "damaged_checkpoint")] == ["000005: critic.safetensors"]
    assert learner.number == 8


def test_a_learner_lost_while_it_saves_in_the_end_learns_the_rest_again(tmp_path: Path) -> None:
    class LostInTheEnd(FakeLearner):
        def save(self, root: Path, extra: dict, *, keep: int) -> None:
            if self.number == 5 and self._dies_at == 5:
                self._dies_at, self._dead = None, True
                raise LearnerLostError("killed")
            super().save(root, extra, keep=keep)

    words = ["run.num_updates=5", "run.checkpoint_every=2"]
    harness = Harness(tmp_path, words, evaluation=1, learner=LostInTheEnd(dies_at=5))
    assert harness.controller.run()
    assert [number for number, _ in harness.learner.saved] == [2, 4, 4, 5]
    assert [e["update"] for e in events_of(tmp_path, "evaluation")] == [0, 5]
    harness.assert_no_chunk_twice_or_torn()


def test_what_was_judged_is_not_judged_again_and_what_was_not_is(tmp_path: Path) -> None:
    """A run is taken up again at its last update: it was stopped before, or after, the last evaluation."""
    for folder, events, evaluated in (
        ("before", [("evaluation", 0), ("resumed", 4)], 0),
        ("after", [("evaluation", 0), ("resumed", 4), ("resumed", 6), ("evaluation", 7)], 7),
        ("lost", [("evaluation", 0), ("evaluation", 9)], -1),
    ):
        run = RunFolder(tmp_path / folder)
        run.path.mkdir()
        writer = MetricsWriter(run.path)
        for kind, update in events:
            writer.event(kind, update=update)
        writer.close()
        resumed = sum(kind == "resumed" for kind, _ in events)
        assert _history(run, 7) == (resumed, evaluated)


@pytest.mark.parametrize("slow_turns", [0, 500])
def test_a_time_limit_ends_the_run_in_good_order(tmp_path: Path, slow_turns: int) -> None:
    """An update that was under way is concluded: what is saved is what was published and judged."""
    words = ["run.num_updates=1000000", "run.max_minutes=0.02"]
    harness = Harness(tmp_path, words, evaluation=2, learner=FakeLearner(slow_turns=slow_turns))
    assert harness.controller.run()
    assert not harness.learner.is_busy
    assert harness.learner.saved[-1][0] == harness.learner.number == harness.replicas.published[-1]
    assert list(read_lines(tmp_path / "metrics.jsonl"))[-1]["update"] == harness.learner.number
    assert len(events_of(tmp_path, "evaluation")) == 2


@pytest.mark.parametrize("num_envs", [16, 256])
def test_controller_time_per_chunk(tmp_path: Path, num_envs: int) -> None:
    """Controller, buffer and curriculum with instant environments: all the time that is spent is theirs."""
    decisions, num_updates = 25, 20
    words = [
        f"run.num_updates={num_updates}",
        f"learner.decisions_per_update={num_envs * decisions}",
        "run.checkpoint_every=0",
    ]
    fleet = InstantFleet(num_envs, decisions)
    harness = Harness(tmp_path, words, fleet=fleet)
    harness.buffer._max_chunk_decisions = decisions
    began = time.process_time()
    harness.controller.run()
    num_chunks = num_envs * num_updates
    assert len(harness.learner.trained) == num_chunks
    assert (time.process_time() - began) / num_chunks < 0.002
