// What needs attention? Every rule, those that fire first, in words.

import { h } from "./dom.js";

const STATES = { firing: "alarm", quiet: "fine", unknown: "cannot tell yet" };

export class Attention {
  constructor(section) {
    this.answer = h("p", { class: "answer" });
    this.firing = h("div", { class: "alarms" });
    this.others = h("ul", { class: "checks" });
    section.replaceChildren(h("h2", {}, "What needs attention?"), this.answer, this.firing,
      h("details", {}, h("summary", {}, "All other checks"), this.others));
  }

  update(runs) {
    const { alarms } = runs[0].page;
    const firing = alarms.filter((alarm) => alarm.state === "firing");
    this.answer.replaceChildren(h("b", {}, firing.length ? `${firing.length} ${firing.length > 1 ? "things" : "thing"}.` : "Nothing."));
    this.firing.replaceChildren(...firing.map((alarm) => h("article", { class: "alarm", "data-alarm": alarm.name },
      h("h3", {}, alarm.title), h("p", {}, alarm.says), h("p", { class: "advice" }, alarm.advice), h("p", { class: "note" }, `Fires at ${alarm.threshold}.`))));
    this.others.replaceChildren(...alarms.filter((alarm) => alarm.state !== "firing").map((alarm) =>
      h("li", { class: alarm.state, title: `Fires at ${alarm.threshold}.` }, h("span", { class: "state" }, STATES[alarm.state]),
        h("span", {}, h("b", {}, alarm.title), h("span", { class: "note" }, alarm.says)))));
  }
}
