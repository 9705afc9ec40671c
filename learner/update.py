"""One PPO update, in the order of the paper. Knows neither Ray nor DeepSpeed.

In: an engine that holds the model, the batch of all ranks, the configuration. Out: metrics, a changed model.
Every rank calls it with the same batch, runs the model on its own share, and leaves with the same metrics.
Shape letters: V views of the update, B views of a forward pass, A action tokens, X the ratio's level.
"""

import time

import numpy as np
import torch
from torch import Tensor

from core.config import AdvantageKind, Config, CriticKind
from learner.advantages import explained_variance
from learner.batch import Batch, microbatches, minibatches
from learner.critic import Evaluation, Pass
from learner.distributed import Ranks
from learner.engine import Engine
from learner.losses import (
    clipped_fractions,
    importance_weights,
    kl_estimate,
    log_ratio,
    policy_loss,
    value_clipped,
    value_loss,
)
from learner.metrics import Meter
from learner.step_size import StepSize
from learner.targets import Proximal, Targets, make_targets
from learner.window_critic import WindowCritic


def ppo_update(
    engine: Engine,
    ranks: Ranks,
    batch: Batch,
    config: Config,
    *,
    number: int,
    step_size: StepSize | None,
    critic: WindowCritic | None = None,
) -> tuple[dict[str, float], Proximal]:
    """Improve the policy and the critic on one batch; without a step size the critic warms up alone.

    `critic` is given where the critic is not part of the engine's model. Returns metrics, and what the model
    said of every view before.
    """
    started = time.perf_counter()
    proximal = evaluate_views(engine, ranks, batch, config, critic)  # before the first epoch moves the policy
    targets = make_targets(batch, proximal, config.advantage)
    evaluated = time.perf_counter()
    meter = Meter()
    trainer = _Trainer(engine, ranks, batch, proximal, targets, config, meter, step_size)
    trains_model = step_size is not None or critic is None
    if step_size:
        step_size.begin_update()
    share = 1.0 if trainer.train_critic else config.learner.train_share  # a critic learns from all
    rows = targets.strongest_rows(share)
    size = config.learner.minibatch_size * share  # as many steps as with all rows
    for epoch in range(config.learner.epochs if trains_model and len(rows) else 0):
        for minibatch in minibatches(rows, size, (config.run.seed, number, epoch)):
            trainer.optimizer_step(minibatch)
    if step_size:
        step_size.end_update()
    if critic is not None and len(targets.rows):
        loss = critic.fit(
            proximal.seen[targets.rows], targets.observed[targets.rows], (config.run.seed, number)
        )
        meter.add("learner/value_loss", [loss])
    metrics = {
        **meter.means(ranks),
        **_batch_metrics(batch, proximal, targets, config),
        "time/evaluate_s": evaluated - started,
        "time/epochs_s": time.perf_counter() - evaluated,
    }
    return metrics, proximal


def evaluate_views(
    engine: Engine, ranks: Ranks, batch: Batch, config: Config, critic: WindowCritic | None = None
) -> Proximal:
    """Run the model over every view without gradients: each rank its share, then put together."""
    logprobs_VA = np.zeros_like(batch.behaviour_logprobs)
    reference_VA = np.zeros_like(batch.behaviour_logprobs)
    values_V = np.zeros(batch.num_views, dtype=np.float32)
    entropies_V = np.zeros(batch.num_views, dtype=np.float32)
    features_VPC = None
    pooled_VD = np.zeros((batch.num_views, 0 if critic is None else critic.dim), dtype=np.float32)
    purpose = Pass.BOTH if _is_part_of_model(config) else Pass.POLICY
    mine = ranks.share(np.arange(batch.num_views))
    with torch.no_grad():
        for rows, weights in microbatches(*mine, config.learner.microbatch_size):
            inputs, real = batch.inputs(rows), weights > 0
            said = engine(inputs, purpose)
            logprobs_VA[rows[real]] = _numpy(said["logprobs"])[real]
            entropies_V[rows[real]] = _numpy(said["entropies"])[real]
            if purpose is Pass.BOTH:
                values_V[rows[real]] = _numpy(said["values"])[real]
            if critic is not None:
                pooled_VD[rows[real]] = _numpy(said["pooled"])[real]
            if "features" in said and ranks.size == 1:
                features_VPC = _with_rows(features_VPC, rows, said["features"].cpu(), batch.num_views)
            if config.learner.kl_coef > 0:
                reference_VA[rows[real]] = _numpy(engine(inputs, Pass.REFERENCE)["logprobs"])[real]
    pooled_VD = ranks.sum(pooled_VD)
    seen_VD = pooled_VD if critic is None else critic.seen(pooled_VD, batch.clock)
    return Proximal(
        logprobs=ranks.sum(logprobs_VA),
        values=ranks.sum(values_V) if critic is None else critic.values(seen_VD),
        reference=ranks.sum(reference_VA),
        entropies=ranks.sum(entropies_V),
        features=features_VPC,
        seen=seen_VD,
    )


