"use strict";
// The overview of differences, then one chart for each figure: every run as a dot, the runs of one seed joined, and the
// mean with its interval beside them, a column for each scenario or design.
const place = (index, side) => index + 0.14 * side;

// Names of columns as ticks: broken at their joints where they are too long for the room, and turned where that is not enough.
function columnAxis() {
  const room = (narrow() ? 40 : 62) / report.columns.length;
  const reach = (names) => Math.max(...names.flatMap((name) => name.split("<br>")).map((part) => part.length));
  const broken = report.columns.map((name) => name.replace(/([_+-])/g, "$1<br>"));
  const names = reach(report.columns) > room && reach(broken) <= room ? broken : report.columns;
  const longest = reach(names);
  return axis("", {
    tickvals: report.columns.map((_, index) => index), ticktext: names, range: [-0.5, report.columns.length - 0.5],
    title: { text: "" }, zeroline: false, showgrid: false, tickangle: longest > room ? -40 : 0,
  });
}

function drawOverview() {
  const overview = report.overview;
  if (!overview || !overview.rows.length) return;
  const select = byId("overview-of");
  const all = report.columns.slice(1).map((column, index) => ({ column, index }));
  const draw = chart("overview", () => {
    const t = theme();
    const others = select ? all.filter((item) => item.index === Number(select.value)) : all;
    const labels = overview.rows.map((row) => row.label);
    const ends = overview.rows.flatMap((row) => others.flatMap((item) => row.differences[item.index]));
    const reach = Math.max(...ends.map((end) => Math.abs(end || 0)), 1);
    const most = Math.min(reach * 1.08, overview.most);
    const inside = (value) => Math.max(-most, Math.min(most, value));
    const traces = others.map(({ column, index }) => {
      const colour = colourOf("", index + 1);
      const rows = overview.rows.map((row, line) => ({ row, line, found: row.differences[index] })).filter((item) => item.found[0] !== null);
      const shift = others.length > 1 ? (index / (others.length - 1) - 0.5) * Math.min(0.6, 0.16 * others.length) : 0;
      const beyond = (item) => Math.abs(item.found[0]) > most;
      return {
        type: "scatter", mode: "markers", name: column, x: rows.map((item) => inside(item.found[0])), y: rows.map((item) => item.line + shift),
        marker: {
          size: rows.map((item) => (beyond(item) ? 11 : 9)), color: rows.map((item) => (item.row.clear[index] ? colour : t.card)), line: { color: colour, width: 2 },
          symbol: rows.map((item) => (beyond(item) ? (item.found[0] > 0 ? "triangle-right" : "triangle-left") : "circle")),
        },
        error_x: {
          type: "data", symmetric: false, color: colour, thickness: 1.6, width: 4,
          array: rows.map((item) => (item.found[2] === null ? 0 : Math.max(0, inside(item.found[2]) - inside(item.found[0])))),
          arrayminus: rows.map((item) => (item.found[1] === null ? 0 : Math.max(0, inside(item.found[0]) - inside(item.found[1])))),
        },
        text: rows.map((item) => `<b>${item.row.label}</b>, ${column}: ${item.row.said[index]} (${fixed(item.found[0], 1)} %)`), hoverinfo: "text",
      };
    });
    return [traces, layout({
      hovermode: "closest", showlegend: others.length > 1, margin: { l: 54, r: 20, t: 12, b: 44 },
      xaxis: axis(`difference, % of ${report.columns[0]}`, { range: [-most, most], zeroline: true, zerolinewidth: 1.5 }),
      yaxis: axis("", { title: { text: "" }, tickvals: labels.map((_, line) => line), ticktext: labels, range: [labels.length - 0.4, -0.6], zeroline: false }),
    })];
  });
  if (select) select.addEventListener("change", draw);
}

