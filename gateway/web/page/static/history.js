// One channel's chart: windows or steps, what was not valid and why, limits, alerts; zoom asks for finer figures.
"use strict";
(function () {
  const chart = document.getElementById("chart"), form = document.getElementById("ask"), said = document.getElementById("said");
  const words = JSON.parse(chart.dataset.words), GMT7_MS = 7 * 3600e3, DAY_MS = 86400e3;
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const colours = { line: dark ? "#56b4e9" : "#0072b2", spread: "rgba(86,180,233,0.25)", limit: "#d55e00", warn: "#e69f00", bad: "#cc79a7" };
  const date = document.documentElement.lang === "vi" ? "%d/%m/%Y" : "%Y-%m-%d";
  const stops = [{ dtickrange: [null, 86399999], value: "%H:%M\n" + date }, { dtickrange: [86400000, null], value: date }];
  let shown = null;

  // Plotly draws times as they are written: in Vietnam's.
  function local(ms) { return new Date(ms + GMT7_MS).toISOString().slice(0, 19); }
  function moment(text) { return new Date((text.length === 10 ? text + "T00:00:00" : text.replace(" ", "T")).slice(0, 19) + "+07:00").getTime(); }

  function runs(data) {  // of windows that are not valid for one reason
    const found = [];
    const step = data.step_ms || (data.t.length > 1 ? data.t[1] - data.t[0] : 300000);
    data.t.forEach(function (t, place) {
      const why = data.quality[place], last = found[found.length - 1];
      if (data.value[place] !== null) return;
      if (last && last.why === why && last.to >= t) last.to = t + step;
      else found.push({ why: why, from: t, to: t + step });
    });
    return found;
  }

  function band(from, to, colour, text) {
    return { type: "rect", xref: "x", yref: "paper", x0: local(from), x1: local(to), y0: 0, y1: 1, fillcolor: colour, opacity: 0.22, line: { width: 0 },
      label: { text: text, textposition: "top center", font: { size: 11 } } };
  }

  function level(y, colour, dash, name, above) {
    return { type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: y, y1: y, line: { color: colour, width: 1.6, dash: dash },
      label: { text: name + " " + y, textposition: "end", yanchor: above ? "bottom" : "top", font: { size: 11, color: colour } } };
  }

  function heights(data) {  // what was measured, and its limits, with some room
    const limits = data.limits || {}, all = data.value.concat(data.low, data.high, [limits.min, limits.max]).filter(Number.isFinite);
    if (!all.length) return [0, 1];
    const low = Math.min.apply(null, all), high = Math.max.apply(null, all), room = 0.08 * (high - low || 1);
    return [Number.isFinite(limits.min) || low < 0 ? low - room : 0, high + room];
  }

  function draw(data) {
    const gap = data.step_ms || 300000, x = [], y = [], low = [], high = [];
    data.t.forEach(function (t, place) {  // a hole in time is a hole in the line
      if (place && t - data.t[place - 1] > 1.5 * Math.max(gap, data.t[1] - data.t[0])) { x.push(local(t - gap)); y.push(null); low.push(null); high.push(null); }
      x.push(local(t)); y.push(data.value[place]); low.push(data.low[place]); high.push(data.high[place]);
    });
    const ink = dark ? "#e8eef2" : "#14212b", grid = dark ? "#34424d" : "#dde4e8";
    const spread = { x: x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", connectgaps: false, type: "scatter" };
    const traces = [
      Object.assign({}, spread, { y: low, showlegend: false }),
      Object.assign({}, spread, { y: high, fill: "tonexty", fillcolor: colours.spread, name: words.spread }),
      { x: x, y: y, mode: data.t.length < 400 ? "lines+markers" : "lines", marker: { size: 4 }, line: { color: colours.line, width: 2 }, name: data.symbol + " (" + words.mean + ")", connectgaps: false, type: "scatter" },
    ];
    const shapes = [], limits = data.limits || {};
    if (limits.max !== null && limits.max !== undefined) shapes.push(level(limits.max, colours.limit, "solid", words.limit, true), level(limits.warn_max, colours.warn, "dot", words.warning, false));
    if (limits.min !== null && limits.min !== undefined) shapes.push(level(limits.min, colours.limit, "solid", words.limit, false), level(limits.warn_min, colours.warn, "dot", words.warning, true));
    runs(data).slice(0, 200).forEach(function (run) { shapes.push(band(run.from, run.to, colours.bad, words[run.why] || run.why)); });
    data.alerts.slice(0, 200).forEach(function (each) {
      const to = Math.min(each.to_ms || data.to_ms, data.to_ms), from = Math.max(each.from_ms, data.from_ms);
      shapes.push({ type: "rect", xref: "x", yref: "paper", x0: local(from), x1: local(to), y0: 0, y1: 0.03, fillcolor: colours.limit, line: { width: 0 } });
    });
    Plotly.react(chart, traces, {
      shapes: shapes, margin: { t: 20, r: 20, l: 60, b: 50 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { color: ink },
      xaxis: { type: "date", range: [local(data.from_ms), local(data.to_ms)], gridcolor: grid, tickformatstops: stops },
      yaxis: { title: { text: data.symbol + (data.unit ? " (" + data.unit + ")" : "") }, gridcolor: grid, range: heights(data) },
      legend: { orientation: "h", y: 1.08 }, hovermode: "x unified", separators: document.documentElement.lang === "vi" ? ",." : ".,",
    }, { responsive: true, displaylogo: false, locale: "en" });
    const count = data.value.filter(function (value) { return value !== null; }).length;
    said.textContent = data.symbol + ": " + (data.t.length ? count + " " + words.points : words.no_data_here) +
      (data.step_ms ? ", " + words.hours_shown + " " + data.step_ms / 3600e3 + " h" : "") + (data.alerts.length ? ", " + data.alerts.length + " " + words.alerts : "");
  }

  async function load(from, to) {
    said.textContent = words.loading;
    const asked = new URLSearchParams({ symbol: chart.dataset.symbol });
    if (from) asked.set("from", from);
    if (to) asked.set("to", to);
    const answer = await fetch("/api/v1/chart?" + asked);
    const data = await answer.json();
    if (!answer.ok) { said.textContent = words.failed + data.error; return; }
    shown = data;
    form.elements.from.value = local(data.from_ms).slice(0, 16);
    form.elements.to.value = local(data.to_ms).slice(0, 16);
    draw(data);
  }

  form.addEventListener("submit", function (event) {
    event.preventDefault();
    chart.dataset.symbol = form.elements.symbol.value;
    load(form.elements.from.value, form.elements.to.value);
  });
  form.elements.symbol.addEventListener("change", function () { form.requestSubmit(); });
  for (const button of form.querySelectorAll("[data-days]"))
    button.addEventListener("click", function () {
      const to = shown ? shown.to_ms : Date.now();
      load(local(to - button.dataset.days * DAY_MS), local(to));
    });
  document.getElementById("download").addEventListener("click", function () {
    if (!shown) return;
    const lines = [["time", shown.symbol + (shown.unit ? " (" + shown.unit + ")" : ""), "min", "max", "quality"].join(",")];
    shown.t.forEach(function (t, place) {
      lines.push([local(t) + "+07:00", shown.value[place] ?? "", shown.low[place] ?? "", shown.high[place] ?? "", shown.quality[place]].join(","));
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
    link.download = shown.symbol + ".csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  load("", "").then(function () {
    chart.on("plotly_relayout", function (event) {  // zoomed: ask for finer figures, unless these are the finest
      const from = event["xaxis.range[0]"], to = event["xaxis.range[1]"];
      if (from && to && shown && shown.step_ms) load(local(moment(from)), local(moment(to)));
    });
  });
})();
