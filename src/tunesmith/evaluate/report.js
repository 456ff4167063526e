"use strict";
// Draws every chart from the JSON beside it, in the colours of the page, and again when they change.
// Then the parts that answer: the list of errors, the cells of the matrix that open it, the threshold.
(function () {
  const wide = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const valuesOf = (node, name) => JSON.parse(node.querySelector(`script.${name}`).textContent);
  const counted = (number) => number.toLocaleString("en-US");

  function theme(layout, node) {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"),
      automargin: true, fixedrange: true };
    const themed = Object.assign({}, layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: colour("--font"), size: 12, color: colour("--text") },
      hoverlabel: { align: "left" }, margin: { l: 48, r: 12, t: 16, b: 44 }, autosize: true,
      height: layout.height || 320,
    });
    for (const name of ["xaxis", "yaxis", "yaxis2"]) {
      if (layout[name]) { themed[name] = Object.assign({}, axis, layout[name]); }
    }
    return themed;
  }

  function draw(node) {
    const figure = JSON.parse(node.querySelector("script").textContent);
    const data = figure.data.map((trace) => trace.type === "heatmap"
      ? Object.assign({}, trace, { colorscale: [[0, colour("--panel")], [1, colour("--blue")]] }) : trace);
    const canvas = node.querySelector(".canvas");
    Plotly.react(canvas, data, theme(figure.layout, node), { responsive: true, displayModeBar: false });
  }

  const charts = Array.from(document.querySelectorAll(".chart"));
  const drawAll = () => charts.forEach(draw);
  drawAll();
  wide.addEventListener("change", drawAll);

  // ---- errors: searched, and opened by the cells of the matrix

  function element(tag, words, kind) {
    const made = document.createElement(tag);
    if (words !== undefined) { made.textContent = words; }  // never as markup: these are a stranger's texts
    if (kind) { made.className = kind; }
    return made;
  }

  function rowOf(row) {
    const made = element("div", undefined, "error");
    if (row.picture) {
      const picture = element("img");
      picture.src = row.picture;
      picture.alt = "";
      made.append(picture);
    }
    made.append(element("q", row.text));
    const said = element("div", undefined, "said");
    for (const [name, words] of [["truth", row.truth], ["predicted", row.predicted]]) {
      const part = element("span", `${name} `);
      part.append(element("b", words));
      said.append(part);
    }
    said.append(element("span", row.weight), element("span", `row ${row.row}`));
    if (row.suspect) { said.append(element("span", "perhaps mislabelled", "suspect")); }
    made.append(said);
    return made;
  }

  const SHOWN = 200;  // at once; more is slow to draw, and nobody reads it
  const browser = document.querySelector(".rows");
  function browse() {
    const values = valuesOf(browser, "values");
    const [field, all, count, list] = ["input", ".all", ".count", ".list"].map((what) => browser.querySelector(what));
    const mistakes = values.rows.slice(0, values.mistakes);
    let cell = null;

    function show() {
      const wanted = field.value.trim().toLowerCase();
      const of = cell ? values.rows.filter((row) => row.cell[0] === cell[0] && row.cell[1] === cell[1]) : mistakes;
      const found = of.filter((row) => !wanted || `${row.text}\n${row.truth}\n${row.predicted}`.toLowerCase().includes(wanted));
      list.replaceChildren(...found.slice(0, SHOWN).map(rowOf));
      const right = cell && cell[0] === cell[1];
      const what = right ? "rows that were answered rightly, the least sure first" : found.length === 1 ? "error" : "errors";
      const where = cell ? (right ? ` as ${values.labels[cell[0]]}`
        : `: truth ${values.labels[cell[0]]}, predicted ${values.labels[cell[1]]}`) : "";
      const shown = found.length > SHOWN ? `, the first ${SHOWN} are shown` : "";
      count.textContent = `${counted(found.length)} ${what}${where}${shown}`;
      all.hidden = !cell && !wanted;
    }

    function open(truth, predicted) {
      cell = [truth, predicted];
      field.value = "";
      show();
      browser.scrollIntoView({ block: "start" });
    }

    field.addEventListener("input", show);
    all.addEventListener("click", () => { cell = null; field.value = ""; show(); });
    document.querySelectorAll("[data-cell]").forEach((button) => {
      button.addEventListener("click", () => open(...button.dataset.cell.split(",").map(Number)));
    });
    document.querySelectorAll(".matrix .canvas").forEach((canvas) => {
      canvas.on("plotly_click", (event) => {
        const point = event.points[0];
        open(point.customdata[2], point.customdata[3]);
      });
    });
  }
  if (browser) { browse(); }

  // ---- threshold: what is answered, and how much of it is right

  document.querySelectorAll(".threshold").forEach((node) => {
    const values = valuesOf(node, "coverage");
    const slider = node.querySelector("input");
    const canvas = node.querySelector(".canvas");
    function say() {
      const at = Number(slider.value);
      const [given, right] = [values.given[at], values.right[at]];
      node.querySelector("output").textContent = (at / 100).toFixed(2);
      const share = given ? `${(100 * right / given).toFixed(1)} %` : "–";
      node.querySelector(".said-by-slider").textContent = values.kind === "label"
        ? `${counted(given)} of ${counted(values.wanted)} rows are answered, ${counted(right)} of them rightly (${share}); ` +
          `${counted(values.wanted - given)} are left to a person.`
        : `${counted(given)} labels are given, ${counted(right)} of them rightly; ` +
          `${counted(values.wanted)} should have been.`;
      Plotly.relayout(canvas, { shapes: [{ type: "line", x0: at / 100, x1: at / 100, yref: "paper", y0: 0, y1: 1,
        line: { color: colour("--text"), width: 1.5, dash: "dot" } }] });
    }
    slider.addEventListener("input", say);
    say();
  });

  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((fold) => { fold.open = true; });  // paper can not be unfolded
    // the width of the paper is not known yet, and is not the window's: one that every paper has
    charts.forEach((node) => Plotly.relayout(node.querySelector(".canvas"),
      { width: node.closest(".square") ? 560 : 640 }));
  });
  window.addEventListener("afterprint", drawAll);
})();
