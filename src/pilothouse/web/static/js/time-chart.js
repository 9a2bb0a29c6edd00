// <time-chart data-chart="{…}">: a chart over time, drawn by uPlot. Dragging across it zooms the page to that range;
// with data-href a click opens the traces of that moment.

const FALLBACK_HEIGHT = 200;

class TimeChart extends HTMLElement {
  static observedAttributes = ["data-chart"];

  connectedCallback() {
    // uPlot comes as a plain deferred script, which runs before modules that stand after it.
    this.draw();
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(this);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.again);
    document.addEventListener("theme-changed", this.again);
  }

  disconnectedCallback() {
    this.resized?.disconnect();
    this.scheme?.removeEventListener("change", this.again);
    document.removeEventListener("theme-changed", this.again);
    this.plot?.destroy();
    this.plot = null;
  }

  attributeChangedCallback(name, before) {
    if (before !== null && this.isConnected) this.draw();
  }

  again = () => this.draw();

  get plotWidth() {
    return Math.max(this.clientWidth - 16, 200);
  }

  fit() {
    if (this.plot && Math.abs(this.plot.width - this.plotWidth) > 1) {
      this.plot.setSize({ width: this.plotWidth, height: Number(this.dataset.height) || FALLBACK_HEIGHT });
    }
  }

  draw() {
    this.plot?.destroy();
    for (const child of this.querySelectorAll(".chart-empty")) child.remove();
    const chart = JSON.parse(this.dataset.chart);
    if (!chart.lines.some((line) => line.values.some((value) => value))) {
      const none = Object.assign(document.createElement("div"), { className: "chart-empty" });
      none.textContent = "Nothing to draw in this window";
      this.append(none);
      return;
    }
    this.bucket = chart.bucket;
    this.plot = new window.uPlot(this.options(chart), [chart.times, ...chart.lines.map((line) => line.values)], this);
  }

  options(chart) {
    const ink = this.colour("--ink-3");
    const grid = this.colour("--grid");
    const second = chart.lines.find((line) => line.unit !== chart.unit);
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const range = (_, low, high) => [0, high > 0 ? high * 1.08 : 1];
    const steep = chart.unit === "ms" && spread(chart.lines) > 30;
    const axes = [
      { ...axis, space: 64, size: 22, gap: 4, values: (plot, ticks) => moments(plot, ticks) },
      { ...axis, scale: chart.unit, size: 58, gap: 4, space: 30, filter: steep ? (_, marks) => marks : undefined, splits: steep ? (_, __, low, high) => MARKS.filter((mark) => mark >= low && mark <= high) : undefined, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : written(tick, chart.unit))) },
    ];
    // Latencies of agents span decades: one slow trace must not press all others flat.
    const bars = chart.lines.some((line) => line.bars);
    const margin = bars ? chart.bucket / 2 : 0;
    const scales = { x: { time: true, range: (_, low, high) => [low - margin, high + margin] }, [chart.unit]: steep ? { distr: 3, log: 10, range: (_, low, high) => [low / 1.3, high * 1.3] } : { range } };
    if (second) {
      axes.push({ ...axis, scale: second.unit, side: 1, size: 48, gap: 4, space: 34, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => written(tick, second.unit)) });
      scales[second.unit] = { range };
    }
    return {
      width: this.plotWidth,
      height: Number(this.dataset.height) || FALLBACK_HEIGHT,
      padding: [8, second ? 0 : 10, 0, 0],
      tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales,
      axes,
      series: [
        { label: "UTC", value: (_, seconds) => (seconds == null ? "" : new Date(seconds * 1000).toISOString().slice(5, 16).replace("T", " ")) },
        ...chart.lines.map((line, index) => this.series(line, index)),
      ],
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      legend: { live: true },
      hooks: { setSelect: [(plot) => this.zoom(plot)], ready: [(plot) => this.clicks(plot)] },
    };
  }

  series(line, index) {
    const stroke = this.colour(line.bad ? "--kind-error" : `--series-${index + 1}`);
    const shared = { label: line.label, scale: line.unit, stroke, value: (_, value) => written(value, line.unit) };
    if (line.bars) {
      return { ...shared, fill: stroke, width: 0, points: { show: false }, paths: window.uPlot.paths.bars({ size: [0.8, 28, 3] }) };
    }
    // Few moments with traffic: a dot for each, and a line that leads the eye from one to the next.
    const filled = line.values.filter((value) => value != null).length;
    const sparse = filled < line.values.length / 2 || filled < 40;
    const dash = index > 0 && line.unit === "tokens" ? [4, 3] : undefined;
    return { ...shared, width: index === 0 ? 2 : 1.5, dash, points: { show: sparse, size: 5, fill: stroke }, spanGaps: sparse };
  }

  // What a colour of the design is just now, as the canvas wants it.
  colour(name) {
    this.probe ??= this.appendChild(Object.assign(document.createElement("span"), { hidden: true }));
    this.probe.style.color = `var(${name})`;
    return getComputedStyle(this.probe).color;
  }

  zoom(plot) {
    if (plot.select.width < 4) return;
    const from = plot.posToVal(plot.select.left, "x");
    const to = plot.posToVal(plot.select.left + plot.select.width, "x");
    location.assign(ranged(location.href, from, Math.max(to, from + 60)));
  }

  clicks(plot) {
    if (!this.dataset.href) return;
    plot.over.addEventListener("click", () => {
      const index = plot.cursor.idx;
      if (index == null || plot.select.width >= 4) return;
      const from = plot.data[0][index];
      location.assign(ranged(this.dataset.href, from, from + this.bucket));
    });
  }
}

function spread(lines) {
  const values = lines.flatMap((line) => line.values.filter((value) => value > 0));
  return values.length ? Math.max(...values) / Math.min(...values) : 1;
}

// Where a logarithmic scale of milliseconds is marked: moments people think in.
const MARKS = [1, 10, 100, 1e3, 1e4, 6e4, 6e5, 3.6e6, 3.6e7, 8.64e7];

function moments(plot, ticks) {
  const { min, max } = plot.scales.x;
  const days = max - min > 2.5 * 86400;
  return ticks.map((tick) => new Date(tick * 1000).toISOString().slice(days ? 5 : 11, days ? 10 : 16));
}

function ranged(address, from, to) {
  const url = new URL(address, location.href);
  const iso = (seconds) => new Date(Math.round(seconds) * 1000).toISOString().replace(".000", "");
  for (const name of ["window", "part", "cursor"]) url.searchParams.delete(name);
  url.searchParams.set("since", iso(from));
  url.searchParams.set("until", iso(to));
  return url;
}

function written(value, unit) {
  if (value == null) return "–";
  if (unit === "ms") return value < 1000 ? `${Math.round(value)} ms` : value < 60_000 ? `${trim(value / 1000)} s` : value < 3_600_000 ? `${trim(value / 60_000)} m` : `${trim(value / 3_600_000)} h`;
  if (unit === "usd") return value === 0 ? "$0" : value >= 100 ? `$${Math.round(value)}` : `$${Number(value.toPrecision(3))}`;
  return value >= 1e6 ? `${trim(value / 1e6)}M` : value >= 1e4 ? `${trim(value / 1e3)}k` : String(Math.round(value * 10) / 10);
}

function trim(number) {
  return String(Number(number.toPrecision(3)));
}

customElements.define("time-chart", TimeChart);
