// A panel of a figure as a chart: axes, windows, cells, bars, series, rules and marks, in this order.

const darkness = matchMedia("(prefers-color-scheme: dark)");
const printing = { now: false };
const styleNow = () => DATA.styles[darkness.matches && !printing.now ? "dark" : "paper"];
const redraws = [];
const redrawAll = () => { for (const redraw of redraws) redraw(); };

const SYMBOLS = ["circle", "rect", "diamond", "triangle", "path://M0,0 L10,0 L5,10 Z", "path://M3,0 L7,0 L7,3 L10,3 L10,7 L7,7 L7,10 L3,10 L3,7 L0,7 L0,3 L3,3 Z"];

const mixed = (shades, share) => {
  const place = Math.min(Math.max(share, 0), 1) * (shades.length - 1);
  const low = Math.min(Math.floor(place), shades.length - 2);
  const parts = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  const [first, second] = [parts(shades[low]), parts(shades[low + 1])];
  return `rgb(${first.map((one, part) => Math.round(one + (place - low) * (second[part] - one))).join(",")})`;
};

const shareOf = (scale, value) => {
  if (!(scale.high > scale.low)) return 0.5;
  const at = scale.log ? Math.log : Number;
  return Math.min(1, Math.max(0, (at(value) - at(scale.low)) / (at(scale.high) - at(scale.low))));
};

const shadesOf = (style, scale) => (scale.diverging ? style.diverging : style.shades);

const colourOf = (style, ink) => {
  if (ink?.muted) return style.muted;
  if (typeof ink?.shade === "number") return mixed(style.shades, ink.shade);
  return style.palette[(ink?.category ?? 0) % style.palette.length];
};

// light on dark cells and dark on light ones
const inkOn = (colour) => {
  const [r, g, b] = colour.match(/\d+/g).map(Number);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 128 ? "#000000" : "#ffffff";
};

const ticksBetween = (low, high, log) => {
  if (!(high > low)) return [low];
  if (!log || high < 2 * low) {
    const rough = (high - low) / 4;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 2.5, 5, 10].find((one) => one * unit >= rough);
    const ticks = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high * (1 + 1e-9) + step * 1e-9; at += 1) {
      ticks.push(Number((at * step).toPrecision(12)));
    }
    return ticks;
  }
  const decades = Math.log10(high / low);
  const every = Math.max(1, Math.ceil(decades / 6));
  const fine = decades < 1 ? [1, 1.5, 2, 3, 5, 7] : decades < 2 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    if (fine.length === 1 && power % every) continue;
    for (const one of fine) {
      const at = one * 10 ** power;
      if (at >= low * (1 - 1e-9) && at <= high * (1 + 1e-9)) ticks.push(at);
    }
  }
  return ticks.length ? ticks : [low, high];
};

// an axis of numbers: charts get logarithms, so that no range is widened to whole decades
const numberAxis = (axis, values, style, { horizontal }) => {
  const known = values.filter((one) => Number.isFinite(one) && (!axis.log || one > 0));
  let low = axis.low ?? (known.length ? known.reduce((a, b) => Math.min(a, b)) : axis.log ? 1 : 0);
  let high = axis.high ?? (known.length ? known.reduce((a, b) => Math.max(a, b)) : axis.log ? 10 : 1);
  const to = axis.log ? Math.log10 : Number;
  if (!(high > low)) {
    [low, high] = axis.log ? [low / 1.5, low * 1.5] : [low - (Math.abs(low) || 1) / 10, low + (Math.abs(low) || 1) / 10];
  }
  const room = (to(high) - to(low)) * 0.04;
  const min = axis.low === undefined ? to(low) - room : to(low);
  const max = axis.high === undefined ? to(high) + room : to(high);
  const ticks = ticksBetween(low, high, axis.log).map(to);
  return {
    to,
    option: {
      type: "value", min, max, name: axis.label, nameLocation: "middle", nameGap: horizontal ? 28 : 52,
      nameTextStyle: { color: style.ink, fontSize: 12 },
      axisLine: { show: true, onZero: false, lineStyle: { color: style.muted } },
      axisTick: { show: true, customValues: ticks, lineStyle: { color: style.muted } },
      axisLabel: {
        color: style.ink, fontSize: 11, customValues: ticks, hideOverlap: true,
        formatter: (value) => tickWords(axis.log ? 10 ** value : value),
      },
      splitLine: { show: false },
      axisPointer: horizontal ? { show: true, type: "line", snap: false, label: { show: false }, lineStyle: { color: style.muted } } : { show: false },
    },
  };
};

