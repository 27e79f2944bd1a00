// Price, volume, book, balance, bills, refusals, comparison, strategies: one function a chart.
function drawPrice() {
  const price = report.price;
  if (!price) return;
  const unit = price.unit;
  const utility = (name, values, dash) => ({
    type: "scatter", mode: "lines", name, x: report.times, y: values, line: { color: theme().soft, width: 1.5, dash, shape: "hvh" }, hovertemplate: `%{y:.2f} ${unit}<extra>${name}</extra>`,
  });
  const reach = price.high.map((high, slot) => (high === null ? null : high - price.low[slot]));
  chart("price", () => [[
    { type: "bar", name: "lowest to highest", x: report.times, base: price.low, y: reach, customdata: price.low.map((low, slot) => [low, price.high[slot]]),
      marker: { color: isDark() ? "rgba(86,180,233,0.38)" : "rgba(86,180,233,0.45)" }, hovertemplate: `%{customdata[0]:.2f} to %{customdata[1]:.2f} ${unit}<extra>range</extra>` },
    { type: "scatter", mode: seriesMode(), x: report.times, y: price.mean, name: "mean price", line: { color: isDark() ? "#56B4E9" : "#0072B2", width: 2.5, shape: "hvh" }, hovertemplate: `%{y:.2f} ${unit}<extra>mean price</extra>`, connectgaps: false },
    utility("retail", price.retail, "dash"), utility("feed-in", price.feed_in, "dot"),
    ...auctionPrices(unit),
  ], layout({
    bargap: 0, xaxis: timeAxis(), yaxis: axis("price, " + unit, { range: reaches([...price.low, ...price.high, ...price.retail, ...price.feed_in, 0]) }),
    annotations: price.mean.every((value) => value === null) ? [empty("no trade between neighbours")] : [],
  })]);
}

// The price of each auction that has one for all, at its slot.
function auctionPrices(unit) {
  const prices = report.trading ? report.trading.prices : [];
  if (!prices.length) return [];
  return [{
    type: "scatter", mode: "markers", name: "auction", x: prices.map(([step]) => report.times[step]), y: prices.map(([, price]) => price),
    marker: { symbol: "diamond", size: 7, color: isDark() ? "#F0A33C" : "#C25400" }, hovertemplate: `%{y:.2f} ${unit}<extra>price of the auction</extra>`,
  }];
}

// When in the trading time of its slot each trade came, and how far its bid was above its ask.
function drawTrading() {
  const seen = report.trading;
  if (!seen) return;
  chart("trading", () => {
    const t = theme();
    const dots = (name, points, color, symbol, size) => ({
      type: "scatter", mode: "markers", name, x: points.map((point) => point[0]), y: points.map((point) => point[1]),
      marker: { color, symbol, size, opacity: 0.55, line: { width: 0 } }, hovertemplate: `%{x:.1f} min, %{y:.2f} ${seen.unit}<extra>${name}</extra>`,
    });
    const traces = [
      dots("continuous trade", seen.points.continuous, isDark() ? "#56B4E9" : "#0072B2", "circle", 6),
      dots("trade in an auction", seen.points.auction, isDark() ? "#F0A33C" : "#C25400", "diamond", 8),
    ].filter((trace) => trace.x.length);
    if (seen.clock.length) {
      traces.push({
        type: "scatter", mode: "lines", name: "spread clock", x: seen.clock.map((corner) => corner[0]), y: seen.clock.map((corner) => corner[1]),
        line: { color: t.accent, width: 2.5 }, hovertemplate: `at least %{y:.2f} ${seen.unit}<extra>spread clock</extra>`,
      });
    }
    const marks = seen.auctions.map((minute, index) => ({
      type: "line", name: "auction", legendgroup: "auction", showlegend: index === 0, xref: "x", x0: minute, x1: minute, yref: "paper", y0: 0, y1: 1,
      line: { color: t.accent, width: 1.5, dash: "dot" },
    }));
    return [traces, layout({
      hovermode: "closest", xaxis: axis("minutes since the slot opened", { range: [-0.02 * seen.minutes, 1.02 * seen.minutes], zeroline: false }),
      yaxis: axis("bid − ask, " + seen.unit, { rangemode: "tozero" }), shapes: marks, showlegend: true,
      annotations: seen.trades ? [] : [empty("no trade between neighbours")],
    })];
  });
}

// From the least to the largest of `values`, with some air at each end that is not zero.
function reaches(values) {
  const known = values.filter((value) => value !== null);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const air = 0.05 * (most - least) || 1;
  return [least < 0 ? least - air : least, most > 0 ? most + air : most];
}

// A single slot has no line to draw.
const seriesMode = () => (report.times.length > 1 ? "lines" : "markers");
const empty = (text) => ({ text, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5, font: { color: theme().soft, size: 14 } });

function bars(name, values, colour, unit) {
  return { type: "bar", name, x: report.times, y: values, marker: { color: colour }, hovertemplate: `%{y:.2f} ${unit}<extra>${name}</extra>` };
}

