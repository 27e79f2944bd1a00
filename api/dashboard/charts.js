// The pictures: plotly.js, coloured like the page.

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const OPTIONS = { displayModeBar: false, responsive: true };

function layout(more) {
  // Fingers and wheels scroll the page; they do not get caught in a picture.
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), automargin: true, fixedrange: true };
  return {
    margin: { l: 48, r: 12, t: 8, b: 36 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { color: css("--ink"), size: 12 },
    showlegend: true,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    dragmode: false,
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
    ...(more.yaxis2 && { yaxis2: { ...axis, ...more.yaxis2 } }),
  };
}

const draw = (id, traces, more) => Plotly.react(id, traces, layout(more), OPTIONS);

/** More energy than a feeder carries in a slot: that is the utility, who takes and gives any amount. */
export const ANY = 1e8;
/** Prices this far from the best ones are shown [milli-currency/MWh]. */
const REACH = 6e4;

/** Cumulated bids and asks, [[price, Wh], …] best first; the utility is a line at its price. */
export function depth(bids, asks) {
  const steps = (levels) => {
    let sum = 0;
    return levels.map(([price, wh]) => [price, (sum += wh)]);
  };
  const trace = (name, levels, colour, dash) => ({
    name, x: levels.map(([price]) => price / 1e4), y: levels.map(([, wh]) => wh / 1e3), mode: "lines", fill: "tozeroy",
    line: { shape: "hv", color: colour, dash }, hovertemplate: "%{y:.3f} kWh at %{x:.2f} ct<extra></extra>",
  });
  const best = [...bids.slice(0, 1), ...asks.slice(0, 1)].map(([price]) => price);
  const [low, high] = [Math.min(...best) - REACH, Math.max(...best) + REACH];
  const inside = ([price]) => price >= low && price <= high;
  const near = (levels) => levels.filter(inside);
  const shown = (levels) => steps(near(levels).filter(([, wh]) => wh < ANY));
  const utility = near([...bids, ...asks]).filter(([, wh]) => wh >= ANY).map(([price]) => price / 1e4);
  draw("depth", [trace("bids", shown(bids), css("--buy"), "solid"), trace("asks", shown(asks), css("--sell"), "dash")], {
    xaxis: { title: { text: "ct/kWh" }, range: best.length ? [low / 1e4, high / 1e4] : undefined },
    yaxis: { title: { text: "kWh" }, rangemode: "tozero" },
    shapes: utility.map((x) => ({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: css("--dim"), dash: "dot", width: 1 } })),
    annotations: utility.map((x) => ({
      x, y: 1, yref: "paper", xanchor: "left", yanchor: "top", showarrow: false, text: "utility", font: { color: css("--dim"), size: 11 },
    })),
  });
}

/** Volume and mean price by delivery: [{time, wh, money}, …], money in price × Wh. */
export function price(slots) {
  const times = slots.map((slot) => slot.time);
  const volume = {
    name: "volume", type: "bar", x: times, y: slots.map((slot) => slot.wh / 1e3), marker: { color: css("--bar") },
    hovertemplate: "%{y:.1f} kWh<extra></extra>",
  };
  const mean = {
    name: "mean price", x: times, y: slots.map((slot) => slot.money / slot.wh / 1e4), mode: "lines+markers", yaxis: "y2",
    line: { color: css("--accent"), width: 2 }, hovertemplate: "%{y:.2f} ct/kWh<extra></extra>",
  };
  draw("price", [volume, mean], {
    yaxis: { title: { text: "kWh" }, rangemode: "tozero" },
    yaxis2: { title: { text: "ct/kWh" }, overlaying: "y", side: "right", rangemode: "tozero", showgrid: false, tickmode: "auto" },
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

/** Classes of loading: from which share on, name, colour, width. Width tells them apart where colour does not. */
const FULL = [
  [1, "over 100 %", "--alarm", 8],
  [0.8, "80–100 %", "--sell", 6],
  [0.5, "50–80 %", "--warm", 4],
  [0, "under 50 %", "--dim", 2],
];

/** The scale of voltage reaches as far from 1 pu as what is measured, in these steps, so that differences show. */
const REACHES = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2];

/** The feeder: buses coloured by voltage, branches by loading; buses beyond the band are crosses. */
export function map(feeder, state) {
  const at = new Map(feeder.buses.map((bus, place) => [bus, place]));
  const ends = feeder.branches.map((branch) => [at.get(branch.from), at.get(branch.to), state?.loading?.[branch.id] ?? 0, branch.id]);
  const lines = FULL.map(([from, name, colour, width], place) => {
    const mine = ends.filter(([, , share]) => share >= from && share < (FULL[place - 1]?.[0] ?? Infinity));
    return {
      name, showlegend: mine.length > 0, mode: "lines", line: { color: css(colour), width }, hoverinfo: "skip",
      x: mine.flatMap(([a, b]) => [feeder.x[a], feeder.x[b], null]), y: mine.flatMap(([a, b]) => [feeder.y[a], feeder.y[b], null]),
    };
  }).reverse();
  const middles = {
    mode: "markers", showlegend: false, marker: { size: 8, opacity: 0 },
    x: ends.map(([a, b]) => (feeder.x[a] + feeder.x[b]) / 2), y: ends.map(([a, b]) => (feeder.y[a] + feeder.y[b]) / 2),
    text: ends.map(([, , share, id]) => `${id}: ${(share * 100).toFixed(1)} % loaded`), hovertemplate: "%{text}<extra></extra>",
  };
  const [low, high] = feeder.band;
  const voltages = feeder.buses.map((bus) => state?.u_pu?.[bus] ?? null);
  const far = Math.max(...voltages.map((value) => Math.abs((value ?? 1) - 1)));
  const reach = REACHES.find((step) => far <= step) ?? far;
  const narrow = document.getElementById("map").clientWidth < 600;
  const buses = {
    mode: "markers", showlegend: false, x: feeder.x, y: feeder.y, hovertemplate: "%{text}<extra></extra>",
    text: feeder.buses.map((bus, place) => `${bus}: ${voltages[place] === null ? "not known yet" : `${voltages[place].toFixed(4)} pu`}`),
    marker: {
      size: narrow ? 6 : 10, symbol: voltages.map((value) => (value !== null && (value < low || value > high) ? "x" : "circle")),
      color: voltages.map((value) => value ?? 1), cmin: 1 - reach, cmax: 1 + reach, line: { width: narrow ? 0.5 : 1, color: css("--ink") },
      colorscale: [[0, "#1f5fbf"], [0.25, "#7fb2e5"], [0.5, "#f2f2ee"], [0.75, "#e9bd62"], [1, "#b87514"]],
      colorbar: { title: { text: "voltage, pu", side: "top" }, orientation: "h", thickness: 10, len: narrow ? 0.9 : 0.4, y: 0, yanchor: "top", nticks: 5 },
    },
  };
  draw("map", [...lines, middles, buses], {
    xaxis: { visible: false }, yaxis: { visible: false }, margin: { l: 8, r: 8, t: 8, b: 48 }, hovermode: "closest",
  });
}
