// Fills the page: every part that Python laid out gets its figures and tables.

const numbersOf = (list) => list?.map((one) => (one === null ? NaN : one));
const figureOf = (figure) => ({
  ...figure,
  panels: figure.panels.map((panel) => ({
    ...panel,
    series: panel.series?.map((one) => ({ ...one, x: numbersOf(one.x), y: numbersOf(one.y), low: numbersOf(one.low), high: numbersOf(one.high) })),
  })),
});

const sectionIn = (host, section) => {
  if (section.figure) {
    const figure = figureOf(section.figure);
    const panels = element("div", { class: figure.panels.length > 1 && !figure.panels[0].cells ? "panels" : "panels one" });
    host.prepend(panels);
    for (const panel of figure.panels) {
      const chart = chartIn(panels, { height: 300 });
      if (panel.cells || panel.wide) chart.frame.classList.add("wide");
      chart.show({ ...panel, title: panel.title }, { scale: panel.series?.some((one) => typeof one.ink?.shade === "number") ? figure.scale : undefined, name: figure.title });
    }
  }
  if (section.rows.length) {
    const shown = section.columns.map((name, place) => ({ name, place }));
    const isNumber = (place) => section.rows.every((row) => row[place] === null || typeof row[place] === "number");
    folded(host, "Numbers", () => ({
      caption: host.dataset.title, file: host.dataset.file, count: section.rows.length,
      columns: shown.map(({ name, place }) => ({
        head: name, isNumber: isNumber(place), value: (row) => section.rows[row][place],
        text: (row) => {
          const value = section.rows[row][place];
          return value === null ? "-" : typeof value === "number" ? general(value, 5) : String(value);
        },
      })),
    }));
  }
};

const checkpointsIn = (host) => {
  for (const run of DATA.runs) {
    const { keys, steps, numbers } = run.checkpoints;
    const made = element("div");
    host.append(made);
    tableIn(made, {
      caption: DATA.runs.length > 1 ? `Checkpoints of ${run.name}` : "Checkpoints",
      file: `${run.name}-checkpoints.csv`.replaceAll(/[^\w.-]+/g, "_"), count: keys.length,
      columns: [
        { head: "checkpoint", value: (row) => keys[row], text: (row) => keys[row] },
        { head: "step", isNumber: true, value: (row) => steps[row], text: (row) => String(steps[row] ?? "-") },
        ...Object.entries(numbers).map(([name, values]) => ({
          head: name, isNumber: true, value: (row) => values[row],
          text: (row) => (values[row] === null ? "-" : name === "tokens" ? tickWords(values[row]) : general(values[row], 5)),
        })),
      ],
    });
  }
};

const spectra = DATA.runs.some((one) => one.measured.length) ? spectraIn(document.getElementById("spectra-body")) : null;
if (spectra) trainingIn(document.getElementById("training-body"), spectra);
DATA.sections.forEach((section, number) => sectionIn(document.getElementById(`section-${number}`), section));
checkpointsIn(document.getElementById("checkpoints-body"));
darkness.addEventListener("change", redrawAll);
addEventListener("beforeprint", () => { printing.now = true; redrawAll(); });
addEventListener("afterprint", () => { printing.now = false; redrawAll(); });
document.documentElement.dataset.ready = String(Math.round(performance.now())); // milliseconds since the page began to load