function drawVolume() {
  const volume = report.volume;
  if (!volume) return;
  chart("volume", () => [[
    bars("between neighbours", volume.local, "#E69F00", "kWh"), bars("with the utility", volume.utility, COLOURS.grid, "kWh"),
  ], layout({ barmode: "stack", bargap: 0.08, xaxis: timeAxis(), yaxis: axis("energy, kWh per " + report.per, { rangemode: "tozero" }) })]);
}

function stairs(levels) {
  const [x, y] = [[], []];
  let sum = 0;
  levels.forEach(([price, energy]) => { x.push(sum, sum + energy / 1000); y.push(price, price); sum += energy / 1000; });
  return [x, y];
}

function drawDepth() {
  const select = byId("depth-slot");
  if (!select) return;
  const unit = report.price.unit;
  const draw = chart("depth", () => {
    const step = Number(select.value);
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
    const nothing = book.bids.length + book.asks.length === 0;
    return [[
      line("bids: what buyers would pay", bidX, bidY, isDark() ? "#56B4E9" : "#0072B2"),
      line("asks: what sellers want", askX, askY, isDark() ? "#FF9A5A" : "#C25400"),
      utility("the utility sells", report.price.retail[step], "dash"), utility("the utility buys", report.price.feed_in[step], "dot"),
    ], layout({
      hovermode: "closest", xaxis: axis("energy up to this price, kWh", { rangemode: "tozero" }),
      yaxis: axis("price, " + unit, { rangemode: "tozero" }),
      annotations: nothing ? [empty("no order rested in this book")] : [],
    })];
  });
  select.addEventListener("change", draw);
}

function flow(name, label, values, index, sign) {
  const colour = colourOf(name, index);
  return {
    type: "bar", name: label, x: report.times, y: values.map((value) => sign * value),
    marker: { color: colour, line: { width: 0.6, color: colour } }, customdata: values, hovertemplate: `%{customdata:.2f} kWh<extra>${label}</extra>`,
  };
}

function drawBalance() {
  const balance = report.balance;
  if (!balance) return;
  chart("balance", () => [[
    ...balance.in.map((row, index) => flow(row.name, row.label, row.kwh, index, 1)),
    ...balance.out.map((row, index) => flow(row.name, row.label, row.kwh, index, -1)),
  ], layout({ barmode: "relative", bargap: 0, xaxis: timeAxis(), yaxis: axis(`kWh per ${report.per}: in above, out below`) })]);
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
    text: bills.saved.map((row) => fixed(row.benefit, 2)), textposition: "outside", cliponaxis: false, textfont: { color: theme().ink },
    hovertemplate: `%{y}: %{x:.2f} ${unit}<extra></extra>`,
  }], layout({ hovermode: "closest", showlegend: false, margin: { l: 54, r: 52, t: 12, b: 44 }, xaxis: axis(`gain in all, ${unit}`), yaxis: axis("", { autorange: "reversed" }) })]);
}

// Every participant's gain as a dot, in a box for each group; emissions per kWh beside it.
function drawMetrics() {
  const metrics = report.metrics;
  if (!metrics) return;
  const unit = report.currency;
  const groups = metrics.gains.map((row) => row.group);
  const left = { autorange: "reversed", type: "category", categoryorder: "array", categoryarray: groups, title: { text: "" } };
  chart("gains", () => [metrics.gains.map((row, index) => ({
    type: "box", orientation: "h", name: row.group, x: row.gains, y: row.gains.map(() => row.group), text: row.names, boxpoints: "all", jitter: 0.6, pointpos: 0,
    fillcolor: "rgba(0,0,0,0)", line: { color: theme().soft, width: 1.2 }, marker: { size: 5, opacity: 0.75, color: SPARE[index % SPARE.length] },
    hoveron: "points", hovertemplate: `<b>%{text}</b>: %{x:.2f} ${unit}<extra></extra>`,
  })), layout({
    hovermode: "closest", showlegend: false, xaxis: axis((metrics.compared ? "gain, " : "saving at the tariff, ") + unit), yaxis: axis("", left),
  })]);
  const eating = metrics.groups.filter((row) => row.g_per_kwh !== null);
  const bar = (name, key, color) => ({
    type: "bar", orientation: "h", name, y: eating.map((row) => row.name), x: eating.map((row) => row[key]), marker: { color },
    hovertemplate: `%{y}: %{x:.0f} g/kWh<extra>${name}</extra>`,
  });
  chart("emissions", () => [[
    ...(metrics.compared ? [bar("without local trading", "g_per_kwh_without", COLOURS.grid)] : []), bar("with local trading", "g_per_kwh", "#009E73"),
  ], layout({
    barmode: "group", bargap: 0.3, hovermode: "closest", showlegend: metrics.compared, xaxis: axis("g CO2 eq per kWh consumed", { rangemode: "tozero" }),
    yaxis: axis("", Object.assign({}, left, { categoryarray: eating.map((row) => row.name) })),
  })]);
}

