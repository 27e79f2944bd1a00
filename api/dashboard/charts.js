// The pictures: plotly.js, coloured like the page.

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const OPTIONS = { displayModeBar: false, responsive: true };

function layout(more) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), automargin: true };
  return {
    margin: { l: 48, r: 12, t: 8, b: 36 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { color: css("--ink"), size: 12 },
    showlegend: true,
    legend: { orientation: "h", y: 1.14, x: 0 },
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
}

const draw = (id, traces, more) => Plotly.react(id, traces, layout(more), OPTIONS);

/** More energy than a feeder carries in a slot: that is the utility, who takes and gives any amount. */
export const ANY = 1e8;

/** Cumulated bids and asks, [[price, Wh], …] best first; the utility is a line at its price. */
export function depth(bids, asks) {
  const steps = (levels) => {
    let sum = 0;
    return levels.map(([price, wh]) => [price, (sum += wh)]);
  };
  const trace = (name, levels, colour) => ({
    name, x: levels.map(([price]) => price / 1e4), y: levels.map(([, wh]) => wh / 1e3), mode: "lines", fill: "tozeroy",
    line: { shape: "hv", color: colour, dash: name === "asks" ? "dash" : "solid" },
    hovertemplate: "%{y:.3f} kWh at %{x:.2f} ct<extra></extra>",
  });
  const near = [...bids.slice(0, 1), ...asks.slice(0, 1)].map(([price]) => price);
  const reach = near.length === 2 ? [Math.min(...near) - 6e4, Math.max(...near) + 6e4].map((price) => price / 1e4) : undefined;
  const inside = ([price, wh]) => wh < ANY && (!reach || (price / 1e4 >= reach[0] && price / 1e4 <= reach[1]));
  const shown = (levels) => steps(levels.filter(inside));
  const utility = [...bids, ...asks].filter(([, wh]) => wh >= ANY).map(([price]) => ({
    type: "line", x0: price / 1e4, x1: price / 1e4, yref: "paper", y0: 0, y1: 1, line: { color: css("--dim"), dash: "dot", width: 1 },
  }));
  draw("depth", [trace("bids", shown(bids), css("--buy")), trace("asks", shown(asks), css("--sell"))], {
    xaxis: { title: { text: "ct/kWh" }, range: reach },
    yaxis: { title: { text: "kWh" }, rangemode: "tozero" },
    shapes: utility,
  });
}

/** Volume and mean price by delivery: [{time, wh, money}, …], money in price × Wh. */
export function price(slots) {
  const times = slots.map((slot) => slot.time);
  const volume = {
    name: "volume", type: "bar", x: times, y: slots.map((slot) => slot.wh / 1e3), marker: { color: css("--line") },
    yaxis: "y2", hovertemplate: "%{y:.1f} kWh<extra></extra>",
  };
  const mean = {
    name: "mean price", x: times, y: slots.map((slot) => slot.money / slot.wh / 1e4), mode: "lines+markers",
    line: { color: css("--accent") }, hovertemplate: "%{y:.2f} ct/kWh<extra></extra>",
  };
  draw("price", [volume, mean], {
    yaxis: { title: { text: "ct/kWh" }, rangemode: "tozero" },
    yaxis2: { title: { text: "kWh" }, overlaying: "y", side: "right", rangemode: "tozero", showgrid: false },
    margin: { l: 48, r: 52, t: 8, b: 36 },
  });
}

/** What flows anyway: [{time, supply, demand}, …] in Wh. */
export function forecast(slots) {
  const times = slots.map((slot) => slot.time);
  const bar = (name, values, colour, shape) => ({
    name, type: "bar", x: times, y: values, marker: { color: colour, pattern: { shape } },
    hovertemplate: "%{y:.1f} kWh<extra></extra>",
  });
  draw("forecast", [
    bar("fed in", slots.map((slot) => slot.supply / 1e3), css("--buy"), ""),
    bar("drawn", slots.map((slot) => -slot.demand / 1e3), css("--sell"), "/"),
  ], { barmode: "relative", yaxis: { title: { text: "kWh" } } });
}

/** The feeder: buses coloured by voltage, branches by loading. */
export function map(feeder, state) {
  const [low, high] = feeder.band;
  const at = Object.fromEntries(feeder.buses.map((bus, place) => [bus, place]));
  const lines = { x: [], y: [] };
  const full = { x: [], y: [] };
  for (const branch of feeder.branches) {
    const [a, b] = [at[branch.from], at[branch.to]];
    const into = (state?.loading?.[branch.id] ?? 0) > 0.8 ? full : lines;
    into.x.push(feeder.x[a], feeder.x[b], null);
    into.y.push(feeder.y[a], feeder.y[b], null);
  }
  const branch = (name, where, colour, width) => ({ name, ...where, mode: "lines", line: { color: colour, width }, hoverinfo: "skip" });
  const voltages = feeder.buses.map((bus) => state?.u_pu?.[bus] ?? null);
  const buses = {
    name: "bus", x: feeder.x, y: feeder.y, mode: "markers", showlegend: false,
    text: feeder.buses.map((bus, place) => `${bus}: ${voltages[place] === null ? "not known yet" : `${voltages[place].toFixed(4)} pu`}`),
    hovertemplate: "%{text}<extra></extra>",
    marker: {
      size: 9, color: voltages.map((value) => value ?? 1), cmin: low, cmax: high, cmid: 1, line: { width: 1, color: css("--ink") },
      colorscale: [[0, "#2b6cb8"], [0.5, "#d8dde3"], [1, "#c9472b"]], colorbar: { title: { text: "pu" }, thickness: 12 },
    },
  };
  draw("map", [branch("line", lines, css("--dim"), 2), branch("over 80 % full", full, css("--alarm"), 5), buses], {
    xaxis: { visible: false }, yaxis: { visible: false, scaleanchor: "x" }, margin: { l: 8, r: 8, t: 8, b: 8 },
  });
}