const hatching = ({ x, y, width, height }, colour) => {
  const lines = [];
  for (let at = -height; at < width; at += 7) {
    const first = Math.max(at, 0);
    const last = Math.min(at + height, width);
    if (last > first) {
      lines.push({
        type: "line", silent: true, style: { stroke: colour, lineWidth: 1 },
        shape: { x1: x + first, y1: y + (first - at), x2: x + last, y2: y + (last - at) },
      });
    }
  }
  return lines;
};

const custom = (renderItem, more = {}) => ({
  type: "custom", renderItem, data: [0], silent: true, clip: true, animation: false, tooltip: { show: false }, z: 1, ...more,
});

const WINDOW_SHADES = { fit: 0.1, phase: 0.14 };

const windowsOf = (panel, style, x) => (panel.windows ?? []).map((one, number) => custom((params, api) => {
  const { coordSys } = params;
  const [left, right] = [one.low, one.high].map((at) => api.coord([x.to(Math.max(at, panel.x.log ? 1e-300 : at)), 0])[0]);
  const first = Math.max(coordSys.x, left);
  const shape = { x: first, y: coordSys.y, width: Math.min(coordSys.x + coordSys.width, right) - first, height: coordSys.height };
  if (shape.width <= 0) return undefined;
  const colour = colourOf(style, one.ink);
  const children = one.kind === "unreadable"
    ? hatching(shape, style.muted)
    : [{ type: "rect", shape, style: { fill: colour, opacity: WINDOW_SHADES[one.kind] ?? 0.1 } }];
  if (one.label) {
    children.push({
      type: "text", silent: true,
      style: { text: one.label, ...(one.kind === "phase" ? { x: first + 3 } : { x: first + shape.width - 3, align: "right" }), y: coordSys.y + 3 + (one.label.includes("\n") ? 0 : 13 * (number % 3)), fill: style.ink, fontSize: 11, lineHeight: 14 },
    });
  }
  return { type: "group", children };
}, { z: 0 }));

const bandOf = (one, style, x, y, log) => {
  const colour = colourOf(style, one.ink);
  const floor = (at) => y.to(log && !(at > 0) ? Number.MIN_VALUE : at);
  if (one.look === "points" || one.look === "both") {
    return custom((params, api) => {
      const children = [];
      one.x.forEach((at, place) => {
        const [low, high] = [one.low[place], one.high[place]];
        if (!Number.isFinite(low) || !Number.isFinite(high) || !Number.isFinite(at)) return;
        const [px, top] = api.coord([x.to(at), y.to(high)]);
        const bottom = api.coord([x.to(at), floor(low)])[1];
        children.push({ type: "line", shape: { x1: px, y1: top, x2: px, y2: bottom }, style: { stroke: colour, lineWidth: 1.2 } });
      });
      return { type: "group", children };
    });
  }
  return custom((params, api) => {
    const parts = [];
    let part = [];
    one.x.forEach((at, place) => {
      if (Number.isFinite(one.low[place]) && Number.isFinite(one.high[place]) && Number.isFinite(at)) part.push(place);
      else if (part.length) { parts.push(part); part = []; }
    });
    if (part.length) parts.push(part);
    return {
      type: "group",
      children: parts.map((places) => ({
        type: "polygon", style: { fill: colour, opacity: 0.22 },
        shape: {
          points: [
            ...places.map((place) => api.coord([x.to(one.x[place]), y.to(one.high[place])])),
            ...places.toReversed().map((place) => api.coord([x.to(one.x[place]), floor(one.low[place])])),
          ],
        },
      })),
    };
  });
};

