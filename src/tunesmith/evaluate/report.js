"use strict";
// Draws every chart from the JSON beside it, in the colours of the page, and again when they change.
(function () {
  const wide = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

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
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((fold) => { fold.open = true; });  // paper can not be unfolded
    // the width of the paper is not known yet, and is not the window's: one that every paper has
    charts.forEach((node) => Plotly.relayout(node.querySelector(".canvas"),
      { width: node.closest(".square") ? 560 : 640 }));
  });
  window.addEventListener("afterprint", drawAll);
})();
