// The feeder: buses coloured by voltage (blue low, orange high, pale at nominal), branches by loading (width and colour).
// What is beyond a limit is red, and differs in shape or width too.
const STEPS = 10;
// Cividis without the end that would vanish on the paper: more load stands out more.
const LOAD_COLOURS = {
  light: ["#B0A67A", "#A59C74", "#988F76", "#8A8678", "#7C7B78", "#707173", "#575D6D", "#3B496C", "#123570", "#00224E"],
  dark: ["#5C6374", "#686D77", "#757678", "#838179", "#928E75", "#A59C74", "#B7A86E", "#C9B761", "#E1CC55", "#FEE838"],
};
const BEYOND = { light: "#C8200A", dark: "#FF5C4D" };
const paperKind = () => (isDark() ? "dark" : "light");
const loadColour = (step) => (step >= STEPS ? BEYOND[paperKind()] : LOAD_COLOURS[paperKind()][step]);
const loadScale = () => LOAD_COLOURS[paperKind()].map((colour, step) => [step / (STEPS - 1), colour]);

// Half a unit of the last digit is forgiven: states are rounded to 0.1 mpu and a thousandth of a rating.
const overloaded = (loading) => loading > 10 * report.limits.loading + 0.5;
const loadStep = (loading) => (overloaded(loading) ? STEPS : Math.min(STEPS - 1, Math.floor(loading / 100)));
const outside = (volt, bus) => bus !== report.map.source &&
  (volt < 1e4 * report.limits.voltage[0] - 0.5 || volt > 1e4 * report.limits.voltage[1] + 0.5);
const countBeyond = (run, slot) => [run.u[slot].filter(outside).length, run.loading[slot].filter(overloaded).length];
const voltScale = () => (isDark()
  ? [[0, "#4DA3FF"], [0.25, "#7FB2E5"], [0.5, "#59606A"], [0.75, "#F0B060"], [1, "#FF8A1F"]]
  : [[0, "#0B4F9E"], [0.25, "#6FA8DC"], [0.5, "#E9E6DE"], [0.75, "#F0A552"], [1, "#B84A00"]]);

// A phone stands upright, so there the feeder is turned a quarter to the left.
const acrossOf = (map) => (narrow() ? map.y.map((value) => -value) : map.x);
const upOf = (map) => (narrow() ? map.x : map.y);

function branchTraces(run, slot) {
  const map = report.map;
  const [across, up] = [acrossOf(map), upOf(map)];
  const groups = Array.from({ length: STEPS + 1 }, () => ({ x: [], y: [] }));
  const mid = { x: [], y: [], text: [] };
  map.branches.id.forEach((id, branch) => {
    const loading = run.loading[slot][branch];
    const [from, to] = [map.branches.from[branch], map.branches.to[branch]];
    const group = groups[loadStep(loading)];
    group.x.push(across[from], across[to], null);
    group.y.push(up[from], up[to], null);
    mid.x.push((across[from] + across[to]) / 2);
    mid.y.push((up[from] + up[to]) / 2);
    mid.text.push(`<b>${map.branches.kind[branch]} ${id}</b><br>loading ${fixed(loading / 10, 1)} % of ${map.branches.rating[branch]}` +
      (overloaded(loading) ? "<br><b>beyond its limit</b>" : ""));
  });
  const traces = groups.map((group, step) => ({
    type: "scatter", mode: "lines", x: group.x, y: group.y, hoverinfo: "skip", showlegend: false,
    line: { width: 2 + step * 0.6, color: loadColour(step) },
  }));
  traces.push({ type: "scatter", mode: "markers", x: mid.x, y: mid.y, text: mid.text, hoverinfo: "text", showlegend: false,
    marker: { size: 12, opacity: 0 } });
  return traces;
}

