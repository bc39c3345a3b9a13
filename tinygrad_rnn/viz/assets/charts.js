// The views without a graph: lines and heat maps over time, the text, and what a comparison found.
function plot(roles, what, title) { // norms over time, as lines on a log scale
  const W = 560, H = 150, left = 58, right = 12;
  let low = Infinity, high = -Infinity;
  const lines = roles.map(role => {
    const points = [], rows = A.byRole.subarray(roleStart[role], roleStart[role + 1]), stride = Math.max(1, Math.floor(rows.length / 500));
    for (let k = 0; k < rows.length; k += stride) { // of many, the largest
      const row = rows.subarray(k, k + stride).reduce((a, b) => norm(what, b) > norm(what, a) ? b : a), v = Math.log10(norm(what, row));
      if (Number.isFinite(v)) { points.push([A.t[row], v]); low = Math.min(low, v); high = Math.max(high, v); }
    }
    return points;
  });
  if (!lines.some(p => p.length > 1)) return null;
  if (high - low < 0.2) { high += 0.1; low -= 0.1; }
  const x = t => left + (W - left - right) * t / Math.max(D.steps - 1, 1), y = v => H - 22 - (H - 34) * (v - low) / (high - low);
  const label = `${title}; from ${short(10 ** low)} to ${short(10 ** high)}`;
  const svg = el("svg:svg", {class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label});
  for (const v of [low, (low + high) / 2, high]) svg.append(el("svg:path", {class: "rule", d: `M${left},${y(v)}H${W - right}`}),
    text(left - 6, y(v) + 3.5, short(+(10 ** v).toPrecision(2)), "small soft end"));
  svg.append(el("svg:path", {class: "now", d: `M${x(state.t)},8V${H - 22}`}));
  svg.append(text(left, H - 6, "t = 0", "small soft start"), text(W - right, H - 6, `t = ${D.steps - 1}`, "small soft end"));
  const path = points => "M" + points.map(q => `${x(q[0]).toFixed(1)},${y(q[1]).toFixed(1)}`).join("L");
  lines.forEach((points, k) => points.length && svg.append(el("svg:path", {class: `line line-${k % 4}`, d: path(points)})));
  const at = e => (fraction(e, svg.getBoundingClientRect())[0] * W - left) / (W - left - right);
  svg.addEventListener("click", e => setTime(Math.round(at(e) * (D.steps - 1))));
  const key = (r, k) => el("span", {class: "legend"}, el("i", {class: `stroke line-${k % 4}`}), el("bdi", {}, series(r)));
  return el("figure", {}, el("figcaption", {dir: "auto"}, title), svg, roles.length > 1 ? el("p", {class: "soft small"}, ...roles.map(key)) : "");
}
function time() {
  const carried = D.series.filter(s => s.state), all = (carried.length ? carried : D.series.slice(0, 4)).map(s => s.role);
  const facts = carried.filter(s => s.growth).map(s => [el("bdi", {}, series(s.role)), ": ", el("strong", {}, s.growth), " backward"]);
  const lines = plot(all.slice(0, 8), "grad", "‖∂L/∂h_t‖: how much of the gradient reaches each time step (log scale)");
  $("view-time").replaceChildren(lines || $("no-gradients").content.cloneNode(true), list(facts), D.series.length ? heat() : "", contributions());
}
const largest = numbers => numbers.reduce((most, v) => Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most, 0);
function heat() {
  const s = D.series[state.series], what = state.what === "grad" ? "grad" : "value", data = A[`series${s.role}_${what}`];
  const n = A.series_steps.length, most = largest(data), label = `Heat map: ${n} time steps from left to right, ${s.units} units from top to bottom`;
  const paper = el("canvas", {width: n, height: s.units, role: "img", "aria-label": label}), image = paper.getContext("2d").createImageData(n, s.units);
  for (let i = 0; i < n; i++) for (let u = 0; u < s.units; u++) {
    const v = data[i * s.units + u], c = Number.isNaN(v) ? [150, 60, 60] : mix(0.5 + v / (2 * most || 1));
    image.data.set([...c, 255], 4 * (u * n + i));
  }
  paper.getContext("2d").putImageData(image, 0, 0);
  paper.style.height = `${within(s.units * 9, 90, 320)}px`;
  paper.addEventListener("click", e => {
    const [x, y] = fraction(e, paper.getBoundingClientRect());
    state.unit = within(Math.floor(y * s.units), 0, s.units - 1);
    setTime(A.series_steps[within(Math.floor(x * n), 0, n - 1)]);
  });
  $("legend").replaceChildren(...scale(short(-most), short(most)));
  const near = nearest(state.t), v = data[near * s.units + state.unit];
  return el("figure", {class: "heat"},
    el("figcaption", {}, "Time runs from left to right, one row per unit (first example of the batch)"), paper,
    el("p", {class: "soft"}, `t = ${A.series_steps[near]}, unit ${state.unit}: ${short(v)}`));
}
const nearest = t => A.series_steps.reduce((best, s, k) => Math.abs(s - t) < Math.abs(A.series_steps[best] - t) ? k : best, 0);
function contributions() { // which step contributes how much to the gradient of each weight
  const of = new Map(), groups = Math.min(D.steps, 140);
  for (let i = 0; i < D.nodes; i++) if (A.t[i] >= 0) sent(i, (p, flow) => {
    if (word(A.role[p], "kind") !== "parameter") return;
    if (!of.has(p)) of.set(p, new Float64Array(groups));
    of.get(p)[Math.floor(A.t[i] * groups / D.steps)] += flow;
  });
  if (!of.size) return "";
  const figures = [...of].slice(0, 8).map(([p, flow]) => el("figure", {},
    el("figcaption", {}, el("bdi", {}, describe(p)), `: largest contribution ${short(Math.max(...flow))}`),
    bars(flow, `Contributions to ${describe(p)} over ${D.steps} steps`, "t = 0", `t = ${D.steps - 1}`)));
  return el("div", {}, el("h2", {}, "What each time step contributes to the gradients of the weights"), ...figures);
}
function letters() { // the characters, coloured
  const section = $("view-text"), s = D.series[state.series], influence = state.what === "influence", T = D.steps;
  const data = A[`series${s.role}_${state.what}`], focus = document.activeElement && document.activeElement.dataset.at;
  const size = Math.min(T, 1500), first = within(state.t - 700, 0, T - size);
  const valueAt = t => influence ? A.influence[state.t * T + t] : data[nearest(t) * s.units + state.unit];
  const shown = Array.from({length: size}, (_, k) => valueAt(first + k)), most = largest(shown);
  const cells = shown.map((v, k) => {
    const t = first + k, c = mix(influence ? v / (most || 1) : 0.5 + v / (2 * most || 1)), chosen = t === state.t;
    const letter = {" ": "␣", "\n": "↵", "\t": "⇥"}[D.text[t]] || D.text[t], number = Number.isFinite(v) ? short(+v.toPrecision(2)) : short(v);
    return el("button", {
      type: "button", class: "letter" + (chosen ? " chosen" : ""), "data-at": t, style: `background:${rgb(c)};color:${bright(c) ? "#000" : "#fff"}`,
      "aria-label": `${D.text[t]}, t = ${t}, ${short(v)}`, "aria-pressed": String(chosen), tabindex: chosen ? 0 : -1, onclick: () => setTime(t),
    }, el("b", {dir: "auto"}, letter), size <= 400 ? el("small", {}, number) : "");
  });
  $("legend").replaceChildren(...scale(short(influence ? 0 : -most), short(most)));
  const words = influence ? `How much the output after character ${state.t} depends on each earlier one: |∂y_t/∂x_k|` : "One character per time step.";
  const group = {class: "letters", role: "group", "aria-label": "The text, one button per character; arrow keys move", onkeydown: keys};
  section.replaceChildren(el("p", {class: "soft"}, words), el("div", group, ...cells));
  if (focus !== undefined && section.querySelector(".letter.chosen")) section.querySelector(".letter.chosen").focus();
}
function compared() { // the lines of a comparison and, of gradients, a picture
  const what = (words, row) => row >= 0 ? button(words, () => jump(row), {dir: "auto"}) : el("bdi", {}, words);
  const lines = D.differences.map(([kind, words, row]) => [el("strong", {}, kind + ": "), what(words, row)]);
  return [el("h2", {dir: "auto"}, D.compared), ...matrix(), list(lines)];
}
function matrix() { // parameters by time steps: log10 of the relative error, as colour and as number
  const M = D.matrix;
  if (!M) return [];
  const left = 12 + 6.6 * Math.max(...M.rows.map(name => clip(name).length), 6), w = 58, h = 26;
  const width = left + w * M.columns.length + 8, height = 26 + h * M.rows.length + 8;
  const svg = el("svg:svg", {class: "graph matrix", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", xmlns: SVG, "aria-label": D.compared});
  M.columns.forEach((name, k) => svg.append(text(left + w * (k + 0.5), 17, name, "small soft")));
  M.rows.forEach((name, k) => svg.append(text(left - 8, 26 + h * (k + 0.5) + 4, clip(name), "end")));
  for (const [i, k, error, words, title, row, failed] of M.cells) {
    const c = mix((error + 16) / 16), known = error !== null, x = left + w * k + 1, y = 26 + h * i + 1;
    const look = known ? `fill:${rgb(c)}` : "fill:var(--constant-fill)", ink = known ? (bright(c) ? " on-light" : " on-dark") : "";
    svg.append(el("svg:g", {class: "cell" + (failed ? " failed" : "") + (row >= 0 ? " linked" : ""), onclick: () => row >= 0 && jump(row)},
      el("svg:title", {}, title), el("svg:rect", {x, y, width: w - 2, height: h - 2, rx: 3, style: look}),
      text(x + w / 2 - 1, y + 16, (failed ? "✗ " : "") + words, "small" + ink)));
  }
  if (M.first) svg.append(el("svg:rect", {class: "first", x: left + w * M.first[1] - 1, y: 25 + h * M.first[0], width: w + 2, height: h + 2, rx: 5}));
  const words = ["Colour and number: log₁₀ of the relative error. ", M.first ? "The frame marks the first divergence. " : "", M.note].join("");
  return [el("p", {class: "soft"}, words, el("span", {class: "legend"}, ...scale("−16", "0"))),
    region("Picture of the relative errors", svg)];
}
