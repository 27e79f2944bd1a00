// Price, volume, book, balance, bills, refusals, comparison, strategies: one function a chart.
function drawPrice() {
  const price = report.price;
  if (!price) return;
  const unit = price.unit;
  const level = (name, value, dash) => ({
    type: "scatter", mode: "lines", name, x: [-0.5, report.times.length - 0.5], y: [value, value], hoverinfo: "skip",
    line: { color: theme().soft, width: 1.5, dash },
  });
  const reach = price.high.map((high, slot) => (high === null ? null : high - price.low[slot]));
  chart("price", () => [[
    { type: "bar", name: "lowest to highest", x: slotsIndex(), base: price.low, y: reach, customdata: price.low.map((low, slot) => [low, price.high[slot]]),
      marker: { color: isDark() ? "rgba(86,180,233,0.38)" : "rgba(86,180,233,0.45)" }, hovertemplate: `%{customdata[0]:.2f} to %{customdata[1]:.2f} ${unit}<extra>range</extra>` },
    { type: "scatter", mode: "lines", x: slotsIndex(), y: price.mean, name: "mean price", line: { color: isDark() ? "#56B4E9" : "#0072B2", width: 2.5, shape: "hvh" }, hovertemplate: `%{y:.2f} ${unit}<extra>mean price</extra>`, connectgaps: false },
    level("retail", price.retail, "dash"), level("feed-in", price.feed_in, "dot"),
  ], layout({ bargap: 0, xaxis: timeAxis(), yaxis: axis("price, " + unit, { rangemode: "tozero" }) })]);
}

function bars(name, values, colour, unit) {
  return { type: "bar", name, x: slotsIndex(), y: values, marker: { color: colour }, hovertemplate: `%{y:.2f} ${unit}<extra>${name}</extra>` };
}

function drawVolume() {
  const volume = report.volume;
  if (!volume) return;
  chart("volume", () => [[
    bars("between neighbours", volume.local, "#E69F00", "kWh"), bars("with the utility", volume.utility, COLOURS.grid, "kWh"),
  ], layout({ barmode: "stack", bargap: 0.08, xaxis: timeAxis(), yaxis: axis("energy, kWh per slot") })]);
}

function stairs(levels) {
  const [x, y] = [[], []];
  let sum = 0;
  levels.forEach(([price, energy]) => { x.push(sum, sum + energy / 1000); y.push(price, price); sum += energy / 1000; });
  return [x, y];
}

function drawDepth() {
  if (!report.depth) return;
  const unit = report.price.unit;
  const select = byId("depth-slot");
  const draw = chart("depth", () => {
    const book = report.depth[select.value] || { bids: [], asks: [] };
    const [bidX, bidY] = stairs(book.bids);
    const [askX, askY] = stairs(book.asks);
    const line = (name, x, y, color) => ({
      type: "scatter", mode: "lines", name, x, y, line: { color, width: 2.2 },
      hovertemplate: `%{y:.2f} ${unit}, %{x:.2f} kWh in all<extra>${name}</extra>`,
    });
    const width = Math.max(...bidX, ...askX, 1);
    const utility = (name, value, dash) => ({
      type: "scatter", mode: "lines", name, x: [0, width], y: [value, value], hoverinfo: "skip", line: { color: theme().soft, width: 1.5, dash },
    });
    const empty = book.bids.length + book.asks.length === 0;
    return [[
      line("bids: what buyers would pay", bidX, bidY, isDark() ? "#56B4E9" : "#0072B2"),
      line("asks: what sellers want", askX, askY, isDark() ? "#FF9A5A" : "#C25400"),
      utility("the utility sells", report.price.retail, "dash"), utility("the utility buys", report.price.feed_in, "dot"),
    ], layout({
      hovermode: "closest", xaxis: axis("energy up to this price, kWh", { rangemode: "tozero" }),
      yaxis: axis("price, " + unit, { rangemode: "tozero" }),
      annotations: empty ? [{ text: "no order rested in this book", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5, font: { color: theme().soft } }] : [],
    })];
  });
  select.addEventListener("change", draw);
}

function area(name, label, values, index, sign) {
  const colour = colourOf(name, index);
  return {
    type: "scatter", mode: "lines", name: label, x: slotsIndex(), y: values.map((value) => sign * value), stackgroup: sign > 0 ? "in" : "out",
    line: { width: 0.8, color: colour, shape: "hvh" }, fillcolor: colour,
    customdata: values, hovertemplate: `%{customdata:.2f} kWh<extra>${label}</extra>`,
  };
}

function drawBalance() {
  const balance = report.balance;
  if (!balance) return;
  chart("balance", () => [[
    ...balance.in.map((row, index) => area(row.name, row.label, row.kwh, index, 1)),
    ...balance.out.map((row, index) => area(row.name, row.label, row.kwh, index, -1)),
  ], layout({ xaxis: timeAxis(), yaxis: axis("kWh per slot: in above, out below") })]);
}