const seriesOf = (one, style, x, y) => {
  const colour = colourOf(style, one.ink);
  const data = one.x.map((at, place) => {
    const [across, up] = [x.to(at), y.to(one.y[place])];
    return [Number.isFinite(across) ? across : null, Number.isFinite(up) ? up : null];
  });
  const category = one.ink?.category ?? 0;
  const shaded = typeof one.ink?.shade === "number";
  const symbol = SYMBOLS[shaded ? 0 : category % SYMBOLS.length];
  if (one.look === "points") {
    return {
      type: "scatter", data, symbol, symbolSize: 8, animation: false, itemStyle: { color: colour }, z: 4,
      label: one.names ? { show: true, position: "right", color: style.ink, fontSize: 11, formatter: ({ dataIndex }) => one.names[dataIndex] } : undefined,
    };
  }
  const dash = shaded || one.ink?.muted ? [] : DATA.dashes[category % DATA.dashes.length];
  const dashed = one.look === "dashed" || one.look === "fit";
  return {
    type: "line", data, symbol, showSymbol: one.look === "both", symbolSize: 6, animation: false, z: one.strong ? 5 : 3,
    emphasis: { disabled: true }, itemStyle: { color: colour },
    lineStyle: {
      color: colour, width: one.strong ? 2.6 : one.look === "fit" ? 2 : 1.5, opacity: one.faint ? 0.5 : 1,
      type: dashed ? [6, 4] : dash.length ? dash.map((part) => 3 * part) : "solid",
    },
  };
};

const rulesOf = (panel, style, x, y) => (panel.rules ?? []).map((rule) => {
  const across = rule.vertical !== undefined ? rule.vertical : false;
  return {
    type: "line", data: [], silent: true, animation: false,
    markLine: {
      silent: true, symbol: "none", animation: false, lineStyle: { color: colourOf(style, rule.ink), type: "dashed" },
      label: { formatter: rule.label ?? "", color: style.ink, fontSize: 11, position: "insideEndTop" },
      data: [across ? { xAxis: x.to(rule.at) } : { yAxis: y.to(rule.at) }],
    },
  };
});

const marksOf = (panel, style, x, y) => (panel.marks?.length ? [custom((params, api) => {
  const bottom = params.coordSys.y + params.coordSys.height - 7;
  const children = [];
  for (const mark of panel.marks) {
    const colour = colourOf(style, mark.ink);
    const [px, up] = api.coord([x.to(mark.x), mark.y === undefined ? 0 : y.to(mark.y)]);
    const py = mark.y === undefined ? bottom : up;
    if (mark.low !== undefined && mark.high !== undefined) {
      const [left, right] = [mark.low, mark.high].map((at) => api.coord([x.to(at), 0])[0]);
      children.push({ type: "line", shape: { x1: left, y1: py, x2: right, y2: py }, style: { stroke: colour, lineWidth: 1.5 } });
    }
    if (mark.symbol === "withheld") {
      for (const side of [-1, 1]) {
        children.push({ type: "line", shape: { x1: px - 4, y1: py - 4 * side, x2: px + 4, y2: py + 4 * side }, style: { stroke: colour, lineWidth: 1.6 } });
      }
    } else if (mark.symbol === "turn") {
      children.push({ type: "polygon", shape: { points: [[px, py - 6], [px + 6, py], [px, py + 6], [px - 6, py]] }, style: { fill: colour } });
    } else {
      children.push({ type: "circle", shape: { cx: px, cy: py, r: 4 }, style: { fill: colour } });
    }
    if (mark.text) children.push({ type: "text", style: { text: mark.text, x: px + 8, y: py - 6, fill: style.ink, fontSize: 11 } });
  }
  return { type: "group", children };
}, { z: 6, clip: false })] : []);

