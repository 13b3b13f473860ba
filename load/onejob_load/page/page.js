"use strict";
/* Shows one snapshot of a run; asks for the next one every second unless it is a report. */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 190, LEFT = 52, BOTTOM = 20, TOP = 8;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

const count = (value) => (value ?? 0).toLocaleString("en");
const share = (value) => (value == null ? "–" : `${(value * 100).toFixed(1)} %`);
const index = (value) => (value == null ? "–" : value.toFixed(3));

function seconds(value) {
  if (value == null) return "–";
  if (value >= 1) return `${value.toFixed(2)} s`;
  return `${(value * 1000).toFixed(value >= 0.01 ? 1 : 2)} ms`;
}

/* ---- charts ---- */

const CHARTS = [
  { title: "Outcomes per second", stacked: true, width: 1300, format: count, series: [
    ["granted", "granted", "--granted"], ["busy", "refused (busy)", "--busy"],
    ["other", "updates and polls", "--other"], ["unexpected", "unexpected or failed", "--unexpected"],
    ["unanswered", "unanswered or no connection", "--unanswered"]] },
  { title: "Latency of granted publishes", format: seconds, series: [
    ["granted_p95", "p95", "--granted", "faint"], ["granted_p50", "median", "--granted"]] },
  { title: "Latency of refused publishes", format: seconds, series: [
    ["busy_p95", "p95", "--busy", "faint"], ["busy_p50", "median", "--busy"]] },
  { title: "Generator: lateness of its event loop", format: seconds, series: [
    ["lag", "lateness", "--unanswered"]] },
  { title: "Users", format: count, series: [["users", "users", "--running"]] },
];

function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 2.5, 5, 10].find((step) => step * power >= value);
}

class Chart {
  constructor(description) {
    Object.assign(this, { width: 640 }, description);
    this.legend = element("p", { class: "legend" });
    this.svg = shape("svg", { viewBox: `0 0 ${this.width} ${HEIGHT}`, role: "img", "aria-label": this.title });
    this.card = element("div", { class: "card" }, element("h2", {}, this.title), this.legend, this.svg);
    this.chosen = null;
    this.rows = [];
    this.svg.addEventListener("pointermove", (event) => this.choose(event));
    this.svg.addEventListener("pointerleave", () => { this.chosen = null; this.draw(); });
  }

  show(rows) {
    this.rows = rows;
    this.draw();
  }

  choose(event) {
    const box = this.svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * this.width;
    const place = Math.round((x - LEFT) / (this.width - LEFT) * (this.rows.length - 1));
    this.chosen = Math.max(0, Math.min(this.rows.length - 1, place));
    this.draw();
  }