def _with_rows(features_VPC: Tensor | None, rows: np.ndarray, rows_BPC: Tensor, num_views: int) -> Tensor:
    """The features of all views, now with these."""
    if features_VPC is None:
        features_VPC = rows_BPC.new_empty((num_views, *rows_BPC.shape[1:]))
    features_VPC[rows] = rows_BPC
    return features_VPC


class _Trainer:
    """The inner loop: one minibatch to one optimizer step, one micro-batch to one backward pass."""

    def __init__(
        self,
        engine: Engine,
        ranks: Ranks,
        batch: Batch,
        proximal: Proximal,
        targets: Targets,
        config: Config,
        meter: Meter,
        step_size: StepSize | None,
    ) -> None:
        """Without a step size the policy is not trained."""
        self.engine, self.ranks, self.batch, self.config, self.meter = engine, ranks, batch, config, meter
        self.step_size = step_size
        self.train_critic = _is_part_of_model(config)
        self.device, self.features_VPC = engine.model.device, proximal.features
        self.behaviour_VA = self._tensor(batch.behaviour_logprobs)
        self.proximal_VA = self._tensor(proximal.logprobs)
        self.reference_VA = self._tensor(proximal.reference)
        self.old_values_V = self._tensor(proximal.values)
        self.advantages_V = self._tensor(targets.advantages)
        self.returns_V = self._tensor(targets.returns)
        self._kl = np.zeros(2)
        """Of the minibatch: sum over this rank's decisions, and their number."""

    def optimizer_step(self, minibatch: np.ndarray) -> None:
        """Sum of per-decision losses over all micro-batches of all ranks, divided by the minibatch's size."""
        for rows, weights in microbatches(*self.ranks.share(minibatch), self.config.learner.microbatch_size):
            weights_B = self._tensor(weights)
            losses_B = self._losses(rows, weights_B)
            # The engine averages gradients over ranks; times their number, that is the sum.
            self.engine.backward((losses_B * weights_B).sum() * (self.ranks.size / len(minibatch)))
        norm = self.engine.step(policy_lr=self._policy_lr(self.step_size) if self.step_size else 0.0)
        self.meter.count("learner/steps_skipped", norm is None)
        if norm is not None:
            self.meter.add("learner/grad_norm", [norm])

    def _policy_lr(self, step_size: StepSize) -> float:
        """Of the next step, the same on every rank."""
        total, number = self.ranks.sum(self._kl)
        self._kl = np.zeros(2)
        step_size.look_at(total / number)
        rate = self.config.learner.lr * step_size.now
        self.meter.add("learner/lr", [rate])
        return rate

    def _losses(self, rows: np.ndarray, weights_B: Tensor) -> Tensor:
        said = self.engine(self.batch.inputs(rows, self.features_VPC), self._purpose())
        losses_B = torch.zeros_like(weights_B)
        if self.step_size:
            losses_B = losses_B + self._policy_losses(rows, weights_B, said)
        if self.train_critic:
            losses_B = losses_B + self.config.critic.coef * self._value_losses(rows, weights_B, said)
        return losses_B

    def _purpose(self) -> Pass:
        if not self.step_size:
            return Pass.VALUE
        return Pass.BOTH if self.train_critic else Pass.POLICY

    def _policy_losses(self, rows: np.ndarray, weights_B: Tensor, said: Evaluation) -> Tensor:
        learner, mask_B = self.config.learner, weights_B > 0
        advantages_B = self.advantages_V[rows]
        ratio_BX = log_ratio(said["logprobs"], self.proximal_VA[rows], learner.ratio)
        importance_BX = importance_weights(
            self.proximal_VA[rows], self.behaviour_VA[rows], learner.importance_cap, learner.ratio
        )
        loss_B = policy_loss(
            ratio_BX, advantages_B, importance_BX, learner.clip_low, learner.clip_high, mask_B
        )
        low_B, high_B = clipped_fractions(
            ratio_BX.detach(), advantages_B, learner.clip_low, learner.clip_high
        )
        change_BA = (said["logprobs"] - self.proximal_VA[rows]).detach()
        kl_B = kl_estimate(change_BA).mean(dim=1)
        self._kl += _numpy(torch.stack([(kl_B * weights_B).sum(), weights_B.sum()]))
        self._note(weights_B, policy_loss=loss_B, entropy=said["entropies"], kl=kl_B)
        self._note(weights_B, clip_fraction_low=low_B, clip_fraction_high=high_B)
        self._note(
            weights_B,
            importance_weight=importance_BX.mean(dim=1),
            importance_capped=(importance_BX >= learner.importance_cap).float().mean(dim=1),
        )
        return (
            loss_B - learner.entropy_coef * said["entropies"] + self._reference_penalty(rows, weights_B, said)
        )

    def _reference_penalty(self, rows: np.ndarray, weights_B: Tensor, said: Evaluation) -> Tensor:
        if self.config.learner.kl_coef <= 0:
            return torch.zeros_like(weights_B)
        kl_B = kl_estimate(self.reference_VA[rows] - said["logprobs"]).mean(dim=1)
        self._note(weights_B, kl_reference=kl_B)
        return self.config.learner.kl_coef * kl_B

    def _value_losses(self, rows: np.ndarray, weights_B: Tensor, said: Evaluation) -> Tensor:
        clip, old_B = self.config.critic.clip, self.old_values_V[rows]
        loss_B = value_loss(said["values"], old_B, self.returns_V[rows], clip, weights_B > 0)
        self._note(
            weights_B, value_loss=loss_B, value_clip_fraction=value_clipped(said["values"], old_B, clip)
        )
        return loss_B

    def _note(self, weights_B: Tensor, **values: Tensor) -> None:
        for name, values_B in values.items():
            self.meter.add(f"learner/{name}", _numpy(values_B), _numpy(weights_B))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).float().to(self.device)


def _is_part_of_model(config: Config) -> bool:
    """Whether a critic is trained by the engine, beside the policy."""
    return config.advantage.kind is AdvantageKind.GAE and config.critic.kind is not CriticKind.POOLED


def _batch_metrics(batch: Batch, proximal: Proximal, targets: Targets, config: Config) -> dict[str, float]:
    """What is known before the first epoch; the same on every rank."""
    metrics = {
        "learner/decisions": float(len(targets.rows)),
        "learner/decisions_quarantined": float(targets.num_quarantined),
        "learner/decisions_uninformative": float(targets.num_uninformative),
    }
    if config.advantage.kind is AdvantageKind.GAE and len(targets.rows):
        values, returns = proximal.values[targets.rows], targets.observed[targets.rows]
        metrics["learner/explained_variance"] = explained_variance(values, returns)
        metrics["learner/value"] = float(values.mean())
        metrics["learner/return"] = float(returns.mean())
    return metrics


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