const barsOf = (panel, style, x, y) => (panel.bars ?? []).map((bars) => custom((params, api) => ({
  type: "group",
  children: bars.heights.map((height, place) => {
    const floor = y.option.min;
    const [left, top] = api.coord([x.to(bars.edges[place]), y.to(height)]);
    const [right, bottom] = api.coord([x.to(bars.edges[place + 1]), floor]);
    return { type: "rect", shape: { x: left, y: top, width: right - left - 1, height: Math.max(bottom - top, 0) }, style: { fill: colourOf(style, bars.ink), opacity: 0.5 } };
  }),
}), { z: 2 }));

const cellsOption = (panel, style) => {
  const { rows, columns, values, reasons, signs, scale } = panel.cells;
  const data = [];
  rows.forEach((_, row) => columns.forEach((__, column) => data.push([column, row])));
  const category = (names, more) => ({
    type: "category", data: names, axisTick: { show: false }, axisLine: { lineStyle: { color: style.muted } },
    nameTextStyle: { color: style.ink, fontSize: 12 }, nameLocation: "middle",
    axisLabel: { color: style.ink, fontSize: 11, hideOverlap: true, ...more.axisLabel }, ...more.axis,
  });
  const turned = columns.some((one) => one.length > 8);
  const longest = rows.reduce((most, one) => Math.max(most, one.length), 1);
  return {
    grid: { left: Math.min(12 + 6.2 * longest, 230) + (panel.y.label ? 18 : 0), right: 12, top: 8, bottom: turned ? 96 : 44 },
    xAxis: category(columns, {
      axis: { name: panel.x.label, nameGap: 28, position: "bottom" },
      axisLabel: turned ? { rotate: 40, interval: 0, hideOverlap: false, width: 130, overflow: "break", fontSize: 10 } : {},
    }),
    yAxis: category(rows, {
      axis: { inverse: true, name: panel.y.label, nameGap: 8 + 7 * longest },
      axisLabel: { width: 220, overflow: "break", interval: rows.length <= 60 ? 0 : "auto" },
    }),
    series: [{
      type: "custom", data, animation: false, progressive: 0, clip: true,
      renderItem: (params, api) => {
        const [column, row] = [api.value(0), api.value(1)];
        const [cx, cy] = api.coord([column, row]);
        const [width, height] = api.size([1, 1]);
        const shape = { x: cx - width / 2, y: cy - height / 2, width: width + 0.5, height: height + 0.5 };
        const value = values[row][column];
        if (value === null) {
          if (!reasons[row][column]) return undefined;
          return { type: "group", children: [{ type: "rect", shape, style: { fill: style.ground } }, ...hatching(shape, style.muted)] };
        }
        const fill = mixed(shadesOf(style, scale), shareOf(scale, value));
        const children = [{ type: "rect", shape, style: { fill } }];
        const sign = signs?.[row][column];
        if (sign && width > 8 && height > 8) {
          children.push({ type: "text", style: { text: sign, x: cx, y: cy, fill: inkOn(fill), fontSize: 11, align: "center", verticalAlign: "middle" } });
        }
        return { type: "group", children };
      },
    }],
  };
};

const cellWords = (panel, place) => {
  const { rows, columns, values, reasons, signs, scale, texts } = panel.cells;
  const [row, column] = [Math.floor(place / columns.length), place % columns.length];
  const where = [panel.y.label && `${panel.y.label} ${rows[row]}` || rows[row], panel.x.label && `${panel.x.label} ${columns[column]}` || columns[column]].join(", ");
  const value = values[row][column];
  if (value === null) return `${where}: ${reasons[row][column] || "nothing there"}`;
  const meaning = { "●": "different", "=": "equal" }[signs?.[row][column]] ?? (signs && scale.diverging ? "inconclusive" : "");
  return `${where}: ${texts?.[row][column] ?? general(value, 4)} ${scale.label}${meaning && `, ${meaning}`}`;
};

