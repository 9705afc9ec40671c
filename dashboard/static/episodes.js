// What does it look like? Choose an episode, and play it beside what was thought at each moment.

import { h } from "./dom.js";
import { Player } from "./player.js";
import { shortTask, whole } from "./format.js";

const ORDERS = { newest: "Newest", best: "Best", worst: "Worst" };
const MEANING = { newest: "", best: "fastest successes first", worst: "failures, least reward and longest first" };

export class Episodes {
  constructor(section) {
    this.order = "newest";
    this.task = "";
    this.answer = h("p", { class: "answer" });
    this.orders = h("div", { class: "segmented", role: "group", "aria-label": "Order" }, ...Object.entries(ORDERS).map(([order, name]) =>
      h("button", { type: "button", "data-order": order, onclick: () => this._choose({ order }) }, name)));
    this.tasks = h("select", { "aria-label": "Task", onchange: () => this._choose({ task: this.tasks.value }) });
    this.list = h("ul", { class: "episodes" });
    this.player = new Player();
    section.replaceChildren(h("h2", {}, "What does it look like?"), this.answer,
      h("div", { class: "chooser" }, this.orders, this.tasks, this.meaning = h("span", { class: "hint" })),
      h("div", { class: "watch" }, this.list, this.player.element));
  }

  async update(runs) {
    const { run } = runs[0].page;
    this.answer.textContent = run.num_videos ? `${whole(run.num_videos)} episodes were filmed.` :
      "No episode was filmed yet (run.video_every says how many are).";
    const key = `${run.name} ${run.num_videos}`;
    if (key === this.key) return;
    const sameRun = this.run === run.name;
    [this.key, this.run] = [key, run.name];
    if (!sameRun) { this.task = ""; this.player.clear(); }
    this.tasks.replaceChildren(h("option", { value: "" }, "all tasks"),
      ...run.video_tasks.map((task) => h("option", { value: task }, shortTask(task))));
    this.tasks.value = this.task;
    await this._list();
  }

  async _choose(choice) {
    Object.assign(this, choice);
    await this._list();
  }

  async _list() {
    for (const button of this.orders.children) button.setAttribute("aria-pressed", button.dataset.order === this.order);
    this.meaning.textContent = MEANING[this.order];
    const query = new URLSearchParams({ order: this.order, task: this.task });
    const answer = await fetch(`/api/run/${encodeURIComponent(this.run)}/episodes?${query}`);
    if (!answer.ok) return;
    const episodes = await answer.json();
    this.list.replaceChildren(...episodes.map((episode) => this._entry(episode)));
    if (!episodes.length) this.list.replaceChildren(h("li", { class: "empty" }, "none of these"));
    if (episodes.length && !this.player.episode) this._play(episodes[0]);
    this._mark();
  }

  _entry(episode) {
    const kind = episode.evaluation === null ? `policy ${episode.version}` : `evaluation ${episode.evaluation}`;
    return h("li", {}, h("button", { type: "button", "data-episode": episode.id, onclick: () => this._play(episode, true) },
      h("span", { class: `outcome ${episode.success ? "good" : "bad"}` }, episode.success ? "✓" : "✕"),
      h("span", {}, h("b", {}, shortTask(episode.task)), h("span", { class: "note" }, `${episode.success ? "solved" : "failed"}, ${episode.steps} steps · ${kind}`))));
  }

  async _play(episode, now = false) {
    await this.player.show(this.run, episode, now);
    this._mark();
  }

  _mark() {
    for (const button of this.list.querySelectorAll("button")) {
      button.setAttribute("aria-current", button.dataset.episode === this.player.episode);
    }
  }
}
