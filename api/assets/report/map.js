// The feeder: buses coloured by voltage (blue low, orange high, pale at nominal), branches by loading (width and cividis).
const LOAD_STEPS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, Infinity];
const CIVIDIS = ["#00224E", "#123570", "#3B496C", "#575D6D", "#707173", "#8A8678", "#A59C74", "#C3B369", "#E1CC55", "#FEE838"];
const DARK_RED = { light: "#A8330B", dark: "#FF7043" };

// On dark paper the bright end of cividis means a lot of load; on light paper the dark end does.
function loadColour(step) {
  if (step >= CIVIDIS.length) return isDark() ? DARK_RED.dark : DARK_RED.light;
  return isDark() ? CIVIDIS[Math.min(step + 1, 9)] : CIVIDIS[9 - step];
}
const loadStep = (loading) => LOAD_STEPS.findIndex((edge) => loading <= edge);
const loadScale = () => CIVIDIS.map((_, step) => [step / 9, loadColour(step)]);
const voltScale = () => (isDark()
  ? [[0, "#4DA3FF"], [0.25, "#7FB2E5"], [0.5, "#59606A"], [0.75, "#F0B060"], [1, "#FF8A1F"]]
  : [[0, "#0B4F9E"], [0.25, "#6FA8DC"], [0.5, "#E9E6DE"], [0.75, "#F0A552"], [1, "#B84A00"]]);

// A phone stands upright, so there the feeder is turned a quarter to the left.
const acrossOf = (map) => (narrow() ? map.y.map((value) => -value) : map.x);
const upOf = (map) => (narrow() ? map.x : map.y);

function branchTraces(run, slot) {
  const map = report.map;
  const [across, up] = [acrossOf(map), upOf(map)];
  const groups = LOAD_STEPS.map(() => ({ x: [], y: [] }));
  const mid = { x: [], y: [], text: [] };
  map.branches.id.forEach((id, branch) => {
    const loading = run.loading[slot][branch] / 1000;
    const [from, to] = [map.branches.from[branch], map.branches.to[branch]];
    const group = groups[loadStep(loading)];
    group.x.push(across[from], across[to], null);
    group.y.push(up[from], up[to], null);
    mid.x.push((across[from] + across[to]) / 2);
    mid.y.push((up[from] + up[to]) / 2);
    mid.text.push(`<b>${map.branches.kind[branch]} ${id}</b><br>loading ${fixed(loading * 100, 1)} % of ${map.branches.rating[branch]}`);
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
  const reach = map.reach;
  const side = narrow();
  const crowded = map.buses.length > 300;
  return {
    type: "scatter", mode: "markers", x: acrossOf(map), y: upOf(map), showlegend: false, hoverinfo: "text",
    text: map.buses.map((id, bus) => `<b>bus ${id}</b><br>${fixed(volts[bus], 4)} pu = ${fixed(volts[bus] * map.rated[bus], 1)} V` +
      (map.who[bus] ? `<br>${map.who[bus]}` : "")),
    marker: {
      size: map.buses.map((_, bus) => ((bus === map.source ? 18 : map.who[bus] ? 11 : crowded ? 3.5 : 7) * (side ? 0.75 : 1))),
      symbol: map.buses.map((_, bus) => (bus === map.source ? "square" : "circle")),
      color: volts, colorscale: voltScale(), cmin: 1 - reach, cmax: 1 + reach, line: { width: crowded ? 0.5 : 1, color: t.ink },
      colorbar: side ? { orientation: "h", y: -0.02, yanchor: "top", thickness: 10, len: 0.9, title: { text: "voltage, pu", side: "top", font: { size: 12 } }, outlinewidth: 0 }
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

function mapReadout(run, slot) {
  const map = report.map;
  const volts = run.u[slot];
  const load = run.loading[slot];
  const low = volts.indexOf(Math.min(...volts));
  const high = volts.indexOf(Math.max(...volts));
  const most = load.indexOf(Math.max(...load));
  byId("map-readout").textContent = `${report.times[slot]}: lowest ${fixed(volts[low] / 10000, 4)} pu at ${map.buses[low]}, ` +
    `highest ${fixed(volts[high] / 10000, 4)} pu at ${map.buses[high]}, fullest branch ${map.branches.id[most]} at ${fixed(load[most] / 10, 1)} %`;
}

function drawMap() {
  if (!report.map) return;
  const hidden = { visible: false, fixedrange: true };
  const choice = byId("map-run");
  const run = () => report.map.runs[choice ? Number(choice.value) : 0];
  let slot = Number(byId("map-slot").value);
  const draw = chart("map", () => [
    [...branchTraces(run(), slot), busTrace(run(), slot), loadingBar()],
    layout({
      hovermode: "closest", margin: narrow() ? { l: 8, r: 8, t: 8, b: 130 } : { l: 8, r: 8, t: 8, b: 8 },
      xaxis: Object.assign({}, hidden), yaxis: Object.assign({}, hidden), uirevision: "map",
    }),
  ]);
  const show = () => { draw(); mapReadout(run(), slot); };
  slider("map-slot", (index) => { slot = index; show(); });
  if (choice) choice.addEventListener("change", show);
  mapReadout(run(), slot);
}
