// Success per task (rows) and time (columns); how many episodes stand behind a cell shows in its size.

import { h, onWidth, s } from "./dom.js";
import { percent, shortTask } from "./format.js";

const ROW = 20, GAP = 2, BOTTOM = 22;

export class HeatMap {
  constructor() {
    this.plot = h("div", { class: "plot" });
    this.said = h("p", { class: "heat-said", role: "status" });
    this.element = h("figure", { class: "chart heat" },
      h("figcaption", {}, h("span", { class: "chart-title" }, "Success per task over time"),
        h("span", { class: "hint" }, "a narrow cell stands for few episodes; an empty one for none")),
      h("div", { class: "heat-key" }, "0%", h("i", { class: "heat-scale" }), "100%"), this.plot, this.said);
    onWidth(this.plot, () => this._render());
  }

  draw(practice, instructions) {
    this.practice = practice;
    this.instructions = instructions;
    this._render();
  }

  _render() {
    const width = Math.floor(this.plot.clientWidth);
    if (!width || !this.practice) return;
    const { tasks, columns, cells } = this.practice;
    const left = width < 500 ? 76 : 96, cellWidth = (width - left) / Math.max(1, columns.length);
    const height = tasks.length * ROW + BOTTOM;
    const most = Math.max(1, ...cells.flat().map(([, number]) => number));
    const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this._label() });
    tasks.forEach((task, row) => {
      svg.append(s("text", { class: "row-name", x: left - 8, y: row * ROW + 14, "text-anchor": "end" }, shortTask(task)));
      cells[row].forEach(([good, number], column) => number &&
        svg.append(this._cell(row, column, good, number, left, cellWidth, most)));
    });
    svg.append(...this._columnNames(left, cellWidth, height));
    this.plot.replaceChildren(svg);
  }

  _cell(row, column, good, number, left, cellWidth, most) {
    const share = 0.35 + 0.65 * Math.sqrt(number / most);
    const across = Math.max(1.5, (cellWidth - GAP) * share);
    const x = left + column * cellWidth + (cellWidth - across) / 2;
    const cell = s("rect", { class: "cell", x, y: row * ROW + GAP / 2, width: across, height: ROW - GAP, rx: Math.min(3, across / 3),
      style: { fill: `color-mix(in oklab, var(--heat-high) ${Math.round((good / number) * 100)}%, var(--heat-low))` } });
    cell.addEventListener("pointerenter", () => this._say(row, column, good, number));
    return cell;
  }

  _columnNames(left, cellWidth, height) {
    const { columns } = this.practice;
    const every = Math.max(1, Math.ceil(70 / cellWidth));
    return columns.filter((_, i) => i % every === 0).map((update, i) =>
      s("text", { class: "tick", x: left + (i * every + 0.5) * cellWidth, y: height - 6, "text-anchor": "middle" }, update))
      .concat(s("text", { class: "tick", x: left - 8, y: height - 6, "text-anchor": "end" }, "update"));
  }

  _say(row, column, good, number) {
    const { tasks, columns, width } = this.practice;
    const to = columns[column] + width - 1;
    const when = width > 1 ? `updates ${columns[column]} to ${to}` : `update ${columns[column]}`;
    const what = this.instructions[tasks[row]];
    this.said.textContent = `${shortTask(tasks[row])}, ${when}: ${good} of ${number} (${percent(good / number)})${what ? `. ${what}` : ""}`;
  }

  _label() {
    return `success of ${this.practice.tasks.length} tasks over ${this.practice.columns.length} spans of updates`;
  }
}
