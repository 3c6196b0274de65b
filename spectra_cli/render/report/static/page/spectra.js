// Spectra of one place: a slider over training, pickers of layer and matrix, and the other runs beside.

const MOST_FAINT = 8;

const spectraIn = (host) => {
  const runs = DATA.runs.filter((one) => one.measured.length);
  const controls = element("div", { class: "controls" });
  const chartHost = element("div", { class: "panels one" });
  const caption = element("p", { class: "caption" });
  host.append(controls, chartHost, caption);
  const chart = chartIn(chartHost, { height: 400 });
  const state = { run: 0, measurement: runs[0].measured[0]?.name, site: 0, place: runs[0].checkpoints.keys.length - 1 };
  const run = () => runs[state.run];
  const measured = () => opened(run().measured.find((one) => one.name === state.measurement));
  const runPicker = picker(controls, "Run", runs.map((one, number) => [String(number), one.name]), "0", (name) => {
    const loss = positionsOn(run(), "loss")[state.place];
    state.run = Number(name);
    state.place = nearestPlace(run(), loss) ?? run().checkpoints.keys.length - 1;
    arrange();
  });
  const kindPicker = picker(controls, "Spectra of", [], undefined, (name) => { state.measurement = name; arrange(); });
  const layerPicker = picker(controls, "Layer", [], undefined, (layer) => choose(layer, partPicker.value));
  const partPicker = picker(controls, "Matrix", [], undefined, (part) => choose(layerPicker.value, part));
  const slider = element("input", { type: "range", min: "0", step: "1" });
  const which = element("output");
  const sliderLabel = element("label", { class: "slider" }, "Checkpoint ", slider, " ", which);
  const beside = element("input", { type: "checkbox" });
  const besideLabel = element("label", {}, beside, " other runs at the nearest loss");
  const others = element("input", { type: "checkbox", checked: true });
  const othersLabel = element("label", {}, others, " other checkpoints");
  controls.append(sliderLabel, othersLabel, ...(runs.length > 1 ? [besideLabel] : []));
  slider.addEventListener("input", () => { state.place = Number(slider.value); draw(); });
  for (const box of [beside, others]) box.addEventListener("change", () => draw());
  if (runs.length > 1) beside.checked = true;
  if (runs.length > 1) others.checked = false;

  const choose = (layer, part) => {
    const { sites } = measured();
    const at = sites.findIndex((one) => String(one.layer) === layer && one.component === part);
    state.site = at >= 0 ? at : sites.findIndex((one) => String(one.layer) === layer);
    arrange();
  };
  const nearestPlace = (of, loss) => {
    const known = positionsOn(of, "loss").map((one, place) => [Math.abs(one - loss), place]).filter(([gap]) => Number.isFinite(gap));
    return known.length ? known.reduce((best, one) => (one[0] < best[0] ? one : best))[1] : undefined;
  };
  const arrange = () => {
    const kinds = run().measured.map((one) => [one.name, one.words]);
    if (!kinds.some(([name]) => name === state.measurement)) state.measurement = kinds[0][0];
    const { sites, components } = measured();
    state.site = Math.min(Math.max(state.site, 0), sites.length - 1);
    const site = sites[state.site];
    const layers = [...new Set(sites.map((one) => String(one.layer)))];
    const parts = components.filter((part) => sites.some((one) => String(one.layer) === String(site.layer) && one.component === part.name));
    runPicker.value = String(state.run);
    kindPicker.fill(kinds, state.measurement);
    layerPicker.fill(layers.map((one) => [one, one === "null" ? "none" : one]), String(site.layer));
    partPicker.fill(parts.map((one) => [one.name, one.name === one.words ? one.name : `${one.name} (${one.words})`]), site.component);
    slider.max = String(run().checkpoints.keys.length - 1);
    sliderLabel.hidden = othersLabel.hidden = run().checkpoints.keys.length < 2;
    draw();
  };
  const lineOf = (curve, more) => ({
    x: curve.ranks, y: curve.values,
    ...(more.strong && curve.errorRanks.length ? bandOfCurve(curve) : {}), ...more,
  });
  // errors stand at some ranks alone: between them the band goes straight on the logarithmic axes
  const bandOfCurve = (curve) => {
    const low = curve.values.map(() => NaN);
    const high = curve.values.map(() => NaN);
    const known = curve.ranks.map((_, place) => place).filter((place) => Number.isFinite(curve.errors[place]) && Number.isFinite(curve.values[place]));
    known.forEach((place, number) => {
      const next = known[number + 1] ?? place;
      for (let at = place; at <= next; at += 1) {
        const share = next > place ? Math.log(curve.ranks[at] / curve.ranks[place]) / Math.log(curve.ranks[next] / curve.ranks[place]) : 0;
        const relative = (1 - share) * (curve.errors[place] / curve.values[place]) + share * (curve.errors[next] / curve.values[next]);
        low[at] = curve.values[at] * (1 - relative > 0 ? 1 - relative : 1e-3);
        high[at] = curve.values[at] * (1 + relative);
      }
    });
    return { low, high };
  };
  const draw = () => {
    const found = measured();
    const site = found.sites[state.site];
    const { keys } = run().checkpoints;
    const positions = positionsOn(run(), "step");
    const byStep = positions.filter(Number.isFinite).length === keys.length && keys.length > 1;
    const log = byStep && spread(positions);
    const known = positions.filter((one) => Number.isFinite(one) && (!log || one > 0));
    const scale = byStep ? { label: "step", low: Math.min(...known), high: Math.max(...known), log } : undefined;
    const inkOf = (place) => (byStep && runs.length === 1 ? { shade: shareOf(scale, Math.max(positions[place], scale.low)) } : { category: runs.length > 1 ? state.run : place });
    slider.value = String(state.place);
    which.textContent = keys[state.place];
    slider.setAttribute("aria-valuetext", keys[state.place]);
    const series = [];
    if (others.checked) {
      for (const place of evenly(keys.length, MOST_FAINT)) {
        const curve = place === state.place ? null : curveAt(found, state.site, place);
        if (curve) series.push(lineOf(curve, { ink: inkOf(place), faint: true, quiet: true, label: byStep && runs.length === 1 ? "" : keys[place] }));
      }
    }
    const here = curveAt(found, state.site, state.place);
    const windows = [];
    const told = [];
    if (here) {
      series.push(lineOf(here, { ink: inkOf(state.place), strong: true, label: runs.length > 1 ? `${run().name}, ${keys[state.place]}` : keys[state.place] }));
      for (const fit of here.fits) {
        const statistic = found.byName[fit.statistic];
        const value = valueAt(found, statistic, state.place, state.site);
        const held = Number.isFinite(value.value);
        const [lo, hi] = fit.window;
        const name = `α ${fit.statistic.startsWith("head") ? "head" : "tail"} ${lo}-${hi}`;
        windows.push({ low: lo, high: hi, kind: held ? "fit" : "unreadable", label: `${name}\n${held ? statisticWords(value) : "withheld"}`, ink: { muted: true } });
        if (held) series.push({ x: [lo, hi], y: fit.heights, look: "fit", ink: { muted: true } });
        if (value.reason) told.push(`${name}: ${held ? "with a reservation (*)" : "withheld"}: ${value.reason}.`);
      }
    } else {
      told.push(`Nothing was measured here at ${keys[state.place]}.`);
    }
    if (runs.length > 1 && beside.checked) {
      const loss = positionsOn(run(), "loss")[state.place];
      runs.forEach((other, number) => {
        if (number === state.run) return;
        const there = other.measured.find((one) => one.name === state.measurement);
        const at = there ? opened(there).sites.findIndex((one) => one.address === site.address) : -1;
        const place = nearestPlace(other, loss);
        const curve = at >= 0 && place !== undefined ? curveAt(there, at, place) : null;
        if (place === undefined) { told.push(`${other.name} stands nowhere beside it: there is no loss that both have.`); return; }
        if (!curve) { told.push(`${other.name} has no such spectrum.`); return; }
        const gap = positionsOn(other, "loss")[place] - loss;
        series.push(lineOf(curve, { ink: { category: number }, strong: true, label: `${other.name}, ${other.checkpoints.keys[place]} (loss ${gap < 0 ? "−" : "+"}${general(Math.abs(gap), 2)})` }));
      });
    }
    const panel = {
      title: `${site.words} at ${keys[state.place]}`,
      x: { label: "rank", log: true, low: 1 }, y: { label: `eigenvalue, ${found.unit}`, log: true }, series, windows,
    };
    chart.show(panel, { scale: runs.length === 1 && others.checked ? scale : undefined });
    caption.textContent = [
      told.join(" "), found.caption,
      here ? `${here.size} values; drawn at ${here.ranks.length} ranks: equally spaced in the logarithm, and every rank of the windows that exponents are fitted over.` : "",
      here?.errorRanks.length ? "Band: one standard error." : "",
      here?.fits.length ? "Grey dashes: the fitted exponents." : "",
    ].filter(Boolean).join(" ");
    refresh();
  };
  const refresh = folded(host, "Numbers of this spectrum", () => {
    const found = measured();
    const site = found.sites[state.site];
    const key = run().checkpoints.keys[state.place];
    const curve = curveAt(found, state.site, state.place) ?? { ranks: [], values: [], errors: [], size: 0 };
    const digits = (one) => Number(one.toPrecision(4));
    return {
      caption: `${site.words} at ${key}: eigenvalues (${found.unit}) at the ranks that are drawn`,
      file: `${run().name}-${key}-${site.address}-spectrum.csv`.replaceAll(/[^\w.-]+/g, "_"),
      count: curve.ranks.length,
      columns: [
        { head: "rank", isNumber: true, value: (row) => curve.ranks[row], text: (row) => String(curve.ranks[row]) },
        { head: "eigenvalue", isNumber: true, value: (row) => (Number.isFinite(curve.values[row]) ? digits(curve.values[row]) : NaN), text: (row) => (Number.isFinite(curve.values[row]) ? general(curve.values[row], 4) : "zero") },
        { head: "standard_error", isNumber: true, value: (row) => (Number.isFinite(curve.errors[row]) ? Number(curve.errors[row].toPrecision(2)) : NaN), text: (row) => (Number.isFinite(curve.errors[row]) ? general(curve.errors[row], 2) : "-") },
      ],
      note: "To four digits, errors to two; all ranks and digits: spectra export ARCHIVE -o FILE --spectra.",
    };
  });
  arrange();
  return {
    open: (runNumber, measurement, address, place) => {
      Object.assign(state, { run: runNumber, measurement });
      state.site = measured().sites.findIndex((one) => one.address === address);
      state.place = place;
      arrange();
      const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
      document.getElementById("spectra").scrollIntoView({ behavior: smooth ? "smooth" : "auto" });
      slider.focus({ preventScroll: true });
    },
  };
};
