// A video beside the numbers of the same moments, with one cursor for both.
//
// Frame i of a video shows what decision i saw; the last frame is what the last decision led to. So decision i of
// T lies at i / (T + 1) of the video's time.

import { h, onWidth, s } from "./dom.js";
import { compact, shortTask } from "./format.js";

const HEIGHT = 84, LEFT = 40, RIGHT = 8, TOP = 8, BOTTOM = 8;
const PLOTS = [
  ["rprm_score", "Progress", "what the reward model sees, 0 to 1", [0, 1], "--run-0"],
  ["value", "Value", "what the critic expects to earn from here", [null, null], "--run-1"],
  ["entropy", "Entropy", "how undecided the policy is, nats per token", [0, null], "--run-2"],
  ["surprise", "Surprise", "−log-probability of the chosen tokens; its mean is the entropy", [0, null], "--run-3"],
];

export class Player {
  constructor() {
    this.episode = null;
    this.video = h("video", { controls: true, muted: true, playsinline: true, preload: "auto", loop: true });
    this.video.muted = true;
    this.caption = h("p", { class: "player-caption" });
    this.problem = h("p", { class: "problem", hidden: true });
    this.plots = h("div", { class: "moments" });
    this.element = h("div", { class: "player", hidden: true },
      h("div", { class: "player-video" }, this.video, this.problem, this.caption), this.plots);
    this.video.addEventListener("error", () => this._fail("The video cannot be played: its file is missing or damaged."));
    this.video.addEventListener("timeupdate", () => this._move());
    this.video.addEventListener("seeked", () => this._move());
    this.video.addEventListener("play", () => this._follow());
    onWidth(this.plots, () => this._render());
  }

  clear() {
    this.episode = null;
    this.video.removeAttribute("src");
    this.element.hidden = true;
  }

  async show(run, episode, play) {
    this.episode = episode.id;
    const path = `${encodeURIComponent(run)}/${encodeURIComponent(episode.id)}`;
    const answer = await fetch(`/api/run/${path.replace("/", "/episode/")}`);
    if (this.episode !== episode.id) return;
    const details = answer.ok ? await answer.json() : { moments: {}, video: false };
    this.element.hidden = false;
    this.moments = details.moments;
    this.problem.hidden = true;
    this.video.hidden = false;
    if (details.video) {
      this.video.src = `/video/${path}`;
      if (play) this.video.play().catch(() => {});
    } else {
      this._fail("The video of this episode is not there.");
    }
    this.caption.replaceChildren(h("b", {}, details.instruction || shortTask(episode.task)),
      h("span", { class: "note" }, `${episode.start}, ${episode.success ? "solved" : "failed"} after ${episode.steps} steps`));
    this._render();
  }

  _fail(text) {
    if (!this.episode) return;
    this.video.removeAttribute("src");
    this.video.hidden = true;
    this.problem.hidden = false;
    this.problem.textContent = text;
  }

  _render() {
    const width = Math.floor(this.plots.clientWidth);
    if (!width || !this.moments) return;
    const shown = PLOTS.filter(([name]) => this.moments[name] && !(name === "surprise" && this.moments.entropy));
    this.numFrames = 1 + Math.max(0, ...shown.map(([name]) => this.moments[name].length));
    this.cursors = [];
    this.plots.replaceChildren(...shown.map((plot) => this._plot(plot, width)));
    if (!shown.length) this.plots.replaceChildren(h("p", { class: "empty" }, "No numbers were recorded for the moments of this episode."));
    this._move();
  }

  _plot([name, title, meaning, domain, color], width) {
    const values = this.moments[name];
    const low = domain[0] ?? Math.min(...values), high = Math.max(domain[1] ?? Math.max(...values), low + 1e-6);
    const x = (i) => LEFT + (i / (this.numFrames - 1)) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const cursor = s("line", { class: "cursor", y1: 2, y2: HEIGHT - 2 });
    const dot = s("circle", { class: "last", r: 4, style: { fill: `var(${color})` } });
    const said = h("b", {});
    this.cursors.push({ cursor, dot, said, x, y, values });
    const svg = s("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${title} over the episode` },
      ...[low, high].flatMap((value) => [
        s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        s("text", { class: "tick", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, compact(value))]),
      s("polyline", { class: "line", points, style: { stroke: `var(${color})` } }), cursor, dot);
    svg.addEventListener("pointerdown", (event) => this._seek(event, svg, width));
    svg.addEventListener("pointermove", (event) => event.buttons && this._seek(event, svg, width));
    return h("figure", { class: "moment" }, h("figcaption", {}, h("span", { class: "chart-title" }, title, " ", said), h("span", { class: "hint" }, meaning)), svg);
  }

  _seek(event, svg, width) {
    const at = (event.clientX - svg.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT);
    if (this.video.duration) this.video.currentTime = Math.max(0, Math.min(0.9999, at)) * this.video.duration;
  }

  _follow() {
    this._move();
    if (!this.video.paused && !this.video.ended) requestAnimationFrame(() => this._follow());
  }

  _move() {
    const at = this.video.duration ? this.video.currentTime / this.video.duration : 0;
    const frame = Math.min(this.numFrames - 1, Math.floor(at * this.numFrames + 1e-6));
    for (const { cursor, dot, said, x, y, values } of this.cursors || []) {
      const value = values[Math.min(frame, values.length - 1)];
      cursor.setAttribute("x1", x(frame));
      cursor.setAttribute("x2", x(frame));
      dot.setAttribute("cx", x(frame));
      dot.setAttribute("cy", y(value));
      said.textContent = compact(value);
    }
  }
}
