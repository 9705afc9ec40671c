// Rates with their intervals before and after, and shares of time as one bar.

import { h } from "./dom.js";
import { percent, rate } from "./format.js";

// One row per task: where success was and where it is, each with its 95 % interval.
export function beforeAfter(rows) {
  return h("div", { class: "dumbbells" },
    h("div", { class: "dumbbell axis", "aria-hidden": "true" }, h("span", {}),
      h("span", { class: "track-scale" }, ...[0, 25, 50, 75, 100].map((p) => h("i", { style: { left: `${p}%` } }, `${p}%`))),
      h("span", {})),
    ...rows.map(dumbbell));
}

function dumbbell({ name, before, after, color }) {
  const marks = before ? [span(before, "before", color), ...mark(before, "before", color)] : [];
  if (after) marks.push(span(after, "after", color), ...mark(after, "after", color));
  const said = [before && `before ${rate(before)}`, after && `after ${rate(after)}`].filter(Boolean).join("; ");
  return h("div", { class: "dumbbell", title: said }, h("span", { class: "dumbbell-name" }, name),
    h("span", { class: "track", role: "img", "aria-label": `${name}: ${said}` }, ...marks),
    h("span", { class: "dumbbell-said" }, [before, after].filter(Boolean).map(([k, n]) => percent(k / n)).join(" → ")));
}

const span = ([, , low, high], when, color) =>
  h("i", { class: `interval ${when}`, style: { left: `${low * 100}%`, width: `${(high - low) * 100}%`, background: color } });

const mark = ([good, all], when, color) =>
  [h("i", { class: `mark-dot ${when}`, style: { left: `${(good / all) * 100}%`, borderColor: color, ...(when === "after" ? { background: color } : {}) } })];

export const STAGES = {
  update: "learner updates", publish: "weights pushed", checkpoint: "checkpoints", evaluation: "evaluation", wait: "learner waits for episodes",
};

export function shareBar(shares) {
  const parts = Object.keys(STAGES).filter((name) => (shares[name] || 0) >= 0.002);
  return h("div", { class: "shares" },
    h("div", { class: "share-bar", role: "img", "aria-label": parts.map((name) => `${STAGES[name]} ${percent(shares[name])}`).join(", ") },
      ...parts.map((name) => h("span", { class: `share share-${name}`, style: { flexGrow: shares[name] } }))),
    h("ul", { class: "share-key" }, ...parts.map((name) =>
      h("li", {}, h("i", { class: `swatch share-${name}` }), `${STAGES[name]} `, h("b", {}, percent(shares[name]))))));
}