// words at one place along the horizontal axis: of each series the number nearest to it
const MOST_IN_WORDS = 8;
const lineWords = (panel, at) => {
  const log = panel.x.log ? Math.log : Number;
  const told = [];
  let here;
  for (const one of panel.series ?? []) {
    if (one.look === "fit" || one.quiet) continue;
    let best = -1;
    one.x.forEach((where, place) => {
      if (!Number.isFinite(where) || (panel.x.log && where <= 0)) return;
      if (best < 0 || Math.abs(log(where) - log(at)) < Math.abs(log(one.x[best]) - log(at))) best = place;
    });
    if (best < 0) continue;
    here ??= one.x[best];
    if (one.x[best] !== here) continue;
    const value = one.y[best];
    const error = one.high ? one.high[best] - value : NaN;
    const text = Number.isFinite(value) ? withError(value, error) : one.reasons?.[best] || "no value";
    told.push([one.label, one.names?.[best], text].filter(Boolean).join(" "));
  }
  if (here === undefined) return "";
  const rest = told.length > MOST_IN_WORDS ? `; ${told.length - MOST_IN_WORDS} more in the table` : "";
  return `${panel.x.label} ${tickWords(here)}: ${told.slice(0, MOST_IN_WORDS).join("; ")}${rest}`;
};

const placesAlong = (panel) => {
  const every = new Set();
  for (const one of panel.series ?? []) {
    if (one.look !== "fit" && !one.quiet) one.x.forEach((at) => { if (Number.isFinite(at) && (!panel.x.log || at > 0)) every.add(at); });
  }
  return [...every].sort((a, b) => a - b);
};

const HINT = "Arrow keys read the numbers one by one.";

