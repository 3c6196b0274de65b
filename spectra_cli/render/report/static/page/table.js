// A table that a reader can sort, leaf through, and take along as CSV.

const ROWS_A_PAGE = 50;

// what a spreadsheet takes for a formula gets an apostrophe, as in every other CSV of spectra
const csvCell = (value) => {
  if (value === null || value === undefined || (typeof value === "number" && !Number.isFinite(value))) return "";
  if (typeof value === "number") return String(value);
  const shown = String(value);
  const safe = /^\s*[=+\-@＝＋－＠]/u.test(shown) ? `'${shown}` : shown;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

const element = (name, { text, ...attributes } = {}, ...inside) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  if (text !== undefined) made.textContent = text;
  made.append(...inside);
  return made;
};

const download = (name, text) => {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};

// columns: [{ head, isNumber, value(row), text(row), csv: [[name, value(row)], ...] }]
const tableIn = (host, { caption, file, count, columns, note }) => {
  const order = Array.from({ length: count }, (_, row) => row);
  let sorted = -1;
  let ascending = true;
  let page = 0;
  const body = element("tbody");
  const heads = columns.map((column, place) => {
    const button = element("button", { type: "button", class: "sort", text: column.head });
    const head = element("th", { scope: "col", class: column.isNumber ? "number" : undefined }, button);
    button.addEventListener("click", () => {
      ascending = sorted === place ? !ascending : true;
      sorted = place;
      const direction = ascending ? 1 : -1;
      const values = order.map((_, row) => column.value(row));
      const lacks = (one) => one === null || one === undefined || Number.isNaN(one);
      order.sort((a, b) => {
        const [first, second] = [values[a], values[b]];
        if (lacks(first) || lacks(second)) return lacks(first) - lacks(second) || a - b;
        const before = typeof first === "number" ? first - second : String(first).localeCompare(String(second));
        return direction * before || a - b;
      });
      for (const one of heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      page = 0;
      fill();
    });
    return head;
  });
  const where = element("span", { class: "where", role: "status" });
  const back = element("button", { type: "button", text: "Previous rows" });
  const on = element("button", { type: "button", text: "Next rows" });
  const save = element("button", { type: "button", text: "Download CSV", "data-file": file });
  const pages = Math.max(1, Math.ceil(count / ROWS_A_PAGE));
  const fill = () => {
    const start = page * ROWS_A_PAGE;
    const rows = order.slice(start, start + ROWS_A_PAGE);
    body.replaceChildren(
      ...rows.map((row) =>
        element("tr", {}, ...columns.map((column, place) =>
          element(place ? "td" : "th", {
            scope: place ? undefined : "row",
            class: column.isNumber ? "number" : undefined,
            text: column.text(row),
          })))));
    where.textContent = count ? `rows ${start + 1} to ${start + rows.length} of ${count}` : "no rows";
    back.disabled = page === 0;
    on.disabled = page >= pages - 1;
  };
  back.addEventListener("click", () => { page -= 1; fill(); });
  on.addEventListener("click", () => { page += 1; fill(); });
  save.addEventListener("click", () => {
    const cells = columns.flatMap((column) => column.csv ?? [[column.head, column.value]]);
    const lines = [cells.map(([name]) => csvCell(name)).join(",")];
    for (const row of order) lines.push(cells.map(([, value]) => csvCell(value(row))).join(","));
    download(file, `${lines.join("\r\n")}\r\n`);
  });
  fill();
  const controls = element("div", { class: "pages" }, where, ...(pages > 1 ? [back, on] : []), save);
  const table = element("table", {}, element("caption", { text: caption }),
    element("thead", {}, element("tr", {}, ...heads)), body);
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${caption}: table` }, table);
  host.replaceChildren(controls, scroll, ...(note ? [element("p", { class: "note", text: note })] : []));
};

// a table behind a summary, made when it is opened for the first time or what it is of has changed
const folded = (host, title, make) => {
  const inside = element("div");
  const details = element("details", { class: "numbers" }, element("summary", { text: title }), inside);
  host.append(details);
  let made = false;
  const show = () => {
    if (!details.open || made) return;
    made = true;
    tableIn(inside, make());
  };
  details.addEventListener("toggle", show);
  return () => { made = false; show(); };
};