  draw() {
    const { rows } = this;
    const top = niceCeiling(Math.max(0, ...rows.map((row) => this.stacked
      ? this.series.reduce((sum, [key]) => sum + row[key], 0)
      : Math.max(...this.series.map(([key]) => row[key] ?? 0)))));
    const x = (place) => LEFT + (this.width - LEFT) * (rows.length > 1 ? place / (rows.length - 1) : 0);
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    const drawn = [];
    for (const part of [0, 0.5, 1]) {
      drawn.push(shape("line", { class: "grid", x1: LEFT, x2: this.width, y1: y(part * top), y2: y(part * top) }));
      drawn.push(shape("text", { x: LEFT - 6, y: y(part * top) + 4, "text-anchor": "end" },
        this.format(part * top)));
    }
    if (rows.length) {
      drawn.push(shape("text", { x: LEFT, y: HEIGHT - 4 }, `${rows[0].second} s`));
      drawn.push(shape("text", { x: this.width, y: HEIGHT - 4, "text-anchor": "end" }, `${rows.at(-1).second} s`));
      drawn.push(...(this.stacked ? this.areas(x, y) : this.lines(x, y)));
    }
    if (this.chosen != null && rows.length) {
      const at = x(this.chosen);
      drawn.push(shape("line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    this.svg.replaceChildren(...drawn);
    this.describe();
  }

  areas(x, y) {
    const base = this.rows.map(() => 0);
    return this.series.map(([key, , color]) => {
      const lower = base.map((value, place) => `${x(place)},${y(value)}`).reverse();
      const upper = this.rows.map((row, place) => `${x(place)},${y(base[place] += row[key])}`);
      return shape("polygon", { class: "area", style: `--ink:var(${color})`, points: [...upper, ...lower].join(" ") });
    });
  }

  lines(x, y) {
    return this.series.map(([key, , color, style]) => {
      let pen = "M";
      const path = this.rows.map((row, place) => {
        if (row[key] == null) { pen = "M"; return ""; }
        const step = `${pen}${x(place)},${y(row[key])}`;
        pen = "L";
        return step;
      });
      return shape("path", { class: `line ${style ?? ""}`, style: `--ink:var(${color})`, d: path.join("") });
    });
  }

  describe() {
    const row = this.rows[this.chosen ?? this.rows.length - 1];
    const entries = this.series.map(([key, label, color, style]) => element("span", {},
      element("i", { class: style ?? "", style: `--ink:var(${color})` }), `${label} `,
      element("b", {}, row ? this.format(row[key]) : "–")));
    this.legend.replaceChildren(...entries, ...(row ? [`at ${row.second} s`] : []));
  }
}

/* ---- the rest of the page ---- */

function table(title, head, rows) {
  if (!rows.length) return [];
  const cells = (row) => row.map((cell) => (cell instanceof Node ? cell : element("td", {}, String(cell))));
  return [element("div", { class: "card", "data-table": title }, element("h2", {}, title), element("div", { class: "scroll" },
    element("table", {},
      element("thead", {}, element("tr", {}, ...head.map((name) => element("th", {}, name)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row)))))))];
}

function tile(value, label) {
  return element("div", { class: "tile" }, element("b", {}, value), element("span", {}, label));
}

function showVerdict(run) {
  document.getElementById("verdict").dataset.verdict = run.verdict;
  const words = { running: "holding so far", passed: "passed: the lock held", failed: "failed", inconclusive: "inconclusive" };
  document.getElementById("verdict-word").textContent = words[run.verdict];
  document.getElementById("verdict-because").textContent = run.because;
  document.getElementById("verdict-run").textContent =
    `${run.url}\n${count(run.figures["requests.count"])} operations in ${run.duration_s} s, seed ${run.settings.seed}`;
  document.title = `${words[run.verdict]} · ${run.url}`;
  const banner = document.getElementById("banner");
  banner.hidden = !run.limit;
  banner.textContent = `The generator, not the server, is the limit: ${run.limit}.`;
  document.getElementById("notes").replaceChildren(...run.notes.map((note) => element("li", {}, note)));
}

function showViolations(violations) {
  const section = document.getElementById("violations");
  section.hidden = !violations.examples.length;
  // Drawn anew only when there are others, so that what a reader has opened stays open.
  const shown = violations.examples.map((one) => `${one.kind} ${one.session}`).join();
  if (section.dataset.shown === shown) return;
  section.dataset.shown = shown;
  section.replaceChildren(...violations.examples.map((one) => element("div", { class: "card" },
    element("h2", {}, `${one.kind} in session ${one.session}`),
    element("p", {}, one.explanation),
    element("details", {}, element("summary", {}, "Witness"), ...table("", ["client", "operation", "outcome", "job", "from", "to"], one.witness.map((operation) => [
      operation.client, operation.operation, operation.outcome, operation.job ?? "–",
      seconds((operation.invoked_ns - one.witness[0].invoked_ns) / 1e9),
      operation.returned_ns == null ? "unknown" : seconds((operation.returned_ns - one.witness[0].invoked_ns) / 1e9)]))))));
}

function showTiles(figures) {
  document.getElementById("tiles").replaceChildren(
    tile(count(Math.round(figures["requests.rate"])), "operations per second"),
    tile(count(figures["granted.count"]), "publishes granted"),
    tile(share(figures["busy.rate"]), "of publishes refused as busy"),
    tile(seconds(figures["hold.p50"]), "median hold"),
    tile(seconds(figures["gap.p50"]), "median release to reacquire"),
    tile(share(figures.utilisation), "utilisation of contended sessions"),
    tile(index(figures["fairness.jain"]), "Jain fairness of contenders"),
    tile(seconds(figures["fairness.starvation"]), "longest starvation"),
    tile(count(figures["races.count"]), "race rounds"),
    tile(seconds(figures["races.spread"]), "median spread of release"),
    tile(share(figures["races.overlap"]), "of racing pairs overlapped"),
    tile(`${count(figures.violations)} and ${count(figures.stuck)}`, "sessions broken, and stuck"));
}

function showTables(run) {
  const figures = run.figures;
  const metric = (text) => text.match(/^[a-z0-9.]+/)[0];
  const measured = (one) => (/\.(p\d+|max|mean|spread|starvation|lag)$/.test(metric(one.text)) ? seconds(one.actual)
    : metric(one.text).endsWith(".rate") && metric(one.text) !== "requests.rate" ? share(one.actual)
      : one.actual == null ? "–" : count(one.actual));
  const statistics = ["count", "p50", "p90", "p95", "p99", "max"];
  document.getElementById("tables").replaceChildren(
    ...table("Thresholds", ["threshold", "measured", ""], run.thresholds.map((one) => [one.text, measured(one),
      element("td", { class: one.met ? "good" : "bad" }, one.met ? "met" : "missed")])),
    ...table("Latency, hold and gap", ["", ...statistics], ["granted", "busy", "update", "status", "hold", "gap"].map((name) => [
      name, ...statistics.map((one) => (one === "count" ? count : seconds)(figures[`${name}.${one}`]))])),
    ...table("Hottest sessions", ["session", "granted", "busy", "held", "median hold"], run.hottest.map((one) => [
      one.session, count(one.granted), count(one.busy), share(one.utilisation), seconds(one.hold_p50)])),
    ...table("Newest race rounds", ["session", "racers", "winners", "spread", "overlapped"], run.rounds.slice(-10).reverse().map((one) => [
      one.session, one.racers, element("td", { class: one.winners > 1 ? "bad" : "" }, String(one.winners)),
      seconds(one.spread_ns / 1e9), `${one.overlapping} of ${one.pairs}`])),
    ...table("Winners of a round", ["winners", "rounds"], Object.entries(run.winners).map(([winners, rounds]) => [
      winners, count(rounds)])),
    ...Object.entries(run.incidents).flatMap(([kind, entries]) => table(`Answers: ${kind}`, ["what came back", "times"],
      entries.map((one) => [element("td", {}, element("code", {}, one.text)), count(one.count)]))),
    ...table("Generators", ["process", "users", "loop late (p95)", "CPU of a core", ""], run.generators.map((one) => [
      one.generator, one.users, seconds(one.lag_p95), `${one.cpu_percent.toFixed(0)} %`, one.lost ? "lost" : ""])));
}

const charts = CHARTS.map((description) => new Chart(description));
document.getElementById("charts").append(...charts.map((chart) => chart.card));

function show(run) {
  showVerdict(run);
  showViolations(run.violations);
  showTiles(run.figures);
  for (const chart of charts) chart.show(run.finished ? run.timeline : run.timeline.slice(0, -1));
  showTables(run);
}

async function follow() {
  try {
    const answer = await fetch("data");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const run = await answer.json();
    if (run.schema) show(run);
  } catch (error) {
    const banner = document.getElementById("banner");
    banner.hidden = false;
    banner.textContent = `The web UI does not answer any more (${error.message}); what you see is its last word.`;
  }
  setTimeout(follow, 1000);
}

if (REPORT) show(REPORT);
else follow();