// A chart with its words. `show(panel, { scale, onCell })` draws; `group`: charts whose pointers move together.
const chartIn = (host, { height = 300, group } = {}) => {
  const title = element("p", { class: "panel-title" });
  const canvas = element("div", { class: "chart", tabindex: "0", role: "group", "aria-roledescription": "chart" });
  canvas.style.height = `${height}px`;
  const readout = element("p", { class: "readout", "aria-live": "polite" });
  const key = element("ul", { class: "key" });
  const frame = element("div", { class: "panel" }, title, canvas, readout, key);
  host.append(frame);
  let chart = null;
  const begin = () => {
    chart = echarts.init(canvas, null, { renderer: "canvas" });
    if (group) { chart.group = group; echarts.connect(group); }
    new ResizeObserver(() => chart.resize()).observe(canvas);
    chart.on("updateAxisPointer", ({ axesInfo }) => {
      const info = axesInfo?.find((one) => one.axisDim === "x");
      if (now && !now.panel.cells && info) words(lineWords(now.panel, now.panel.x.log ? 10 ** info.value : info.value));
    });
    chart.on("mouseover", ({ dataIndex }) => { if (now?.panel.cells) { cursor = dataIndex; words(cellWords(now.panel, dataIndex)); } });
    chart.on("click", ({ dataIndex }) => { if (now?.panel.cells) now.onCell?.(dataIndex); });
  };
  let now = null;
  let axes = null;
  let cursor = -1;
  const words = (text) => { readout.textContent = text || HINT; };
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] };
    const step = steps[event.key];
    if (!now || !chart) return;
    if (event.key === "Enter" && now.panel.cells && cursor >= 0) { event.preventDefault(); now.onCell?.(cursor); return; }
    if (!step) return;
    event.preventDefault();
    if (now.panel.cells) {
      const { rows, columns } = now.panel.cells;
      const [row, column] = cursor < 0 ? [0, 0] : [Math.floor(cursor / columns.length), cursor % columns.length];
      const within = (value, size) => Math.min(Math.max(value, 0), size - 1);
      cursor = cursor < 0 ? 0 : within(row + step[0], rows.length) * columns.length + within(column + step[1], columns.length);
      words(cellWords(now.panel, cursor));
      const [px, py] = chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, [cursor % columns.length, Math.floor(cursor / columns.length)]);
      mark(px, py);
      return;
    }
    const places = placesAlong(now.panel);
    if (!places.length) return;
    cursor = Math.min(Math.max(cursor + (step[1] || step[0]), 0), places.length - 1);
    const at = places[cursor];
    words(lineWords(now.panel, at));
    const px = chart.convertToPixel({ xAxisIndex: 0 }, axes.x.to(at));
    chart.dispatchAction({ type: "updateAxisPointer", currTrigger: "mousemove", x: px, y: chart.getHeight() / 2 });
  });
  const mark = (px, py) => {
    chart.setOption({ graphic: [{ id: "cursor", type: "circle", shape: { r: 6 }, x: px, y: py, style: { fill: "none", stroke: styleNow().ink, lineWidth: 2 }, z: 100, silent: true }] });
  };
  // charts below the fold wait: a page of many is there at once
  let near = false;
  new IntersectionObserver((found, observer) => {
    if (!found.some((one) => one.isIntersecting)) return;
    observer.disconnect();
    near = true;
    draw();
  }, { rootMargin: "400px" }).observe(canvas);
  const draw = () => {
    if (!now) return;
    const style = styleNow();
    const { panel } = now;
    title.textContent = panel.title ?? "";
    canvas.setAttribute("aria-label", `${panel.title || now.name || "figure"}. ${HINT}`);
    if (panel.cells) {
      const rows = panel.cells.rows.length;
      canvas.style.height = `${Math.max(160, Math.min(60 + 90 * panel.cells.columns.some((one) => one.length > 8) + rows * (rows > 60 ? 10 : 22), 900))}px`;
    }
    keyIn(key, panel, now.scale ?? panel.cells?.scale, style);
    if (!near && !printing.now) return;
    if (!chart) begin();
    if (panel.cells) {
      chart.resize();
      chart.setOption({ animation: false, backgroundColor: "transparent", ...cellsOption(panel, style) }, true);
    } else {
      const across = [...(panel.series ?? []).flatMap((one) => one.x), ...(panel.bars ?? []).flatMap((one) => one.edges), ...(panel.marks ?? []).map((one) => one.x)];
      const finite = (list) => (list ?? []).filter(Number.isFinite);
      const up = [
        ...(panel.series ?? []).flatMap((one) => [...one.y, ...(panel.y.log ? [] : finite(one.low)), ...finite(one.high)]),
        ...(panel.bars ?? []).flatMap((one) => [...one.heights, 0]), ...(panel.marks ?? []).map((one) => one.y ?? NaN),
      ];
      axes = { x: numberAxis(panel.x, across, style, { horizontal: true }), y: numberAxis(panel.y, up, style, { horizontal: false }) };
      chart.setOption({
        animation: false, backgroundColor: "transparent",
        grid: { left: 72, right: 14, top: 10, bottom: 46 },
        tooltip: { show: true, trigger: "axis", showContent: false, axisPointer: { type: "line", axis: "x" } },
        xAxis: axes.x.option, yAxis: axes.y.option,
        series: [
          ...windowsOf(panel, style, axes.x), ...barsOf(panel, style, axes.x, axes.y),
          ...(panel.series ?? []).filter((one) => one.low && one.high).map((one) => bandOf(one, style, axes.x, axes.y, panel.y.log)),
          ...(panel.series ?? []).map((one) => seriesOf(one, style, axes.x, axes.y)),
          ...rulesOf(panel, style, axes.x, axes.y), ...marksOf(panel, style, axes.x, axes.y),
        ],
      }, true);
    }
  };
  redraws.push(draw);
  return {
    frame,
    show: (panel, { scale, onCell, name } = {}) => { now = { panel, scale, onCell, name }; cursor = -1; words(""); draw(); },
    hide: (hidden) => { frame.hidden = hidden; if (!hidden) chart?.resize(); },
  };
};

// what colours stand for: names of series, or the ends of a scale
const keyIn = (host, panel, scale, style) => {
  const first = (one, place, every) => every.findIndex((other) => other.label === one.label) === place;
  const items = (panel.series ?? []).filter((one) => one.label && !one.ofScale).filter(first).map((one) => {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = colourOf(style, one.ink);
    return element("li", {}, swatch, one.label);
  });
  if (scale) {
    const ramp = element("span", { class: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${shadesOf(style, scale).join(", ")})`;
    items.push(element("li", {}, `${scale.label}: ${tickWords(scale.low)} `, ramp, ` ${tickWords(scale.high)}`));
  }
  host.replaceChildren(...items);
};
