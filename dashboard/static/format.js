// Numbers and times as people read them.

const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

export const percent = (value) => `${Math.round(value * 100)}%`;

export const percentFine = (value) =>
  value !== 0 && Math.abs(value) < 0.1 ? `${trim((value * 100).toFixed(1))}%` : percent(value);

export function compact(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e6) return `${trim((value / 1e6).toFixed(1))}M`;
  if (size >= 1e4) return `${trim((value / 1e3).toFixed(1))}k`;
  if (size >= 100) return value.toFixed(0);
  if (size >= 1) return trim(value.toFixed(size >= 10 ? 1 : 2));
  if (size >= 0.001) return trim(value.toPrecision(2));
  return value.toExponential(1).replace(".0", "").replace("e-", "e−");
}

export const whole = (value) => Math.round(value).toLocaleString("en").replaceAll(",", " ");

export const seconds = (value) =>
  value !== 0 && value < 1 ? `${compact(value * 1000)} ms` : `${compact(value)} s`;

export function duration(value) {
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86400)} days`;
}

// libero_spatial/6 as "spatial 6": short enough for a chart's title.
export const shortTask = (task) => task.replace(/^libero_/, "").replace("/", " ");

export const rate = ([good, all, low, high]) =>
  `${percent(good / all)} (${good} of ${all}; ${percent(low)} to ${percent(high)})`;
