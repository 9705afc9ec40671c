"""What every metric means that a run writes, except the learner's own (those stand in `learner/metrics.py`).

In: nothing. Out: names and meanings; docs/metrics.md is made from them by `make docs`.
"""

METRICS = {
    "rollout/success": "share of training episodes that succeeded (sampled actions)",
    "rollout/return": "mean environment reward of an episode",
    "rollout/episode_steps": "mean environment steps of an episode",
    "rollout/episodes": "episodes that ended",
    "rollout/env_steps_per_s": "environment steps that reached the buffer, per second",
    "rollout/decisions_per_s": "decisions that reached the buffer, per second",
    "rollout/decision_s": "mean seconds from asking for a decision to its answer",
    "rollout/step_s": "mean seconds that the simulator takes to play a decision",
    "curriculum/weight/TASK": "share of episodes for which the curriculum draws a task",
    "curriculum/success/TASK": "the curriculum's estimate of a task's success rate",
    "buffer/waiting": "sealed decisions that no update has taken",
    "buffer/reserved": "decisions in the buffer's budget: open, waiting, being trained on",
    "buffer/refused": "chunks refused because their slot was not open, since the start",
    "buffer/discarded": (
        "groups (GRPO, RLOO) given up because all their episodes returned the same, since the start"
    ),
    "buffer/chunks_lost": "chunks of this update that had gone with their node",
    "reward/score": "mean score that the process reward model gave to the chunks of this update",
    "reward/waited_s": "seconds that the update waited for scores",
    "reward/chunks_unscored": "chunks of this update without scores, because the reward model was down",
    "weights/version": "adapter version that the replicas serve",
    "weights/refused": "1 if a replica refused the first push as not finite; the second was accepted",
    "weights/probe_error": (
        "mean difference between a replica's log-probabilities of fixed observations and the learner's, "
        "of the replica that is farthest off"
    ),
    "weights/probe_change": (
        "how far the learner's own log-probabilities of the same tokens moved with this version"
    ),
    "time/interval_s": "seconds since the last update",
    "time/publish_s": "export, push and check of a new version",
    "time/push_s": "of which export and push",
    "time/checkpoint_s": "writing a checkpoint",
    "time/evaluation_s": "evaluation episodes",
    "memory/controller_mb": "largest resident memory of the controller's process so far",
    "faults/environment": "environments that died, hung or became non-finite, and were restarted",
    "faults/env_actor": "environment actors that died or hung",
    "faults/replica": "inference replicas that died or hung",
    "faults/learner": (
        "learner groups that lost a rank (or in which one hung) and went back to the last checkpoint"
    ),
    "faults/node": "machines that left the cluster",
    "faults/reward": "deaths of the process reward model",
}
