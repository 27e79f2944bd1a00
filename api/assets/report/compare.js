"use strict";
// One chart for each figure: every seed as a dot, the mean with its interval beside it, a design a column.
function drawFigures() {
  report.measures.forEach((measure) => chart(measure.name, () => {
    const t = theme();
    const dots = measure.values.flatMap((values, index) => values.map((value, place) => ({ index, value, seed: report.seeds[place] })))
      .filter((dot) => dot.value !== null);
    const means = measure.intervals.map((found, index) => Object.assign({ index }, found)).filter((found) => found.mean !== null);
    const say = (value) => fixed(value, measure.digits) + (measure.unit ? " " + measure.unit : "");
    const between = (found) => (found.low === null ? "" : `<br>95 %: ${fixed(found.low, measure.digits)} to ${say(found.high)}`);
    return [[
      {
        type: "scatter", mode: "markers", showlegend: false, x: dots.map((dot) => dot.index - 0.12), y: dots.map((dot) => dot.value),
        marker: { size: 6, opacity: 0.5, color: dots.map((dot) => colourOf("", dot.index)) },
        text: dots.map((dot) => `${report.designs[dot.index]}, seed ${dot.seed}: ${say(dot.value)}`), hoverinfo: "text",
      },
      {
        type: "scatter", mode: "markers", showlegend: false, x: means.map((found) => found.index + 0.12), y: means.map((found) => found.mean),
        marker: { size: 10, symbol: "diamond", color: means.map((found) => colourOf("", found.index)), line: { color: t.card, width: 1 } },
        error_y: {
          type: "data", array: means.map((found) => (found.high === null ? 0 : found.high - found.mean)), color: t.ink, thickness: 1.5, width: 6,
        },
        text: means.map((found) => `${report.designs[found.index]}, mean: ${say(found.mean)}${between(found)}`), hoverinfo: "text",
      },
    ], layout({
      hovermode: "closest",
      xaxis: axis("", {
        tickvals: report.designs.map((_, index) => index), ticktext: report.designs, range: [-0.6, report.designs.length - 0.4],
        zeroline: false, showgrid: false,
      }),
      yaxis: axis(measure.unit, { rangemode: "tozero" }),
    })];
  }));
}

themeButton();
printing();
drawFigures();
document.documentElement.dataset.ready = "yes";
