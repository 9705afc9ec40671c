// Is it learning? Success with intervals, before and after, return and length of episodes.

import { beforeAfter } from "./bars.js";
import { Chart } from "./chart.js";
import { h } from "./dom.js";
import { compact, percent, shortTask, whole } from "./format.js";

const RATE = { format: percent, domain: [0, 1] };

export class Learning {
  constructor(section) {
    this.answers = h("div", { class: "answers" });
    this.facts = h("dl", { class: "facts" });
    this.success = new Chart({ ...RATE, title: "Success while training", hint: "sampled actions, all tasks; the band is the 95% interval", height: 290 });
    this.evaluations = h("div", { class: "evaluations" });
    this.tasks = h("div", { class: "grid small" });
    this.taskCharts = new Map();
    this.returns = new Chart({ title: "Return of an episode", hint: "environment reward; the band is the 95% interval of the mean" });
    this.steps = new Chart({ title: "Length of an episode", hint: "environment steps; the band is the 95% interval of the mean", domain: [0, null] });
    section.replaceChildren(h("h2", {}, "Is it learning?"), this.answers, this.facts,
      h("div", { class: "grid wide" }, this.success.element, this.evaluations),
      h("h3", {}, "Task by task"), this.tasks,
      h("div", { class: "grid halves" }, this.returns.element, this.steps.element));
  }

  update(runs) {
    this.answers.replaceChildren(...runs.map((run) => answerOf(run, run.page.learning.answer, runs.length > 1)));
    this.facts.replaceChildren(...(runs.length > 1 ? [] : facts(runs[0].page)));
    this.success.draw(runs.map((run) => ({ ...run.page.learning.success, name: nameIn(runs, run), color: run.color })));
    this.evaluations.replaceChildren(...evaluationParts(runs));
    this._drawTasks(runs);
    this.returns.draw(runs.map((run) => ({ ...run.page.learning.return, name: nameIn(runs, run), color: run.color })));
    this.steps.draw(runs.map((run) => ({ ...run.page.learning.steps, name: nameIn(runs, run), color: run.color })));
  }

  _drawTasks(runs) {
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.page.learning.tasks)))].sort(byNumber);
    for (const name of names) {
      if (!this.taskCharts.has(name)) {
        const chart = new Chart({ ...RATE, title: shortTask(name), height: 96, small: true });
        this.taskCharts.set(name, chart);
        this.tasks.append(chart.element);
      }
      const said = runs.map((run) => run.page.run.instructions[name]).find(Boolean);
      if (said) this.taskCharts.get(name).element.title = said;
      this.taskCharts.get(name).draw(runs.filter((run) => run.page.learning.tasks[name]).map((run) =>
        ({ ...run.page.learning.tasks[name], name: nameIn(runs, run), color: run.color })));
    }
  }
}

const byNumber = (a, b) => a.localeCompare(b, "en", { numeric: true });

export const nameIn = (runs, run) => (runs.length > 1 ? run.name : "");

export function answerOf(run, text, named) {
  const [verdict, ...rest] = text.split(/(?<=[.:]) /);
  return h("p", { class: "answer" }, named ? h("span", { class: "run-name" }, h("i", { class: "dot", style: { background: run.color } }), run.name) : null,
    h("b", {}, verdict), rest.length ? ` ${rest.join(" ")}` : "");
}

function facts(page) {
  const { run, learning } = page;
  const last = learning.evaluations.at(-1);
  const recent = learning.success.y.length - 1;
  return [
    fact("Updates", run.num_updates ? `${whole(run.update)} of ${whole(run.num_updates)}` : whole(run.update)),
    fact("Training episodes", whole(run.num_episodes)),
    fact("Success, latest", recent < 0 ? "none yet" : percent(learning.success.y[recent]),
      recent < 0 ? "" : `${percent(learning.success.low[recent])} to ${percent(learning.success.high[recent])}`),
    fact(`Evaluation, ${howJudged(last)}`, last ? percent(last.total[0] / last.total[1]) : "none yet",
      last ? `${percent(last.total[2])} to ${percent(last.total[3])}, after update ${last.update}` : ""),
  ];
}

const howJudged = (evaluation) => evaluation?.greedy === false ? "sampled" : "greedy";

const fact = (name, value, note = "") => h("div", {}, h("dt", {}, name), h("dd", {}, value), h("dd", { class: "note" }, note));

function evaluationParts(runs) {
  const rows = runs.flatMap((run) => evaluationRows(run, runs.length > 1));
  const caption = h("div", { class: "caption" }, h("span", { class: "chart-title" }, `Success before and after, ${howJudged(runs[0].page.learning.evaluations.at(-1))}`),
    h("span", { class: "hint" }, "published starts; ring before, dot after; lines are 95% intervals"));
  return [caption, rows.length ? beforeAfter(rows) : h("p", { class: "empty" }, "no evaluation has been made")];
}

function evaluationRows(run, compared) {
  const { evaluations } = run.page.learning;
  if (!evaluations.length) return [];
  const last = evaluations.at(-1).update ? evaluations.at(-1) : null;
  const first = evaluations[0] === last ? null : evaluations[0];
  const all = { name: compared ? run.name : "all tasks", before: first?.total, after: last?.total, color: run.color };
  if (compared) return [all];
  const tasks = Object.keys((first ?? last).tasks).sort(byNumber).slice(0, 12);
  return [all, ...tasks.map((task) => ({ name: shortTask(task), before: first?.tasks[task], after: last?.tasks[task], color: run.color }))];
}