function busTrace(run, slot) {
  const t = theme();
  const map = report.map;
  const volts = run.u[slot].map((value) => value / 10000);
  const out = run.u[slot].map(outside);
  const reach = map.reach;
  const side = narrow();
  const crowded = map.buses.length > 300;
  return {
    type: "scatter", mode: "markers", x: acrossOf(map), y: upOf(map), showlegend: false, hoverinfo: "text",
    text: map.buses.map((id, bus) => `<b>bus ${id}</b><br>${fixed(volts[bus], 4)} pu = ${fixed(volts[bus] * map.rated[bus], 1)} V` +
      (out[bus] ? "<br><b>outside the band</b>" : "") + (map.who[bus] ? `<br>${map.who[bus]}` : "")),
    marker: {
      size: map.buses.map((_, bus) => ((bus === map.source ? 18 : map.who[bus] ? 11 : crowded ? 3.5 : 7) * (side ? 0.75 : 1) + (out[bus] ? 3 : 0))),
      symbol: map.buses.map((_, bus) => (bus === map.source ? "square" : out[bus] ? "diamond" : "circle")), opacity: 1,
      color: volts, colorscale: voltScale(), cmin: 1 - reach, cmax: 1 + reach,
      line: { width: out.map((bad) => (bad ? 2.5 : crowded ? 0.5 : 1)), color: out.map((bad) => (bad ? BEYOND[paperKind()] : t.ink)) },
      colorbar: side ? { orientation: "h", y: -0.02, yanchor: "top", thickness: 10, len: 0.9, title: { text: "voltage, pu", side: "top", font: { size: 12 } }, tickformat: ".2f", outlinewidth: 0 }
        : { x: 1.0, len: 0.48, y: 0.76, thickness: 12, title: { text: "voltage, pu", side: "right", font: { size: 12 } }, tickformat: ".2f", outlinewidth: 0 },
    },
  };
}

// A trace without points carries the second colour bar.
function loadingBar() {
  const side = narrow();
  return {
    type: "scatter", mode: "markers", x: [null], y: [null], showlegend: false, hoverinfo: "skip",
    marker: {
      color: [0], cmin: 0, cmax: 100, colorscale: loadScale(),
      colorbar: side ? { orientation: "h", y: -0.2, yanchor: "top", thickness: 10, len: 0.9, title: { text: "branch loading, %", side: "top", font: { size: 12 } }, outlinewidth: 0 }
        : { x: 1.0, len: 0.48, y: 0.24, thickness: 12, title: { text: "branch loading, %", side: "right", font: { size: 12 } }, outlinewidth: 0 },
    },
  };
}

// What the map shows, in words; silent to a screen reader while it plays.
function mapReadout(run, slot, playing) {
  const map = report.map;
  const volts = run.u[slot];
  const load = run.loading[slot];
  const low = volts.indexOf(Math.min(...volts));
  const high = volts.indexOf(Math.max(...volts));
  const most = load.indexOf(Math.max(...load));
  const [buses, branches] = countBeyond(run, slot);
  const readout = byId("map-readout");
  readout.setAttribute("aria-live", playing ? "off" : "polite");
  readout.textContent = `Lowest ${fixed(volts[low] / 10000, 4)} pu at ${map.buses[low]}, ` +
    `highest ${fixed(volts[high] / 10000, 4)} pu at ${map.buses[high]}, fullest branch ${map.branches.id[most]} at ${fixed(load[most] / 10, 1)} %. `;
  const verdict = document.createElement("strong");
  verdict.className = buses + branches ? "bad" : "good";
  verdict.textContent = buses + branches
    ? `Beyond limits: ${buses} of ${volts.length} buses, ${branches} of ${load.length} branches.` : "All limits kept.";
  readout.append(verdict);
}

// Under the slider, red where a limit is broken in that slot.
function mapRibbon(run) {
  const ribbon = byId("map-ribbon");
  const slots = report.times.length;
  const stops = [];
  report.times.forEach((_, slot) => {
    const colour = Math.max(...countBeyond(run, slot)) ? "var(--bad)" : "var(--rule)";
    stops.push(`${colour} ${(100 * slot) / slots}% ${(100 * (slot + 1)) / slots}%`);
  });
  ribbon.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
}

function drawMap() {
  if (!report.map) return;
  const hidden = { visible: false, fixedrange: true };
  const choice = [...document.querySelectorAll('input[name="map-run"]')];
  const run = () => report.map.runs[Math.max(0, choice.findIndex((option) => option.checked))];
  let slot = Number(byId("map-slot").value);
  const draw = chart("map", () => [
    [...branchTraces(run(), slot), busTrace(run(), slot), loadingBar()],
    layout({
      hovermode: "closest", margin: narrow() ? { l: 8, r: 8, t: 8, b: 130 } : { l: 8, r: 8, t: 8, b: 8 },
      xaxis: Object.assign({}, hidden), yaxis: Object.assign({}, hidden), uirevision: "map",
    }),
  ]);
  const show = (playing) => { draw(); mapReadout(run(), slot, playing); };
  slider("map-slot", (index, playing) => { slot = index; show(playing); });
  choice.forEach((option) => option.addEventListener("change", () => { show(false); mapRibbon(run()); }));
  mapReadout(run(), slot, false);
  mapRibbon(run());
}