function drawBills() {
  const bills = report.bills;
  if (!bills) return;
  const unit = report.currency;
  chart("bills", () => {
    const traces = bills.groups.map((group, index) => {
      const rows = bills.rows.filter((row) => row.group === group);
      return {
        type: "scatter", mode: "markers", name: group, x: rows.map((row) => row.before), y: rows.map((row) => row.after),
        text: rows.map((row) => row.name), marker: { size: 9, color: SPARE[index % SPARE.length], opacity: 0.85, symbol: index % 20, line: { width: 0.7, color: theme().card } },
        hovertemplate: `<b>%{text}</b><br>before %{x:.2f} ${unit}<br>after %{y:.2f} ${unit}<extra>${group}</extra>`,
      };
    });
    const all = bills.rows.flatMap((row) => [row.before, row.after]);
    const ends = [Math.min(0, ...all), Math.max(0, ...all)];
    traces.unshift({ type: "scatter", mode: "lines", name: "no change", x: ends, y: ends, hoverinfo: "skip", line: { color: theme().soft, dash: "dash", width: 1.3 } });
    return [traces, layout({ hovermode: "closest", xaxis: axis(`bill without local trading, ${unit}`), yaxis: axis(`bill with it, ${unit}`) })];
  });
  chart("savings", () => [[{
    type: "bar", orientation: "h", y: bills.saved.map((row) => row.group), x: bills.saved.map((row) => row.benefit),
    marker: { color: bills.saved.map((row) => (row.benefit >= 0 ? "#009E73" : "#D55E00")) },
    text: bills.saved.map((row) => fixed(row.benefit, 2)), textposition: "auto", textangle: 0, hovertemplate: `%{y}: %{x:.2f} ${unit}<extra></extra>`,
  }], layout({ hovermode: "closest", showlegend: false, xaxis: axis(`gain in all, ${unit}`), yaxis: axis("", { autorange: "reversed" }) })]);
}

function drawRefused() {
  const refused = report.refused;
  if (!refused || !refused.constraints.length) return;
  const shown = refused.constraints.slice(0, 12).reverse();
  chart("refused-by", () => [[
    { type: "bar", orientation: "h", name: "carried", y: shown.map((row) => row.constraint), x: shown.map((row) => row.admitted), marker: { color: "#56B4E9" }, hovertemplate: "%{x:.2f} kWh<extra>carried</extra>" },
    { type: "bar", orientation: "h", name: "refused", y: shown.map((row) => row.constraint), x: shown.map((row) => row.refused), marker: { color: "#D55E00" }, hovertemplate: "%{x:.2f} kWh<extra>refused</extra>" },
  ], layout({ barmode: "stack", hovermode: "y unified", xaxis: axis("energy of the matches the limit met, kWh"), yaxis: axis("", { type: "category" }) })]);
  chart("refused-when", () => [[
    bars("carried", refused.slots.map((row) => row[1]), "#56B4E9", "kWh"), bars("refused", refused.slots.map((row) => row[0] - row[1]), "#D55E00", "kWh"),
  ], layout({ barmode: "stack", bargap: 0.08, xaxis: timeAxis(), yaxis: axis("energy, kWh per slot") })]);
}

function limitLine(value, axisName) {
  return { type: "line", xref: "paper", x0: 0, x1: 1, yref: axisName || "y", y0: value, y1: value, line: { color: theme().bad, width: 1.5, dash: "dash" } };
}

function drawCompare() {
  const compare = report.compare;
  if (!compare) return;
  const on = () => (isDark() ? "#56B4E9" : "#0072B2");
  const line = (name, values, color, unit, dash) => ({
    type: "scatter", mode: "lines", name, x: slotsIndex(), y: values, line: { color, width: 2.2, dash, shape: "hvh" }, hovertemplate: `%{y:.4~f} ${unit}<extra>${name}</extra>`,
  });
  chart("compare-loading", () => [
    compare.map((run, index) => line(run.name, run.loading, index ? "#E69F00" : on(), "%", index ? "dot" : "solid")),
    layout({ xaxis: timeAxis(), yaxis: axis("loading of the fullest branch, %", { rangemode: "tozero" }), shapes: [limitLine(report.limits.loading)] }),
  ]);
  chart("compare-voltage", () => [
    compare.flatMap((run, index) => [
      line(run.name, run.u_max, index ? "#E69F00" : on(), "pu", index ? "dot" : "solid"),
      Object.assign(line(run.name, run.u_min, index ? "#E69F00" : on(), "pu", index ? "dot" : "solid"), { showlegend: false }),
    ]),
    layout({ xaxis: timeAxis(), yaxis: axis("lowest and highest voltage, pu"), shapes: report.limits.voltage.map((value) => limitLine(value)) }),
  ]);
}

themeButton();
drawMap();
drawPrice();
drawVolume();
drawDepth();
drawBalance();
drawBills();
drawRefused();
drawCompare();
document.documentElement.dataset.ready = "yes";
