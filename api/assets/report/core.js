"use strict";
// What all charts share: the data, the colours of the present theme, the axes, and redrawing when the theme changes.
const report = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const narrow = () => window.matchMedia("(max-width: 46rem)").matches;
const charts = [];

// Sources in Okabe and Ito's colours, uses in Tol's muted ones: the same colour means the same thing in every chart.
const COLOURS = {
  solar: "#E69F00", wind: "#56B4E9", hydro: "#0072B2", biomass: "#009E73", storage: "#CC79A7", grid: "#8A9099", fuel: "#D55E00",
  household: "#A3335F", commercial: "#5B52B5", agricultural: "#2E8B57", industrial: "#AA4499", ev: "#44AA99",
  heat_pump: "#DDCC77", battery: "#CC79A7", export: "#8A9099", losses: "#8C564B",
};
const SPARE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A5195", "#8A9099"];
const colourOf = (name, index) => COLOURS[name] || SPARE[index % SPARE.length];

function theme() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    paper: value("--paper"), card: value("--card"), ink: value("--ink"), soft: value("--soft"),
    rule: value("--rule"), accent: value("--accent"), good: value("--good"), bad: value("--bad"), sans: value("--sans"),
  };
}

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
};

function axis(title, extra) {
  const t = theme();
  return Object.assign({
    title: { text: title, standoff: 8, font: { size: 13, color: t.soft } }, gridcolor: t.rule, linecolor: t.rule,
    zerolinecolor: t.soft, tickfont: { color: t.soft, size: 12 }, automargin: true,
  }, extra || {});
}

// The axis of delivery slots, one tick about every three hours of a day (six on a phone).
function timeAxis(extra) {
  const times = report.times;
  const wanted = narrow() || document.documentElement.classList.contains("printing") ? 4 : 8;
  const step = times.length <= wanted ? 1 : Math.ceil(times.length / wanted / 4) * 4;
  return axis("delivery slot, " + report.zone, Object.assign({
    type: "category", tickvals: times.filter((_, index) => index % step === 0), tickangle: 0,
    unifiedhovertitle: { text: "slot %{x} UTC" }, range: [-0.5, times.length - 0.5], zeroline: false,
  }, extra || {}));
}

// A horizontal line with its place in the legend.
const levelLine = (name, value, colour, dash) => ({
  type: "line", name, showlegend: true, xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { color: colour, width: 1.5, dash },
});

function layout(extra) {
  const t = theme();
  return Object.assign({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: t.sans, color: t.ink, size: 13 },
    margin: { l: 54, r: 16, t: 12, b: 44 }, hovermode: "x unified", dragmode: false,
    hoverlabel: { bgcolor: t.card, bordercolor: t.rule, font: { color: t.ink, family: t.sans } },
    legend: Object.assign({ orientation: "h", y: 1.02, yanchor: "bottom", traceorder: "normal", font: { size: 12, color: t.ink } },
      narrow() ? { x: -0.08, itemwidth: 30, font: { size: 11, color: t.ink } } : { x: 0 }),
  }, extra || {});
}

const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false };

// `make` returns [traces, layout]; it is called again when the theme or the width class changes.
function chart(id, make) {
  const node = byId("chart-" + id);
  if (!node) return () => {};
  const draw = (anew) => {
    if (anew === true) Plotly.purge(node); // a colour bar that turns over would leave its old self behind
    const [traces, shape] = make();
    return Plotly.react(node, traces, shape, CONFIG);
  };
  charts.push(draw);
  draw();
  return draw;
}

const fixed = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

function themeButton() {
  const button = byId("theme");
  const label = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.title = isDark() ? "Use light colours" : "Use dark colours";
  };
  button.hidden = false;
  label();
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
    charts.forEach((draw) => draw());
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { label(); charts.forEach((draw) => draw()); });
  window.matchMedia("(max-width: 46rem)").addEventListener("change", () => charts.forEach((draw) => draw(true)));
}

// Paper is white and as wide as it is: charts are drawn anew for it, and for the screen afterwards.
function printing() {
  const root = document.documentElement;
  let chosen;
  const fit = () => {
    charts.forEach((draw) => draw());
    document.querySelectorAll(".chart").forEach((node) => Plotly.relayout(node, { width: node.clientWidth, height: node.clientHeight }));
  };
  window.addEventListener("beforeprint", () => {
    chosen = root.dataset.theme;
    root.dataset.theme = "light";
    root.classList.add("printing");
    fit();
  });
  window.addEventListener("afterprint", () => {
    root.classList.remove("printing");
    if (chosen) root.dataset.theme = chosen; else delete root.dataset.theme;
    charts.forEach((draw) => draw());
    window.dispatchEvent(new Event("resize"));
  });
}

// A native range input with its text and a play button. `show` is called with each new position, and whether it plays.
function slider(id, show) {
  const input = byId(id);
  const text = byId(id + "-text");
  const play = byId(id + "-play");
  let timer = null;
  const say = () => {
    text.textContent = report.times[Number(input.value)] + " UTC";
    input.setAttribute("aria-valuetext", text.textContent);
  };
  const set = () => { say(); show(Number(input.value), timer !== null); };
  const stop = () => { clearTimeout(timer); timer = null; play.textContent = "Play"; };
  const step = () => {
    input.value = String((Number(input.value) + 1) % report.times.length);
    set();
    timer = setTimeout(step, 130); // after the drawing, however long it takes on this feeder
  };
  input.addEventListener("input", () => { if (timer) stop(); set(); });
  play.addEventListener("click", () => {
    if (timer) { stop(); set(); return; }
    play.textContent = "Pause";
    timer = setTimeout(step, 0);
  });
  say();
}
