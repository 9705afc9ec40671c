// A line chart with bands, drawn as SVG, sized by its element, with a cursor that tells the values.
//
// In: lines {name, color, x, y, low?, high?}, and how to write a value. Out: the chart, drawn again whenever
// `draw` is called with newer lines or its width changes.

import { h, onWidth, s } from "./dom.js";
import { compact } from "./format.js";

const LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 22;

export class Chart {
  // options: title, hint, height, format, domain ([low, high], each may be null), bound {value, label}
  constructor(options) {
    this.options = { height: 150, format: compact, domain: [null, null], ...options };
    this.lines = [];
    this.plot = h("div", { class: "plot" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.key = h("span", { class: "key", hidden: true });
    this.empty = h("p", { class: "empty", hidden: true }, "nothing recorded yet");
    this.element = h("figure", { class: "chart" },
      h("figcaption", {}, h("span", { class: "chart-title" }, options.title),
        options.hint ? h("span", { class: "hint" }, options.hint) : null, this.key),
      h("div", { class: "plot-frame" }, this.plot, this.tip, this.empty));
    this.plot.addEventListener("pointermove", (event) => this._point(event));
    this.plot.addEventListener("pointerleave", () => this._leave());
    onWidth(this.plot, () => this._render());
  }

  draw(lines, bound = this.options.bound) {
    this.lines = lines.filter((line) => line.x.length);
    this.bound = bound;
    this.empty.hidden = this.lines.length > 0;
    this._drawKey();
    this._render();
  }

  _drawKey() {
    const entries = this.lines.filter((line) => line.name).map((line) =>
      h("span", {}, h("i", { class: "dot", style: { background: line.color } }), line.name));
    if (this.bound) entries.push(h("span", {}, h("i", { class: "dash" }), this.bound.label));
    this.key.hidden = this.options.small || !entries.length;
    this.key.replaceChildren(...entries);
  }

  _render() {
    const width = Math.floor(this.plot.clientWidth);
    if (!width) return;
    const height = this.options.height;
    this.scale = scales(this.lines, this.options.domain, this.bound, width, height);
    const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this._label() });
    if (this.lines.length) {
      svg.append(...this._axes(width, height), ...this.lines.map((line) => this._band(line)).filter(Boolean));
      if (this.bound) svg.append(this._boundLine(width));
      svg.append(...this.lines.flatMap((line) => this._line(line)));
    }
    this.cursor = s("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
    svg.append(this.cursor);
    this.plot.replaceChildren(svg);
  }

  _label() {
    const last = this.lines.map((line) => `${line.name || "value"} ${this.options.format(line.y.at(-1))}`);
    return `${this.options.title || "chart"}: ${last.join(", ") || "nothing recorded yet"}`;
  }

  _axes(width, height) {
    const { x, y, ticksY, ticksX } = this.scale;
    return [
      ...ticksY.flatMap((value) => [
        s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        s("text", { class: "tick", x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, this.options.format(value)),
      ]),
      ...ticksX.map((value) =>
        s("text", { class: "tick", x: x(value), y: height - 6, "text-anchor": "middle" }, compact(value))),
    ];
  }

  _boundLine(width) {
    const at = this.scale.y(this.bound.value);
    return s("line", { class: "bound", x1: LEFT, x2: width - RIGHT, y1: at, y2: at });
  }

  _band(line) {
    if (!line.low) return null;
    const { x, y } = this.scale;
    const top = line.x.map((at, i) => `${x(at).toFixed(1)},${y(line.high[i]).toFixed(1)}`);
    const bottom = line.x.map((at, i) => `${x(at).toFixed(1)},${y(line.low[i]).toFixed(1)}`).reverse();
    return s("polygon", { class: "band", points: [...top, ...bottom].join(" "), style: { fill: line.color } });
  }

  _line(line) {
    const { x, y } = this.scale;
    const points = line.x.map((at, i) => `${x(at).toFixed(1)},${y(line.y[i]).toFixed(1)}`);
    const last = line.x.length - 1;
    return [
      s("polyline", { class: "line", points: points.join(" "), style: { stroke: line.color } }),
      s("circle", { class: "last", r: 3, cx: x(line.x[last]), cy: y(line.y[last]), style: { fill: line.color } }),
    ];
  }

  _point(event) {
    if (!this.lines.length) return;
    const box = this.plot.getBoundingClientRect();
    const at = this.scale.toX(event.clientX - box.left);
    const found = this.lines.map((line) => ({ line, i: nearest(line.x, at) }));
    const left = this.scale.x(found[0].line.x[found[0].i]);
    this.cursor.setAttribute("x1", left);
    this.cursor.setAttribute("x2", left);
    this.cursor.setAttribute("visibility", "visible");
    this.tip.replaceChildren(
      h("div", { class: "tip-head" }, `${this.options.xName || "update"} ${found[0].line.x[found[0].i]}`),
      ...found.map(({ line, i }) => this._tipRow(line, i)));
    this.tip.hidden = false;
    const room = box.width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, left + (left > box.width / 2 ? -this.tip.offsetWidth - 10 : 10)))}px`;
  }

  _tipRow(line, i) {
    const write = this.options.format;
    const span = line.low ? ` (${write(line.low[i])} to ${write(line.high[i])})` : "";
    const number = line.n ? `, ${line.n[i]} episodes` : "";
    return h("div", {}, h("i", { class: "dot", style: { background: line.color } }),
      `${line.name ? `${line.name} ` : ""}${write(line.y[i])}${span}${number}`);
  }

  _leave() {
    this.tip.hidden = true;
    this.cursor?.setAttribute("visibility", "hidden");
  }
}

function scales(lines, domain, bound, width, height) {
  const xs = lines.flatMap((line) => [line.x[0], line.x.at(-1)]);
  const [x0, x1] = xs.length ? [Math.min(...xs), Math.max(...xs)] : [0, 1];
  const [y0, y1, ticksY] = verticalRange(lines, domain, bound, Math.max(2, Math.round(height / 32)));
  const spanX = x1 - x0 || 1, inner = width - LEFT - RIGHT;
  return {
    x: (value) => (x1 === x0 ? LEFT + inner / 2 : LEFT + ((value - x0) / spanX) * inner),
    y: (value) => TOP + (1 - (clamp(value, y0, y1) - y0) / (y1 - y0)) * (height - TOP - BOTTOM),
    toX: (pixel) => x0 + ((pixel - LEFT) / inner) * spanX,
    ticksY,
    ticksX: niceTicks(x0, x1, Math.max(2, Math.floor(width / 110))).filter((t) => Number.isInteger(t) && t >= x0 && t <= x1),
  };
}

function verticalRange(lines, domain, bound, number) {
  // The line decides the scale: a single wild value in a band must not flatten it.
  const means = lines.flatMap((line) => line.y).concat(bound ? [bound.value * 1.1] : []);
  const spread = lines.flatMap((line) => (line.low ? [...line.low, ...line.high] : []));
  let low = reduce(means, Math.min, 0), high = reduce(means, Math.max, 1);
  const reach = (high - low || Math.abs(high) || 1) * 0.6;
  low = Math.max(reduce(spread, Math.min, low), low - reach);
  high = Math.min(reduce(spread, Math.max, high), high + reach);
  if (domain[0] !== null) low = domain[0];
  if (domain[1] !== null) high = domain[1];
  if (high <= low) [low, high] = [low - (low === 0 ? 0 : Math.abs(low) * 0.1), low + (Math.abs(low) * 0.1 || 1)];
  const margin = (high - low) * 0.06;
  if (domain[0] === null) low -= margin;
  if (domain[1] === null) high += margin;
  return [low, high, niceTicks(low, high, number)];
}

const reduce = (values, pick, otherwise) => (values.length ? values.reduce((a, b) => pick(a, b)) : otherwise);

export function niceTicks(low, high, number) {
  const span = high - low || 1, raw = span / number, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((m) => m >= raw * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(Number((k * step).toPrecision(12)));
  return ticks.length > 1 ? ticks : [low, high];
}

export function nearest(sorted, value) {
  let low = 0, high = sorted.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle; else high = middle;
  }
  return value - sorted[low] < sorted[high] - value ? low : high;
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
