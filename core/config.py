"""Every setting of a run, with its default. YAML files in `experiments/` hold only differences from these.

One dataclass per part of the system; the comment beside a field is what `vlarl config` prints.
"""

from dataclasses import dataclass, field
from enum import Enum


class Mode(Enum):
    INLINE = "inline"
    LOCAL = "local"
    CLUSTER = "cluster"


class RenderMode(Enum):
    FAST = "fast"
    EXACT = "exact"


class Shift(Enum):
    """What an evaluation makes other than it is in training."""

    NONE = "none"
    CAMERA = "camera"
    LIGHT = "light"
    STARTS = "starts"
    WORDING = "wording"


class TrainingStates(Enum):
    FRESH = "fresh"
    PAPER = "paper"


class RatioLevel(Enum):
    TOKEN = "token"
    DECISION = "decision"


class AdvantageKind(Enum):
    GAE = "gae"
    GRPO = "grpo"
    RLOO = "rloo"


class CriticKind(Enum):
    SHARED = "shared"
    ADAPTER = "adapter"
    POOLED = "pooled"


class Shaping(Enum):
    POTENTIAL = "potential"
    ADDITIVE = "additive"
    NONE = "none"


class WhenDown(Enum):
    PAUSE = "pause"
    SPARSE = "sparse"


class CurriculumKind(Enum):
    FRONTIER = "frontier"
    PAPER = "paper"
    UNIFORM = "uniform"


@dataclass
class RunConfig:
    name: str = "run"  # the run folder is runs_dir/name
    runs_dir: str = "runs"  # in a cluster a folder that every machine sees
    mode: Mode = Mode.LOCAL  # inline (debugger), local (Ray on this machine), cluster (Ray's address)
    seed: int = 0
    num_updates: int = 100
    max_minutes: float = 0.0  # stop after this long; 0 = no limit
    checkpoint_every: int = 10  # updates
    keep_checkpoints: int = 3
    video_every: int = 20  # record every n-th episode; 0 = none


@dataclass
class EnvConfig:
    suite: str = "libero_spatial"  # or libero_object, libero_goal, libero_10, libero_90
    tasks: list[int] = field(default_factory=list)  # task numbers; empty = the whole suite
    assets: str = "auto"  # auto, primitive, libero, or a folder
    render: RenderMode = RenderMode.FAST  # exact = pixel for pixel as LIBERO, for published checkpoints
    render_size: int = 0  # pixels of the rendered square; 0 = what the policy's preprocessor asks for
    max_steps: int = 0  # environment steps an episode may take; 0 = the suite's own limit
    training_states: TrainingStates = TrainingStates.FRESH  # paper = the published ones (and results say so)
    num_actors: int = 1  # Ray actors that own environments
    envs_per_actor: int = 8  # simulated robots of an actor, all at work at once
    workers_per_actor: int = 2  # processes over which an actor spreads its environments
    step_timeout_s: float = 60.0  # a simulator that takes longer is replaced


@dataclass
class PolicyConfig:
    checkpoint: str = ""  # folder in the published OpenVLA layout, or a hub name
    temperature: float = 1.0  # of sampling in training; lower is closer to greedy
    lora_rank: int = 32
    lora_alpha: float = 16.0  # LoRA counts alpha / rank times


@dataclass
class EngineConfig:
    num_replicas: int = 1  # copies of the policy that decide, each on its own GPU or share of one
    dtype: str = "float32"  # bfloat16 for a 7B policy on a GPU
    max_num_seqs: int = 32  # decisions at a time
    gather_ms: float = 0.0  # an idle replica waits this long for more requests, to decide on them together
    gpu_memory_fraction: float = (
        0.4  # that must be free at its start; its share where a learner is on it, too
    )
    tensor_parallel_size: int = 1  # GPUs that share one replica


@dataclass
class AdvantageConfig:
    kind: AdvantageKind = AdvantageKind.GAE  # grpo, rloo = compare episodes of one start, without a critic
    gamma: float = 0.99  # discount a decision
    lam: float = 0.95  # of GAE: lower trusts the critic more, which is less noise and more bias
    bootstrap_time_limit: bool = True  # false: out of time is failed, and nothing is worth anything after it
    group_size: int = 8  # episodes that share one start; grpo and rloo only
    normalize: bool = True  # over all ranks together


