// How zero and span of each instrument drifted from one calibration to the next, with what is allowed.
"use strict";
(function () {
  const GMT7_MS = 7 * 3600e3, dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const ink = dark ? "#e8eef2" : "#14212b", grid = dark ? "#34424d" : "#dde4e8";
  for (const place of document.querySelectorAll("[data-drift]")) {
    const data = JSON.parse(place.dataset.drift), words = JSON.parse(place.dataset.words);
    const x = data.t.map(function (ms) { return new Date(ms + GMT7_MS).toISOString().slice(0, 19); });
    const traces = [["zero", "#0072b2", "circle"], ["span", "#d55e00", "square"]].map(function (each) {
      return { x: x, y: data[each[0]], name: words[each[0]], mode: "lines+markers", marker: { symbol: each[2], size: 8 }, line: { color: each[1] }, type: "scatter" };
    });
    const shapes = [];
    [["zero_max", "#0072b2", "dot"], ["span_max", "#d55e00", "dash"]].forEach(function (each) {
      const limit = data[each[0]];
      if (limit !== null) [limit, -limit].forEach(function (y) {
        shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: y, y1: y, line: { color: each[1], width: 1.4, dash: each[2] }, label: { text: words.limit + " " + y, textposition: "end", font: { size: 11, color: each[1] } } });
      });
    });
    Plotly.newPlot(place, traces, {
      shapes: shapes, margin: { t: 30, r: 20, l: 60, b: 40 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { color: ink },
      title: { text: data.symbol, font: { size: 14 } }, xaxis: { type: "date", gridcolor: grid, tickformat: document.documentElement.lang === "vi" ? "%d/%m/%Y" : "%Y-%m-%d" },
      yaxis: { title: { text: data.unit }, gridcolor: grid }, legend: { orientation: "h", y: 1.15 },
      separators: document.documentElement.lang === "vi" ? ",." : ".,",
    }, { responsive: true, displaylogo: false });
  }
})();
