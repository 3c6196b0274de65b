// Statistics over training: trajectories with pointers that move together, and a map whose cells open spectra.

const MOST_TRAJECTORIES = 3;

const trainingIn = (host, spectra) => {
  const runs = DATA.runs.filter((one) => one.measured.length);
  const controls = element("div", { class: "controls" });
  const lines = element("div", { class: "panels" });
  const maps = element("div", { class: "panels one" });
  const caption = element("p", { class: "caption" });
  host.append(controls, lines, element("h3", { text: "Every layer over training" }), maps, caption);
  const charts = Array.from({ length: MOST_TRAJECTORIES }, () => chartIn(lines, { height: 260, group: "training" }));
  const map = chartIn(maps);
  const state = { of: "0", measurement: runs[0].measured[0]?.name, part: "", statistic: "", axis: "", layer: "" };
  const together = () => state.of === "all";
  const run = () => runs[together() ? 0 : Number(state.of)];
  const kindOf = (one) => one.measured.find((each) => each.name === state.measurement);
  const measured = () => opened(kindOf(run()));
  const redo = (field) => (name) => { state[field] = name; arrange(); };
  const ofPicker = picker(controls, "Lines", [...(runs.length > 1 ? [["all", "runs, of one layer"]] : []), ...runs.map((one, number) => [String(number), `layers of ${one.name}`])], state.of, redo("of"));
  const kindPicker = picker(controls, "Statistics of", [], undefined, redo("measurement"));
  const partPicker = picker(controls, "Matrix", [], undefined, redo("part"));
  const layerPicker = picker(controls, "Layer", [], undefined, redo("layer"));
  const statisticPicker = picker(controls, "Statistic", [], undefined, redo("statistic"));
  const axisPicker = picker(controls, "Over", [], undefined, redo("axis"));
  if (runs.length > 1) { state.of = "all"; ofPicker.value = "all"; }

  const arrange = () => {
    const kinds = run().measured.filter((one) => !together() || runs.every((each) => each.measured.some((kind) => kind.name === one.name)));
    if (!kinds.some((one) => one.name === state.measurement)) state.measurement = (kinds[0] ?? run().measured[0]).name;
    const found = measured();
    if (!found.components.some((one) => one.name === state.part)) state.part = found.components[0].name;
    if (!found.byName[state.statistic]) state.statistic = found.usual[0];
    const held = together() ? runs.flatMap((one) => kindOf(one)?.sites ?? []) : found.sites;
    const layers = [...new Set(held.filter((one) => one.component === state.part).map((one) => String(one.layer)))];
    if (!layers.includes(state.layer)) state.layer = layers.at(-1);
    const axes = axesOf(together() ? runs : [run()]);
    if (!axes.includes(state.axis)) state.axis = axes.includes("tokens") && together() ? "tokens" : axes[0] ?? "";
    kindPicker.fill(kinds.map((one) => [one.name, one.words]), state.measurement);
    partPicker.fill(found.components.map((one) => [one.name, one.name === one.words ? one.name : `${one.name} (${one.words})`]), state.part);
    layerPicker.fill(together() ? layers.map((one) => [one, one === "null" ? "none" : one]) : [], state.layer);
    statisticPicker.fill(found.statistics.map((one) => [one.name, one.title]), state.statistic);
    axisPicker.fill(axes.map((one) => [one, one]), state.axis);
    draw();
  };
  const lineOf = (of, kind, statistic, site, more) => {
    const x = positionsOn(of, state.axis);
    const values = of.checkpoints.keys.map((_, place) => valueAt(kind, statistic, place, site));
    const order = x.map((_, place) => place).filter((place) => Number.isFinite(x[place])).sort((a, b) => x[a] - x[b]);
    const pick = (list) => order.map((place) => list[place]);
    const errors = values.map((one) => (Number.isFinite(one.error) ? one.error : 0));
    const known = values.some((one) => Number.isFinite(one.error));
    return {
      x: pick(x), y: pick(values.map((one) => one.value)), look: order.length <= 40 ? "both" : "line",
      ...(known ? { low: pick(values.map((one, place) => one.value - errors[place])), high: pick(values.map((one, place) => one.value + errors[place])) } : {}),
      reasons: pick(values.map((one) => one.reason)), names: undefined, ...more,
    };
  };
  const linesOf = (statisticName) => {
    if (together()) {
      return runs.flatMap((of, number) => {
        const kind = kindOf(of) && opened(kindOf(of));
        const site = kind ? kind.sites.findIndex((one) => String(one.layer) === state.layer && one.component === state.part) : -1;
        const statistic = kind?.byName[statisticName];
        return site < 0 || !statistic ? [] : [lineOf(of, kind, statistic, site, { ink: { category: number }, label: of.name })];
      });
    }
    const found = measured();
    const sites = found.sites.map((one, place) => ({ ...one, place })).filter((one) => one.component === state.part);
    const scale = layerScale();
    return sites.map((one, number) => lineOf(run(), found, found.byName[statisticName], one.place, {
      ink: scale ? { shade: shareOf(scale, one.layer) } : { category: number }, label: one.layer === null ? one.address : `layer ${one.layer}`, ofScale: Boolean(scale),
    }));
  };
  const layerScale = () => {
    const layers = measured().sites.filter((one) => one.component === state.part && one.layer !== null).map((one) => one.layer);
    return !together() && layers.length > 6 ? { label: "layer", low: Math.min(...layers), high: Math.max(...layers) } : undefined;
  };
  const draw = () => {
    const found = measured();
    const chosen = [...new Set([state.statistic, ...found.usual])].slice(0, MOST_TRAJECTORIES);
    const one = run().checkpoints.keys.length < 2;
    charts.forEach((chart, number) => {
      const name = chosen[number];
      chart.hide(!name || !state.axis || one);
      if (!name || !state.axis || one) return;
      const series = linesOf(name);
      const scale = layerScale();
      const every = series.flatMap((each) => each.y).filter(Number.isFinite);
      const log = every.length > 0 && Math.min(...every) > 0 && Math.max(...every) > 30 * Math.min(...every);
      const across = spread(series.flatMap((each) => each.x)) && state.axis !== "loss";
      const marks = series.flatMap((each) => each.x.map((at, place) => [at, place]).filter(([at, place]) => !Number.isFinite(each.y[place]) && each.reasons[place] && (!across || at > 0)).map(([at]) => ({ x: at, symbol: "withheld", ink: each.ink })));
      const statistic = found.byName[name];
      const here = (each) => String(each.layer) === state.layer && each.component === state.part;
      const where = together() ? `, ${runs.flatMap((each) => kindOf(each)?.sites ?? []).find(here).words}` : "";
      chart.show({
        title: `${statistic.title}${where}`, x: { label: AXES[state.axis], log: across }, y: { label: statistic.head, log },
        series, marks,
      }, { scale, name: statistic.title });
    });
    drawMap(found);
    const zero = spread(positionsOn(run(), state.axis)) && positionsOn(run(), state.axis).some((at) => at <= 0) && state.axis !== "loss";
    caption.textContent = [
      found.caption, found.exact ? "" : "Bars: one standard error.",
      "Crosses and hatched cells: withheld; their place says why.",
      zero ? "A checkpoint at 0 has no place on a logarithmic axis." : "",
      "Enter or a click on a cell opens its spectrum.",
    ].filter(Boolean).join(" ");
    refresh();
  };
  const drawMap = (found) => {
    const statistic = found.byName[state.statistic];
    const sites = found.sites.map((one, place) => ({ ...one, place })).filter((one) => one.component === state.part);
    const { keys, steps } = run().checkpoints;
    const grid = sites.map((one) => keys.map((_, place) => valueAt(found, statistic, place, one.place)));
    const values = grid.flat().map((one) => one.value).filter(Number.isFinite);
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    map.show({
      title: `${statistic.title} of ${found.words}${found.components.length > 1 ? `, ${state.part}` : ""}${runs.length > 1 ? `, ${run().name}` : ""}`,
      x: { label: "step" }, y: { label: "layer" },
      cells: {
        rows: sites.map((one) => (one.layer === null ? one.address : String(one.layer))),
        columns: keys.map((key, place) => (steps[place] === null ? key : tickWords(steps[place]))),
        values: grid.map((row) => row.map((one) => (Number.isFinite(one.value) ? one.value : null))),
        reasons: grid.map((row) => row.map((one) => one.reason)),
        texts: grid.map((row) => row.map(statisticWords)),
        scale: values.length ? { label: statistic.head, low, high, log: low > 0 && high > 10 * low } : { label: statistic.head, low: 0, high: 1 },
      },
    }, {
      onCell: (cell) => {
        const site = sites[Math.floor(cell / keys.length)];
        spectra.open(runs.indexOf(run()), state.measurement, site.address, cell % keys.length);
      },
    });
  };
  const refresh = folded(host, "Numbers of all checkpoints, layers and matrices", () => {
    const rows = [];
    const chosen = together() ? runs : [run()];
    for (const of of chosen) {
      const kind = kindOf(of) && opened(kindOf(of));
      if (kind) of.checkpoints.keys.forEach((_, place) => kind.sites.forEach((__, site) => rows.push([of, kind, place, site])));
    }
    const number = (row, name) => valueAt(rows[row][1], rows[row][1].byName[name] ?? { values: [], reasons: [] }, rows[row][2], rows[row][3]);
    const first = measured();
    return {
      caption: `Statistics of ${first.words}; ± is one standard error, * has a reservation`,
      file: `${chosen.map((one) => one.name).join("-")}-${first.words}.csv`.replaceAll(/[^\w.-]+/g, "_"),
      count: rows.length,
      columns: [
        ...(chosen.length > 1 ? [{ head: "run", value: (row) => rows[row][0].name, text: (row) => rows[row][0].name }] : []),
        { head: "step", isNumber: true, value: (row) => rows[row][0].checkpoints.steps[rows[row][2]], text: (row) => String(rows[row][0].checkpoints.steps[rows[row][2]] ?? rows[row][0].checkpoints.keys[rows[row][2]]), csv: [["checkpoint", (row) => rows[row][0].checkpoints.keys[rows[row][2]]], ["step", (row) => rows[row][0].checkpoints.steps[rows[row][2]]], ["tokens", (row) => rows[row][0].checkpoints.numbers.tokens?.[rows[row][2]]]] },
        { head: "place", value: (row) => rows[row][1].sites[rows[row][3]].address, text: (row) => rows[row][1].sites[rows[row][3]].address, csv: [["measurement", (row) => rows[row][1].name], ["site", (row) => rows[row][1].sites[rows[row][3]].address]] },
        ...first.statistics.map((one) => ({
          head: one.head, isNumber: true, value: (row) => number(row, one.name).value, text: (row) => statisticWords(number(row, one.name)),
          csv: [[one.name, (row) => number(row, one.name).value], ...(one.errors ? [[`${one.name}_stderr`, (row) => number(row, one.name).error]] : []), ...(one.reasons.some(Boolean) ? [[`${one.name}_reason`, (row) => number(row, one.name).reason]] : [])],
        })),
      ],
    };
  });
  arrange();
};
