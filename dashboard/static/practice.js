// What is it practising? Success of every task over time, and what the curriculum makes of it.

import { Chart } from "./chart.js";
import { h } from "./dom.js";
import { HeatMap } from "./heatmap.js";
import { percent, percentFine, shortTask } from "./format.js";

const MOST_WEIGHTS = 24;

export class Practice {
  constructor(section) {
    this.answer = h("p", { class: "answer" });
    this.heat = new HeatMap();
    this.weights = h("div", { class: "grid small" });
    this.charts = new Map();
    this.weightsTitle = h("h3", { hidden: true }, "How often the curriculum draws each task");
    section.replaceChildren(h("h2", {}, "What is it practising?"), this.answer, this.heat.element, this.weightsTitle, this.weights);
  }

  update(runs) {
    const { practice, run } = runs[0].page;
    this.heat.draw(practice, run.instructions);
    this.answer.replaceChildren(...sentence(practice));
    const names = Object.keys(practice.weights).slice(0, MOST_WEIGHTS);
    this.weightsTitle.hidden = !names.length;
    const highest = Math.max(0, ...names.flatMap((name) => practice.weights[name].y));
    for (const name of names) {
      if (!this.charts.has(name)) {
        this.charts.set(name, new Chart({ title: shortTask(name), height: 84, small: true, format: percentFine, domain: [0, null] }));
        this.weights.append(this.charts.get(name).element);
      }
      const chart = this.charts.get(name);
      chart.options.domain = [0, Math.min(1, Math.ceil(highest * 10) / 10)];
      chart.draw([{ ...practice.weights[name], low: null, name: "", color: runs[0].color }]);
    }
  }
}

function sentence(practice) {
  const weights = Object.entries(practice.weights).map(([task, line]) => [task, line.y.at(-1)]).sort((a, b) => b[1] - a[1]);
  if (!practice.tasks.length) return ["No training episode has ended yet."];
  const number = practice.tasks.length;
  const tasks = h("b", {}, number === 1 ? "One task" : `${number} tasks`);
  if (!weights.length) return [tasks, " are being practised."];
  const [task, share] = weights[0], even = 1 / weights.length;
  if (number === 1) return [tasks, ` is being practised: ${shortTask(task)}.`];
  if (share < even * 1.1) return [tasks, " are being practised, all about equally often."];
  const rate = practice.estimates[task]?.y.at(-1);
  const why = rate === undefined ? "" : `, where the policy succeeds ${percent(rate)} of the time`;
  return [tasks, " are being practised; most of all ", h("b", {}, shortTask(task)), ` (${percent(share)} of the episodes)${why}.`];
}
