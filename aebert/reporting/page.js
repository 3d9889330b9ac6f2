"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const chart = document.getElementById("chart");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // ---- chart: roles become the colours of the page's theme ----
  const narrow = () => innerWidth < 600;
  const broken = (text) => (narrow() && text.length > 36 ? text.replace(/^(.{20,}?) /, "$1<br>") : text);
  function themed(figure) {
    const traces = figure.data.map((trace) => {
      // a phone has no room for the names of files that others beat; a touch shows them
      const mode = narrow() && trace.opacity < 1 ? trace.mode.replace("+text", "") : trace.mode;
      const own = colour(trace.meta.role);
      const hollow = ((trace.marker || {}).symbol || "").endsWith("-open");
      return {
        ...trace,
        mode,
        marker: { ...trace.marker, color: own, line: { color: hollow ? own : colour("paper"), width: hollow ? 2 : 1 } },
        line: { ...trace.line, color: own, width: 2.5 },
        ...(trace.error_y ? { error_y: { ...trace.error_y, color: own, thickness: 1.5, width: 5 } } : {}),
      };
    });
    const title = { ...figure.layout.xaxis.title, text: broken(figure.layout.xaxis.title.text) };
    const axis = { gridcolor: colour("line"), linecolor: colour("muted"), showline: true, automargin: true };
    const layout = {
      ...figure.layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("ink"), family: getComputedStyle(document.body).fontFamily, size: 13 },
      xaxis: { ...figure.layout.xaxis, title, ...axis },
      yaxis: { ...figure.layout.yaxis, ...axis },
      hoverlabel: { ...figure.layout.hoverlabel, bgcolor: colour("panel"), bordercolor: colour("muted"), font: { color: colour("ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("muted"), activecolor: colour("accent") },
      shapes: (figure.layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: colour(shape.name) } })),
    };
    return [traces, layout];
  }
  const config = { responsive: true, displaylogo: false, plotlyServerURL: "", showSendToCloud: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "sendChartToCloud"] };
  const progress = document.getElementById("progress");
  const files = document.getElementById("files-chart");
  const axis = () => document.querySelector("input[name=axis]:checked").value;
  function draw() {
    Plotly.react(chart, ...themed(data.chart), config);
    if (progress) Plotly.react(progress, ...themed(data.progress), config);
    if (files) Plotly.react(files, ...themed(data.files[axis()]), config);
  }

  // ---- dialog: what the picked model keeps of each layer ----
  const element = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  function bar(kind, kept, full) {
    const outer = element("div", `bar ${kind}`);
    const inner = element("i");
    inner.style.width = `${full ? (100 * kept) / full : 0}%`;
    outer.append(inner);
    outer.title = `${kept} of ${full}`;
    return [outer, element("span", "count", `${kept}/${full}`)];
  }
  function show(key) {
    const model = data.models[key];
    if (!model) return;
    const full = data.full || model;
    document.getElementById("model-title").textContent = model.title;
    document.getElementById("model-facts").textContent = model.facts;
    document.getElementById("model-removed").textContent = model.removed;
    const grid = element("div", "layers-grid");
    for (const text of ["layer", data.units[0], "", data.units[1], ""]) grid.append(element("b", "", text));
    const perLayer = model.ffn.length / model.heads.length;
    model.ffn.forEach((kept, block) => {
      const layer = Math.floor(block / perLayer);
      const first = block % perLayer === 0;
      grid.append(element("span", "count", first ? String(layer + 1) : ""));
      grid.append(...(first ? bar("heads", model.heads[layer], full.heads[layer]) : [element("span"), element("span")]));
      grid.append(...bar("ffn", kept, full.ffn[block]));
    });
    document.getElementById("layers").replaceChildren(grid);
    const picked = CSS.escape(key);
    for (const row of document.querySelectorAll("tbody tr")) row.classList.toggle("picked", row.querySelector(`[data-key="${picked}"]`) !== null);
    const dialog = document.getElementById("model");
    if (!dialog.open) dialog.showModal();
  }

  // ---- tables: a click on a title sorts, a second one turns the order; empty cells stay last ----
  function sort(header) {
    const table = header.closest("table");
    const column = header.cellIndex;
    const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = header.classList.contains("number");
    const value = (row) => {
      const text = row.cells[column].dataset.value;
      return numeric || (text !== "" && !Number.isNaN(Number(text))) ? (text === "" ? NaN : Number(text)) : text;
    };
    const missing = (entry) => entry === "" || Number.isNaN(entry);
    const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
    rows.sort(([a], [b]) => missing(a) - missing(b) || (missing(a) ? 0 : sign * (a < b ? -1 : a > b ? 1 : 0)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  draw();
  for (const drawn of [chart, progress, files].filter(Boolean)) drawn.on("plotly_click", (event) => show(event.points[0].customdata[0]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.addEventListener("click", (event) => {
    const pick = event.target.closest(".pick");
    if (pick) show(pick.dataset.key);
    const header = event.target.closest("table:not(.heat) th");
    if (header) sort(header);
    const copy = event.target.closest(".copy");
    if (copy) copyText(copy);
    if (event.target.id === "model") event.target.close(); // beside the dialog
  });
  for (const choice of document.querySelectorAll("input[name=axis]")) choice.addEventListener("change", draw);

  // a page from a disk may not write to the clipboard; its text is then selected instead
  async function copyText(button) {
    const source = button.parentNode.querySelector("pre");
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "selected";
    }
  }
})();