@dataclass
class CriticConfig:
    kind: CriticKind = CriticKind.SHARED  # where values come from: docs/algorithm.md, "The critic"
    lr: float = 1e-3
    coef: float = 0.5  # weight of the value loss beside the policy's
    clip: float = 0.0  # 0 = no value clipping
    warmup_updates: int = 2  # updates that train the critic alone
    window: int = 8  # updates whose returns a pooled critic is fitted to
    epochs: int = 8  # passes of a pooled critic over as many decisions as the update has


@dataclass
class LearnerConfig:
    num_ranks: int = 1  # DeepSpeed processes, one a GPU
    zero_stage: int = 1  # DeepSpeed ZeRO 1, 2 or 3
    dtype: str = "float32"  # of the frozen weights; what is trained is float32
    lr: float = 1e-4  # of AdamW; target_kl may lower it during the run
    weight_decay: float = 0.0
    adam_eps: float = 1e-5
    max_grad_norm: float = 1.0
    autocast: bool = False  # bfloat16 products where hardware has them: faster, log-probabilities 1e-2 off
    train_vision: bool = True  # false: LoRA leaves the vision backbone as it is, which is faster
    num_threads: int = 1  # torch threads of a rank on the CPU
    decisions_per_update: int = 512  # an update waits for at least this many
    minibatch_size: int = 128  # decisions per optimizer step, over all ranks
    microbatch_size: int = 32  # decisions per forward pass; changes memory, never the gradient
    epochs: int = 2  # passes over an update's decisions
    train_share: float = 1.0  # of the decisions the policy is trained on those with the largest advantages
    ratio: RatioLevel = RatioLevel.TOKEN  # what PPO clips: each token's ratio, or a whole decision's
    clip_low: float = 0.2  # ratios count down to 1 - clip_low
    clip_high: float = 0.28  # and up to 1 + clip_high
    importance_cap: float = 2.0  # truncation of engine-to-learner importance weights
    entropy_coef: float = 0.0
    kl_coef: float = 0.0  # towards the starting policy
    target_kl: float = 0.015  # nats a token; steps shrink when an update gets over twice that far; 0 = never


@dataclass
class BufferConfig:
    chunk_decisions: int = 0  # seal a chunk after this many decisions; 0 = whole episodes
    max_lag: int = 2  # versions a trained-on decision may be behind the learner


@dataclass
class RewardConfig:
    checkpoint: str = ""  # folder of a process reward model (`vlarl rprm train`); empty = without one
    shaping: Shaping = Shaping.POTENTIAL  # how its scores are paid; none = they are only shown
    scale: float = 0.2  # bound on what shaping can add to an episode's return; success brings 1
    when_down: WhenDown = WhenDown.PAUSE  # pause = updates wait for it; sparse = they go on without
    batch_size: int = 64  # frames per forward pass
    num_gpus: float = 0.0  # share of a GPU that it gets; 0 = it runs on the CPU


@dataclass
class CurriculumConfig:
    kind: CurriculumKind = CurriculumKind.FRONTIER  # frontier = solved half the time, paper = hardest
    floor: float = 0.1  # share of episodes drawn uniformly, so that every task stays alive
    decay: float = 0.9  # weight of the past in a start's success rate, per outcome
    temperature: float = 0.2  # width of the preference around 50 % success


@dataclass
class EvalConfig:
    before: bool = True  # judge the policy before its first update, too
    every: int = 0  # updates between evaluations during training; 0 = before and after only
    episodes_per_task: int = 10  # published starts, of 50 a task
    sample: bool = False  # decide as in training, at policy.temperature; false: greedily
    videos: int = 2  # recorded of an evaluation


@dataclass
class Config:
    run: RunConfig = field(default_factory=RunConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    advantage: AdvantageConfig = field(default_factory=AdvantageConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    buffer: BufferConfig = field(default_factory=BufferConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