function drawFigures() {
  report.measures.forEach((measure) => chart(measure.name, () => {
    const t = theme();
    const say = (value) => fixed(value, measure.digits) + (measure.unit ? " " + measure.unit : "");
    const dots = measure.values.flatMap((values, index) => values.map((value, at) => ({ index, value, seed: report.seeds[at] })))
      .filter((dot) => dot.value !== null);
    const means = measure.intervals.map((found, index) => Object.assign({ index }, found)).filter((found) => found.mean !== null);
    const between = (found) => (found.low === null ? "" : `<br>95 %: ${fixed(found.low, measure.digits)} to ${say(found.high)}`);
    const lines = { x: [], y: [] };
    report.seeds.forEach((_, at) => {
      report.columns.forEach((__, index) => { lines.x.push(place(index, -1)); lines.y.push(measure.values[index][at]); });
      lines.x.push(null); lines.y.push(null);
    });
    return [[
      { type: "scatter", mode: "lines", showlegend: false, hoverinfo: "skip", x: lines.x, y: lines.y, line: { color: t.soft, width: 0.7 }, opacity: 0.45 },
      {
        type: "scatter", mode: "markers", showlegend: false, x: dots.map((dot) => place(dot.index, -1)), y: dots.map((dot) => dot.value),
        marker: { size: 6, opacity: 0.6, color: dots.map((dot) => colourOf("", dot.index)) },
        text: dots.map((dot) => `${report.columns[dot.index]}, seed ${dot.seed}: ${say(dot.value)}`), hoverinfo: "text",
      },
      {
        type: "scatter", mode: "markers", showlegend: false, x: means.map((found) => place(found.index, 1)), y: means.map((found) => found.mean),
        marker: { size: 10, symbol: "diamond", color: means.map((found) => colourOf("", found.index)), line: { color: t.card, width: 1 } },
        error_y: {
          type: "data", array: means.map((found) => (found.high === null ? 0 : found.high - found.mean)), color: t.ink, thickness: 1.5, width: 6,
        },
        text: means.map((found) => `${report.columns[found.index]}, mean: ${say(found.mean)}${between(found)}`), hoverinfo: "text",
      },
    ], layout({ hovermode: "closest", margin: { l: 46, r: 12, t: 8, b: 30 }, xaxis: columnAxis(), yaxis: axis("", { title: { text: "" }, rangemode: "tozero" }) })];
  }));
}

// What a member of each group gained, a mean with its interval for every column.
function drawGroups() {
  const groups = report.groups;
  chart("groups", () => {
    const t = theme();
    const count = report.columns.length;
    const traces = report.columns.map((column, index) => {
      const rows = groups.names.map((name, line) => ({ name, line, found: groups.intervals[index][line] })).filter((row) => row.found.mean !== null);
      const shift = count > 1 ? (index / (count - 1) - 0.5) * Math.min(0.66, 0.2 * count) : 0;
      const colour = colourOf("", index);
      const say = (row) => `${fixed(row.found.mean, groups.digits)} ${groups.unit}` + (row.found.low === null ? "" : `<br>95 %: ${fixed(row.found.low, groups.digits)} to ${fixed(row.found.high, groups.digits)}`);
      return {
        type: "scatter", mode: "markers", name: column, x: rows.map((row) => row.found.mean), y: rows.map((row) => row.line + shift),
        marker: { size: 9, symbol: "diamond", color: colour, line: { color: t.card, width: 1 } },
        error_x: { type: "data", color: colour, thickness: 1.6, width: 4, array: rows.map((row) => (row.found.high === null ? 0 : row.found.high - row.found.mean)) },
        text: rows.map((row) => `<b>${row.name}</b>, ${column}: ${say(row)}`), hoverinfo: "text",
      };
    });
    return [traces, layout({
      hovermode: "closest", showlegend: count > 1, xaxis: axis(groups.unit + " a member", { zeroline: true }),
      yaxis: axis("", { title: { text: "" }, tickvals: groups.names.map((_, line) => line), ticktext: groups.names, range: [groups.names.length - 0.4, -0.6], zeroline: false }),
    })];
  });
}

themeButton();
printing();
drawOverview();
drawFigures();
drawGroups();
document.documentElement.dataset.ready = "yes";
