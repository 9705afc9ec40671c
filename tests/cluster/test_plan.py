"""Plans by hand, the roofline against the published figures, and both against what a machine measures."""

from pathlib import Path

import pytest

from cli.main import main
from cluster.plan import SIMULATION_SHARE, Costs, Devices, Stage, make_plan
from cluster.roofline import GPUS, engine_seconds, learner_gb, learner_seconds, replica_gb, work_of
from core import settings
from core.config import Config
from policy.configuration import OpenVLAConfig
from policy.presets import tiny_config

COSTS = Costs(simulation_s=0.08, picture_s=0.008, engine_s=0.01, learner_s=0.03)


def config(*words: str) -> Config:
    return settings.load(None, ["engine.dtype=bfloat16", "learner.dtype=bfloat16", *words])


def test_eight_gpus_are_shared_so_that_neither_side_waits() -> None:
    plan = make_plan(COSTS, Devices(num_gpus=8, num_cores=1000), max_num_seqs=32)
    assert (plan.num_replicas, plan.num_ranks) == (2, 6)
    assert plan.capacities[Stage.INFERENCE] == pytest.approx(200)
    assert plan.capacities[Stage.LEARNING] == pytest.approx(200)
    # 200/s x 0.08 s / 0.8 = 20 workers; 200/s x 0.008 s / 0.8 = 2 actors, but at most 8 workers each: 3.
    assert plan.num_actors == 3
    assert plan.cores_wanted == 23
    assert plan.decisions_per_s == pytest.approx(200)
    # In flight: two full batches; and two for each worker.
    assert plan.num_actors * plan.envs_per_actor >= 2 * 32 + 2 * 20


def test_too_few_cores_make_simulation_the_bottleneck() -> None:
    plan = make_plan(COSTS, Devices(num_gpus=8, num_cores=9), max_num_seqs=32)
    assert plan.bottleneck is Stage.SIMULATION
    assert plan.num_actors + plan.num_actors * plan.workers_per_actor <= 9
    assert plan.decisions_per_s == pytest.approx(8 * SIMULATION_SHARE / 0.08, rel=0.15)
    assert plan.cores_wanted == 23


def test_one_gpu_takes_turns() -> None:
    plan = make_plan(COSTS, Devices(num_gpus=1, num_cores=100), max_num_seqs=8)
    assert (plan.num_replicas, plan.num_ranks) == (1, 1)
    assert plan.decisions_per_s == pytest.approx(1 / 0.04)
    assert plan.bottleneck is Stage.LEARNING


def test_without_gpus_everything_shares_the_cores() -> None:
    plan = make_plan(COSTS, Devices(num_gpus=0, num_cores=2), max_num_seqs=8)
    assert plan.decisions_per_s == pytest.approx(2 / 0.128)
    assert plan.bottleneck is Stage.SIMULATION
    many = make_plan(COSTS, Devices(num_gpus=0, num_cores=64), max_num_seqs=8)
    assert many.bottleneck is Stage.LEARNING  # one process can use one core only
    assert many.decisions_per_s == pytest.approx(1 / 0.03)


def test_a_replica_that_waits_has_small_batches() -> None:
    # A batch of 8 costs 40 + 8·5 ms, so 10 ms a decision; one alone 45 ms. The others together: 55 ms.
    costs = Costs(simulation_s=0.04, picture_s=0.005, engine_s=0.01, learner_s=0.01, engine_round_s=0.04)
    alone = make_plan(costs, Devices(num_gpus=0, num_cores=1), max_num_seqs=8)
    # At r a second, c = r·(0.04 + 0.005·n) come while n = c + exp(-c) are decided on: r = 10.3611.
    assert alone.decisions_per_s == pytest.approx(10.3611, abs=1e-3)
    assert alone.costs[Stage.INFERENCE] == pytest.approx(0.041515, abs=1e-5)
    assert alone.bottleneck is Stage.INFERENCE
    # Gathering 100 ms at r a second makes batches of 1 + r/10: r·(0.055 + 0.005 + 0.04 / (1 + r/10)) = 1.
    gathered = make_plan(costs, Devices(num_gpus=0, num_cores=1), max_num_seqs=8, gather_s=0.1)
    assert gathered.decisions_per_s == pytest.approx(12.9099, abs=1e-4)
    assert gathered.bottleneck is Stage.SIMULATION


def test_more_gpus_never_plan_a_slower_run() -> None:
    rates = [
        make_plan(COSTS, Devices(num_gpus=n, num_cores=10**6), max_num_seqs=32).decisions_per_s
        for n in range(1, 33)
    ]
    assert rates == sorted(rates)


def test_too_few_gpus_for_a_wide_replica_are_refused() -> None:
    with pytest.raises(ValueError, match="2 GPUs are too few"):
        make_plan(COSTS, Devices(num_gpus=2, num_cores=8), max_num_seqs=8, tensor_parallel=2)


def test_the_published_model_costs_what_is_known_of_it() -> None:
    """4.2 TFLOP a decision, 222 MB of LoRA in bfloat16, on an H200 95-118 decisions/s and 31-47 samples/s."""
    work = work_of(OpenVLAConfig(), lora_rank=32)
    assert work.parameters == 7_541_237_184
    assert work.lora_parameters == 110_828_288
    assert work.tokens == 285
    assert work.flops == pytest.approx(4.2e12, rel=0.03)
    one_epoch = config("learner.epochs=1")
    assert 90 < 1 / engine_seconds(work, GPUS["H200"], one_epoch) < 118
    assert 31 < 1 / learner_seconds(work, GPUS["H200"], one_epoch) < 47
    assert 30 < replica_gb(work, one_epoch) < 45
    assert 15 < learner_gb(work, config("learner.microbatch_size=1")) < 20


def test_costs_follow_the_settings() -> None:
    work, gpu = work_of(tiny_config("tiny"), lora_rank=32), GPUS["H100"]
    one, two = (learner_seconds(work, gpu, config(f"learner.epochs={n}")) for n in (1, 2))
    assert two / one == pytest.approx(5 / 3)
    assert learner_seconds(work, gpu, config("learner.epochs=1", "critic.kind=adapter")) == pytest.approx(
        2 * one
    )
    small, large = (engine_seconds(work, gpu, config(f"engine.max_num_seqs={n}")) for n in (1, 64))
    assert small > large


def test_the_command_prints_words_that_a_run_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    file = "experiments/openvla7b_cluster.yaml"
    assert main(["plan", file, "--gpu", "H200", "--gpus", "32", "--cpus", "512"]) == 0
    output = capsys.readouterr().out
    words = output.splitlines()[-1].split()
    planned = settings.load(Path(file), words)
    assert planned.engine.num_replicas + planned.learner.num_ranks == 32
    assert "<- bottleneck" in output


def test_an_update_in_training_keeps_its_share_of_the_buffer(capsys: pytest.CaptureFixture[str]) -> None:
    """136 environments with chunks of 32 decisions, 4352 in all, in the updates that are not trained on."""
    words = ["learner.decisions_per_update=1024", "buffer.chunk_decisions=32", "buffer.max_lag=2"]
    machine = ["--gpu", "H200", "--gpus", "8", "--cpus", "128"]
    assert main(["plan", "experiments/openvla7b_cluster.yaml", *words, *machine]) == 0
    assert "learner.decisions_per_update=2176" in capsys.readouterr().out.split()


def test_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "policy.checkpoint=x"]) == 2
    assert "or --measure" in capsys.readouterr().err
    assert main(["plan", "policy.checkpoint=x", "--gpus", "1", "--gpu", "H2000"]) == 2
    assert "known are B200, H200" in capsys.readouterr().err
