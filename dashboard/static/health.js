// Is it healthy, and how fast is it? One small chart per quantity, each with what it means.

import { shareBar } from "./bars.js";
import { Chart } from "./chart.js";
import { h } from "./dom.js";
import { percentFine, seconds } from "./format.js";
import { answerOf, nameIn } from "./learning.js";

// [title, meaning, metrics (name: legend), options]
const HEALTH = [
  ["Policy lag", "versions a decision is old when trained on", { "learner/lag_mean": "mean", "learner/lag_max": "oldest" }, { domain: [0, null], bounded: true }],
  ["KL per update", "how far one update moves the policy; above 0.05 is too far", { "learner/kl": "" }, { domain: [0, null] }],
  ["Clipped", "share of ratios that PPO clips", { "learner/clip_fraction_low": "below", "learner/clip_fraction_high": "above" }, { format: percentFine, domain: [0, null] }],
  ["Entropy", "nats per action token; zero means nothing new is tried", { "learner/entropy": "" }, { domain: [0, null] }],
  ["Explained variance", "how much of the returns the critic foresees; 1 is all", { "learner/explained_variance": "" }, {}],
  ["Engine against learner", "mean difference of log-probabilities on probes, of the worst replica", { "weights/probe_error": "" }, { domain: [0, null] }],
  ["Importance capped", "share of engine-to-learner weights at their cap", { "learner/importance_capped": "" }, { format: percentFine, domain: [0, null] }],
  ["Weights moved", "how far the probe's log-probabilities moved at each push", { "weights/probe_change": "" }, { domain: [0, null] }],
  ["Skipped steps", "optimizer steps skipped for a gradient that is not finite", { "learner/steps_skipped": "" }, { domain: [0, null] }],
  ["Left out", "decisions quarantined, chunks refused, chunks lost", { "learner/decisions_quarantined": "quarantined", "buffer/refused": "refused", "buffer/chunks_lost": "lost" }, { domain: [0, null] }],
  ["Reward model", "mean score it gave to the chunks of an update", { "reward/score": "" }, { domain: [0, 1], optional: true }],
  ["Unscored chunks", "trained on without the reward model, because it was down", { "reward/chunks_unscored": "" }, { domain: [0, null], optional: true }],
  ["Restarts", "failures since the process began", { "faults/environment": "environment", "faults/env_actor": "actor", "faults/replica": "replica", "faults/learner": "learner", "faults/reward": "reward model", "faults/node": "node" }, { domain: [0, null] }],
  ["Gradient norm", "before clipping", { "learner/grad_norm": "" }, { domain: [0, null] }],
];
const SPEED = [
  ["Decisions per second", "that reached the buffer", { "rollout/decisions_per_s": "" }, { domain: [0, null] }],
  ["Environment steps per second", "that reached the buffer", { "rollout/env_steps_per_s": "" }, { domain: [0, null] }],
  ["Learner's speed", "decisions trained on per second of an update", { "learner/decisions_per_s": "" }, { domain: [0, null] }],
  ["Queue", "decisions waiting for the learner, and reserved in the buffer", { "buffer/waiting": "waiting", "buffer/reserved": "reserved" }, { domain: [0, null] }],
  ["Time of an update", "seconds from one update to the next", { "time/interval_s": "" }, { format: seconds, domain: [0, null] }],
  ["Latency", "of a decision, and of playing it in the simulator", { "rollout/decision_s": "decision", "rollout/step_s": "simulator" }, { format: seconds, domain: [0, null] }],
];

class Charts {
  constructor(table) {
    this.charts = table.map(([title, hint, metrics, options]) => ({ chart: new Chart({ title, hint, height: 130, ...options }), metrics, options }));
    this.element = h("div", { class: "grid" }, ...this.charts.map(({ chart }) => chart.element));
  }

  update(runs) {
    for (const { chart, metrics, options } of this.charts) {
      const bound = options.bounded && runs[0].page.run.max_lag ? { value: runs[0].page.run.max_lag, label: `bound ${runs[0].page.run.max_lag}` } : undefined;
      const lines = linesOf(runs, metrics);
      chart.element.hidden = Boolean(options.optional) && !lines.length;
      chart.draw(lines, bound);
    }
  }
}

// Alone, a run's several metrics differ in colour; compared, runs do, and only the first metric is drawn.
function linesOf(runs, metrics) {
  const names = Object.keys(metrics);
  if (runs.length > 1) {
    return runs.filter((run) => run.page.metrics[names[0]]).map((run) =>
      ({ ...run.page.metrics[names[0]], name: `${nameIn(runs, run)} ${metrics[names[0]]}`, color: run.color }));
  }
  const there = names.filter((name) => runs[0].page.metrics[name]);
  return there.map((name, i) => ({ ...runs[0].page.metrics[name], name: metrics[name], color: `var(--run-${i % 5})` }));
}

export class Health {
  constructor(section) {
    this.answer = h("p", { class: "answer" });
    this.charts = new Charts(HEALTH);
    this.faults = h("div");
    section.replaceChildren(h("h2", {}, "Is it healthy?"), this.answer, this.charts.element, this.faults);
  }

  update(runs) {
    this.charts.update(runs);
    const { alarms, faults } = runs[0].page;
    const count = (state) => alarms.filter((alarm) => alarm.state === state).length;
    const [firing, unknown] = [count("firing"), count("unknown")];
    this.answer.replaceChildren(h("b", {}, firing ? `${firing} of ${alarms.length} checks raise an alarm` : "No check raises an alarm"),
      firing ? ": see what needs attention, below." : unknown ? `; ${unknown} of ${alarms.length} cannot tell yet.` : ".");
    this.faults.replaceChildren(...(faults.length ? [h("h3", {}, "Last failures"), h("ul", { class: "faults" }, ...faults.toReversed().map((fault) =>
      h("li", {}, h("time", {}, new Date(fault.time * 1000).toLocaleString("en-GB")), h("b", {}, fault.kind), ` ${fault.reason}`)))] : []));
  }
}

export class Speed {
  constructor(section) {
    this.answers = h("div", { class: "answers" });
    this.bars = h("div");
    this.charts = new Charts(SPEED);
    section.replaceChildren(h("h2", {}, "How fast is it?"), this.answers, this.bars, this.charts.element);
  }

  update(runs) {
    this.answers.replaceChildren(...runs.map((run) => answerOf(run, run.page.speed.answer, runs.length > 1)));
    this.bars.replaceChildren(...runs.filter((run) => Object.keys(run.page.speed.shares).length).map((run) =>
      h("div", {}, runs.length > 1 ? h("p", { class: "run-name" }, run.name) : null, shareBar(run.page.speed.shares))));
    this.charts.update(runs);
  }
}