function drawRefused() {
  const refused = report.refused;
  if (!refused || !refused.constraints.length) return;
  const shown = refused.constraints.slice(0, 12).reverse();
  const names = shown.map((row) => row.said.join("<br>"));
  chart("refused-by", () => [[
    { type: "bar", orientation: "h", name: "carried", y: names, x: shown.map((row) => row.admitted), marker: { color: "#56B4E9" }, hovertemplate: "%{x:.2f} kWh<extra>carried</extra>" },
    { type: "bar", orientation: "h", name: "refused", y: names, x: shown.map((row) => row.refused), marker: { color: "#D55E00" }, hovertemplate: "%{x:.2f} kWh<extra>refused</extra>" },
  ], layout({ barmode: "stack", hovermode: "y unified", xaxis: axis("energy, kWh"), yaxis: axis("", { type: "category" }) })]);
  chart("refused-when", () => [[
    bars("carried", refused.slots.map((row) => row[1]), "#56B4E9", "kWh"), bars("refused", refused.slots.map((row) => row[0] - row[1]), "#D55E00", "kWh"),
  ], layout({ barmode: "stack", bargap: 0.08, xaxis: timeAxis(), yaxis: axis("energy, kWh per " + report.per, { rangemode: "tozero" }) })]);
}

function drawCompare() {
  const compare = report.compare;
  if (!compare) return;
  const colour = (index) => (isDark() ? ["#56B4E9", "#F0A33C"] : ["#0072B2", "#C25400"])[index];
  const limit = (value) => levelLine("limit", value, theme().bad, "dash");
  const line = (name, values, color, unit, dash) => ({
    type: "scatter", mode: seriesMode(), name, x: report.times, y: values, line: { color, width: 2.2, dash, shape: "hvh" }, hovertemplate: `%{y:.4~f} ${unit}<extra>${name}</extra>`,
  });
  chart("compare-loading", () => [
    compare.map((run, index) => line(run.name, run.loading, colour(index), "%", index ? "dot" : "solid")),
    layout({
      xaxis: timeAxis(), yaxis: axis("loading, %", { range: reaches([0, report.limits.loading, ...compare.flatMap((run) => run.loading)]) }),
      showlegend: true, shapes: [limit(report.limits.loading)],
    }),
  ]);
  chart("compare-voltage", () => [
    compare.flatMap((run, index) => [
      Object.assign(line(`${run.name}, highest`, run.u_max, colour(index), "pu", index ? "dot" : "solid"), { legendgroup: run.name, showlegend: false }),
      Object.assign(line(`${run.name}, lowest`, run.u_min, colour(index), "pu", index ? "dot" : "solid"), { legendgroup: run.name, showlegend: false }),
      { type: "scatter", mode: "lines", x: [null], y: [null], name: run.name, legendgroup: run.name, line: { color: colour(index), width: 2.2, dash: index ? "dot" : "solid" } },
    ]),
    layout({
      xaxis: timeAxis(), yaxis: axis("voltage, pu", { tickformat: ".2f" }), showlegend: true,
      shapes: report.limits.voltage.map((value, index) => Object.assign(limit(value), { showlegend: index === 0 })),
    }),
  ]);
  if (!compare[0].unbalance) return;
  chart("compare-unbalance", () => [
    compare.map((run, index) => line(run.name, run.unbalance, colour(index), "%", index ? "dot" : "solid")),
    layout({
      xaxis: timeAxis(), yaxis: axis("unbalance, %", { range: reaches([0, report.limits.unbalance, ...compare.flatMap((run) => run.unbalance)]) }),
      showlegend: true, shapes: [limit(report.limits.unbalance)],
    }),
  ]);
}

function drawEnvelopes() {
  const select = byId("envelope-of");
  if (!select) return;
  const found = report.envelopes;
  const side = (name, values, sign, color, fill) => ({
    type: "scatter", mode: seriesMode(), name, x: report.times, y: values.map((value) => sign * value), customdata: values,
    line: { color, width: 2.2, shape: "hvh" }, fill, fillcolor: "rgba(128, 128, 128, 0.18)",
    hovertemplate: `%{customdata:.2f} kW<extra>${name}</extra>`,
  });
  const draw = chart("envelopes", () => [[
    side("most import", found.import[select.value], -1, isDark() ? "#FF9A5A" : "#C25400"),
    side("most export", found.export[select.value], 1, isDark() ? "#56B4E9" : "#0072B2", "tonexty"),
  ], layout({ xaxis: timeAxis(), yaxis: axis("power, kW", { rangemode: "tozero" }), showlegend: true })]);
  select.addEventListener("change", draw);
}

themeButton();
printing();
drawMap();
drawPrice();
drawTrading();
drawVolume();
drawDepth();
drawBalance();
drawBills();
drawMetrics();
drawRefused();
drawEnvelopes();
drawCompare();
document.documentElement.dataset.ready = "yes";
