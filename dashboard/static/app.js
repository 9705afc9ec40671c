// The page: which runs are shown, their data, and when to ask for newer data.
//
// The address keeps the choice: #run=NAME&with=OTHER. The server says when a run has changed; the page then
// fetches that run, at most once a second, and only while somebody looks at it.

import { Attention } from "./attention.js";
import { h } from "./dom.js";
import { Episodes } from "./episodes.js";
import { duration } from "./format.js";
import { Health, Speed } from "./health.js";
import { Learning } from "./learning.js";
import { Practice } from "./practice.js";

const MOST_RUNS = 4, RETRY_MS = 2000, REST_MS = 1000, LIST_MS = 10000;
const byId = (id) => document.getElementById(id);

let sections = [], shown = [], pages = new Map(), source = null, revisions = {}, connected = null, fetching = false, again = 0;

function choice() {
  const words = new URLSearchParams(location.hash.slice(1));
  return [...new Set([words.get("run"), ...words.getAll("with")].filter(Boolean))].slice(0, MOST_RUNS);
}

function choose(names) {
  const words = new URLSearchParams({ run: names[0] });
  names.slice(1).forEach((name) => words.append("with", name));
  location.hash = words.toString();
}

async function start() {
  clearTimeout(again);
  const runs = await listRuns();
  if (!runs.length) {
    again = setTimeout(start, RETRY_MS);
    return;
  }
  shown = choice().length ? choice() : [runs[0].name];
  const titles = { learning: Learning, videos: Episodes, practice: Practice, health: Health, speed: Speed, attention: Attention };
  sections = Object.entries(titles).map(([id, Section]) => new Section(byId(id)));
  pages = new Map();
  chooser(runs);
  await refresh();
  listen();
}

async function listRuns() {
  try {
    const answer = await fetch("/api/runs");
    const found = await answer.json();
    if (answer.ok && found.length) return found;
    problem(answer.ok ? "There is no run here yet. This page looks again every few seconds." : found.error);
  } catch {
    problem("The dashboard's server does not answer. This page tries again every few seconds.");
  }
  return [];
}

function chooser(runs) {
  const names = [...new Set([...runs.map((run) => run.name), ...shown])];
  byId("run").replaceChildren(...names.map((name) => h("option", { value: name }, name)));
  byId("run").value = shown[0];
  byId("compare").hidden = names.length < 2;
  byId("compare-list").replaceChildren(...names.filter((name) => name !== shown[0]).map((name) => {
    const box = h("input", { type: "checkbox", value: name });
    box.checked = shown.includes(name);
    box.disabled = !box.checked && shown.length >= MOST_RUNS;
    box.addEventListener("change", () => choose(box.checked ? [...shown, name] : shown.filter((other) => other !== name)));
    return h("label", {}, box, name);
  }));
}

function listen() {
  source?.close();
  source = new EventSource(`/live?${shown.map((name) => `run=${encodeURIComponent(name)}`).join("&")}`);
  source.onopen = () => { connected = true; tellLive(); };
  source.onerror = () => { connected = false; tellLive(); };
  source.onmessage = (event) => { revisions = JSON.parse(event.data); refresh(); };
}

// One at a time: what changes meanwhile is fetched by the next round.
async function refresh() {
  if (fetching || document.hidden) return;
  fetching = true;
  const stale = shown.filter((name) => !pages.has(name) || (revisions[name] ?? 0) > (pages.get(name).run?.revision ?? -1));
  const missing = (await Promise.all(stale.map(load))).filter(Boolean);
  if (stale.length) draw(missing);
  setTimeout(() => { fetching = false; if (shown.some((name) => (revisions[name] ?? 0) > (pages.get(name)?.run?.revision ?? Infinity))) refresh(); }, REST_MS);
}

async function load(name) {
  try {
    const answer = await fetch(`/api/run/${encodeURIComponent(name)}`);
    const found = await answer.json();
    if (!answer.ok) return found.error;
    pages.set(name, found);
    return null;
  } catch {
    return pages.has(name) ? null : "The dashboard's server does not answer.";
  }
}

function draw(errors) {
  const runs = shown.filter((name) => pages.has(name)).map((name, i) => ({ name, page: pages.get(name), color: `var(--run-${i})` }));
  const notes = runs.flatMap((run) => run.page.notes.map((note) => `${run.name}: ${note}.`));
  byId("problems").replaceChildren(...[...errors, ...differences(runs), ...notes].map((text) => h("p", { class: "problem" }, text)));
  document.body.classList.toggle("ready", runs.length > 0);
  if (!runs.length) return;
  about(runs);
  for (const section of sections) section.update(runs);
  performance.mark("drawn");
  tellLive();
}

// Runs of different kinds are shown together all the same, but the page says what cannot be compared.
function differences(runs) {
  const differ = (key) => new Set(runs.map((run) => run.page.run[key])).size > 1;
  const list = (key) => runs.map((run) => `${run.name}: ${run.page.run[key] || "unknown"}`).join(", ");
  const found = [];
  if (differ("suite")) found.push(`These runs practise different suites (${list("suite")}): their success does not compare.`);
  if (differ("advantage")) found.push(`These runs estimate advantages differently (${list("advantage")}): values and returns do not compare, and some are missing.`);
  return found;
}

function about(runs) {
  const { run, alarms } = runs[0].page;
  document.title = `${run.name} · vlarl`;
  const facts = [run.suite, run.mode && `${run.mode} mode`, run.advantage && `${run.advantage.toUpperCase()} advantages`, `seed ${run.seed}`, run.checkpoint && `from ${run.checkpoint}`];
  byId("about").replaceChildren(h("h1", {}, ...runs.flatMap((each, i) => [i ? h("span", { class: "against" }, "against") : "",
    h("span", {}, runs.length > 1 ? h("i", { class: "dot", style: { background: each.color } }) : "", each.name)])),
    h("p", { class: "note" }, facts.filter(Boolean).join(" · ")));
  const firing = alarms.filter((alarm) => alarm.state === "firing");
  byId("alarm-count").hidden = !firing.length;
  byId("alarm-count").textContent = firing.length;
  if (firing.length) byId("about").append(h("p", { class: "alarm-strip" }, h("b", {}, firing.length > 1 ? `${firing.length} alarms: ` : "Alarm: "),
    h("a", { href: "#attention", "data-to": "attention" }, firing.map((alarm) => alarm.title).join("; "))));
}

const STATES = { complete: "complete", stopped: "stopped", stopping: "was told to stop" };

function tellLive() {
  const page = pages.get(shown[0]);
  if (!page || connected === null) return;
  const age = Math.max(0, Date.now() / 1000 - page.run.last_time);
  const state = STATES[page.run.state] || (age > 1800 ? "silent" : "running");
  byId("live").className = `live ${connected ? state : "lost"}`;
  byId("live").textContent = connected ? `${state}, last word ${duration(age)} ago` : "connection lost, trying again";
}

function problem(text) {
  if (!pages.size) byId("problems").replaceChildren(h("p", { class: "problem" }, text));
}

// Links within the page scroll; the address is kept for the choice of runs.
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-to]");
  if (!link) return;
  event.preventDefault();
  byId(link.dataset.to).scrollIntoView({ behavior: "smooth" });
});
byId("run").addEventListener("change", () => choose([byId("run").value]));
addEventListener("hashchange", () => location.reload());
document.addEventListener("visibilitychange", refresh);
setInterval(tellLive, 1000);
setInterval(async () => {
  const runs = connected && !document.hidden ? await listRuns() : [];
  if (runs.length && !byId("compare").open) chooser(runs);
}, LIST_MS);
start();
