// What a run measured: its statistics as grids (checkpoint, place), and its spectra as curves.

const opened = (measured) => {
  if (measured.open) return measured;
  for (const one of measured.statistics) {
    one.values = new Float64Array(bytesOf(one.values));
    one.errors = one.errors ? new Float64Array(bytesOf(one.errors)) : null;
    one.reasons = new Uint32Array(bytesOf(one.reasons));
  }
  measured.byName = Object.fromEntries(measured.statistics.map((one) => [one.name, one]));
  measured.open = true;
  return measured;
};

const valueAt = (measured, statistic, place, site) => {
  const at = place * measured.sites.length + site;
  const value = statistic.values[at];
  return {
    value, error: statistic.errors ? statistic.errors[at] : NaN,
    reason: measured.reasons[statistic.reasons[at]],
  };
};

const statisticWords = ({ value, error, reason }) =>
  Number.isFinite(value) ? withError(value, error) + (reason ? "*" : "") : reason ? "withheld" : "-";

const curveAt = (measured, site, place) => {
  for (const group of measured.curves[site]) {
    const row = group.places.indexOf(place);
    if (row < 0) continue;
    group.ranksWhole ??= wholeRanks(group.ranks);
    const ranks = group.ranksWhole;
    const values = rowOfCodes(group.values, Uint16Array, row, ranks.length);
    const errors = ranks.map(() => NaN);
    if (group.errorRanks) {
      const told = rowOfCodes(group.errors, Uint8Array, row, group.errorRanks.length);
      group.errorRanks.forEach((rank, number) => { errors[ranks.indexOf(rank)] = told[number]; });
    }
    const fits = group.fits.map((fit) => {
      fit.open ??= new Float32Array(bytesOf(fit.heights));
      return { statistic: fit.statistic, window: fit.window, heights: [fit.open[2 * row], fit.open[2 * row + 1]] };
    });
    return { size: group.size, ranks, values, errors, errorRanks: group.errorRanks ?? [], fits };
  }
  return null;
};

// positions of a run's checkpoints on an axis; NaN where they are not known
const AXES = { step: "step", tokens: "tokens", loss: `${DATA.loss} (nats)` };
const positionsOn = (run, axis) => {
  const { steps, numbers } = run.checkpoints;
  const loss = DATA.loss === null ? undefined : numbers[DATA.loss];
  const found = { step: steps, tokens: numbers.tokens, loss }[axis] ?? [];
  return run.checkpoints.keys.map((_, place) => found[place] ?? NaN);
};
const axesOf = (runs) => Object.keys(AXES).filter((axis) => runs.every((run) => positionsOn(run, axis).some(Number.isFinite)));

const spread = (values) => {
  const known = values.filter((one) => one > 0 && Number.isFinite(one));
  return known.length > 2 && Math.max(...known) > 50 * Math.min(...known);
};
const evenly = (count, most) =>
  count <= most ? Array.from({ length: count }, (_, place) => place)
    : Array.from({ length: most }, (_, place) => Math.round((place * (count - 1)) / (most - 1)));

const picker = (host, words, options, chosen, changed) => {
  const select = element("select");
  const label = element("label", {}, `${words} `, select);
  const fill = (list, value) => {
    select.replaceChildren(...list.map(([name, text]) => element("option", { value: name, text })));
    if (value !== undefined) select.value = value;
    label.hidden = list.length < 2;
  };
  fill(options, chosen);
  select.addEventListener("change", () => changed(select.value));
  host.append(label);
  return { fill, get value() { return select.value; }, set value(name) { select.value = name; }, label };
};
