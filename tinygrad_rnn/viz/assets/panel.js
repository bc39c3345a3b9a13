// The bar over a view, the table under it, the panel of the selected node, and the way between two nodes.
let onPath = null, tableWaits = 0;
function draw() { // what is visible, drawn again
  document.body.classList.toggle("backward", state.color === "grad" || state.step > 0);
  onPath = state.path ? wayBetween() : null;
  if (state.view === "time") time();
  else if (state.view === "text") letters();
  else if (overview()) drawBuckets();
  else if (world && world.tiles) tiles(true);
  else if (world) redraw();
  flows(); bar(); table();
}
function bar() { // which tools there are, and what they say
  const text = state.view === "text", chart = text || state.view === "time", graph = !chart && (state.view !== "compare" || V.compare);
  const series = chart && D.series.length > 0, unrolled = state.view === "unrolled", influence = state.what === "influence";
  const there = {
    level: unrolled && V.cells && V.steps, colour: graph, zooms: graph && !overview(), all: unrolled && D.bucket && !state.all, path: graph,
    series: series && !(text && influence), what: series, unit: text && !influence, "time-slider": D.steps > 1, legend: graph || series,
    "too-large": unrolled && !V.steps, save: !chart,
  };
  for (const [id, on] of Object.entries(there)) ($(id).closest("label") || $(id)).hidden = !on;
  const now = {level: state.level, colour: state.color, series: state.series, what: state.what, unit: state.unit, "time-slider": state.t};
  for (const [id, value] of Object.entries(now)) $(id).value = value;
  $("time-value").textContent = `t = ${state.t}${letterAt(state.t)}`;
  $("path").setAttribute("aria-pressed", String(Boolean(state.path)));
  if (graph) $("legend").replaceChildren(...legend());
}
function table() {
  clearTimeout(tableWaits);
  tableWaits = setTimeout(() => {
    $("list").hidden = !world || !world.T;
    const drawn = $("list").hidden ? [] : [...world.svg.querySelectorAll("g.node")].slice(0, 400);
    const rows = drawn.map(({dataset: {id}}) => {
      const [node, at] = id.split("@t="), box = boxes.get(node) || world.T.boxes.find(b => b.id === node), role = box.roles.at(-1);
      const row = role === undefined ? -1 : at === undefined ? nearRow(role, state.t) : rowAt(role, +at);
      const known = row < 0 ? ["", "", ""] : [word(role, "shape").split(";")[0] || "scalar", short(norm("value", row)), short(norm("grad", row))];
      const name = box.roles.length === 1 ? nameOf(role) : box.label;
      return line(button(name, () => select(id), {dir: "auto"}), [box.op, box.layer, at === undefined ? "" : at, ...known]);
    });
    $("table").replaceChildren(tableOf(["Node", "Op", "Layer", "t", "Shape", "‖value‖", "‖gradient‖"], rows));
  }, 60);
}

// --- the way between two nodes ---
function startPath() {
  const row = rowOf(state.node || "");
  state.path = !state.path && row >= 0 ? idOf(row) : "";
  announce(state.path ? `The path begins at ${describe(row)}. Select its other end.` : row < 0 ? "Select a node first." : "The path is gone.");
  refresh(false);
}
function wayBetween() { // rows between two nodes (or one and the result), and the way back that carries most
  const one = rowOf(state.path), other = rowOf(state.node), rows = new Uint8Array(D.nodes), roles = new Uint8Array(D.roles);
  const first = other < 0 ? one : Math.min(one, other), last = other < 0 || other === one ? Math.max(...D.roots) : Math.max(one, other);
  rows[first] = 1;
  for (let i = first + 1; i <= last; i++) if (parentsOf(i).some(p => rows[p])) rows[i] = 1;
  const wanted = new Uint8Array(D.nodes), way = [], gains = [];
  wanted[last] = 1;
  for (let i = last; i >= first; i--)
    if (!wanted[i] || !rows[i]) rows[i] = 0;
    else { roles[A.role[i]] = 1; for (const p of parentsOf(i)) wanted[p] = 1; }
  if (rows[last]) for (let i = last; way.push(i) && i !== first;) {
    let best = -1;
    for (let k = start[i]; k < start[i + 1]; k++) if (A.parents[k] >= 0 && rows[A.parents[k]] && !(A.flow[k] <= A.flow[best])) best = k;
    gains.push(A.flow[best] / norm("grad", i));
    i = A.parents[best];
  }
  return {rows, roles, first, last, way, gains};
}
function onWay(box, t) {
  if (!onPath || !box.roles.length) return !onPath;
  if (t < 0 || !box.tile) return box.roles.some(r => onPath.roles[r]);
  return box.roles.some(r => { const row = rowAt(r, t); return row >= 0 && onPath.rows[row]; });
}
function pathFacts() {
  if (!onPath) return [];
  const {way, gains, first, last} = onPath, facts = (...parts) => [el("section", {id: "way", class: "links"}, el("h3", {}, "Path"), ...parts)];
  if (!way.length) return facts(el("p", {}, "No value goes from ", link(first), " to ", link(last), "."));
  let product = 1, since = 1, before = null, steps = 0;
  const lines = [];
  way.forEach((row, k) => {
    if (k) { product *= gains[k - 1]; since *= gains[k - 1]; }
    if (k && k < way.length - 1 && A.t[row] >= 0 && A.t[row] === A.t[before]) return;
    if (k && A.t[row] >= 0 && A.t[before] >= 0) steps += Math.abs(A.t[row] - A.t[before]);
    lines.push([row, k ? (Number.isNaN(since) ? "–" : `×${short(since)}`) : ""]);
    [before, since] = [row, 1];
  });
  if (lines.length > 40) lines.splice(20, lines.length - 40, [-1, `${lines.length - 40} more`]);
  const rows = lines.map(([row, words]) => row < 0 ? line("…", ["", words]) : line(link(row), [short(norm("grad", row)), words]));
  const each = steps > 1 && product > 0 ? `, ${short(product ** (1 / steps))} per time step` : "";
  const words = Number.isNaN(product) ? "no gradient was recorded" : short(product);
  return facts(
    el("p", {}, `${way.length} ops back from `, link(last), " to ", link(first), ", always along the edge that carries most. "),
    el("p", {}, "Product of the local growth: ", el("strong", {id: "growth"}, words), each, "."),
    region("Growth of the gradient along the path", tableOf(["Node", "‖gradient‖", "growth"], rows)));
}

// --- the panel ---
const fact = (list, name, ...values) => list.append(el("dt", {}, name), el("dd", {}, ...values));
function detail() {
  const box = boxes.get(state.node), role = roleOf(state.node), panel = $("detail");
  if (role >= 0) panel.replaceChildren(...node(role, selectedRow()));
  else if (box) {
    const ops = box.roles.filter(r => word(r, "kind") === "op").slice(0, 200), here = V.inside[box.id] && state.view === "layers";
    const lead = r => button(nameOf(r), () => jump(nearRow(r, state.t)), {dir: "auto"});
    panel.replaceChildren(
      el("h2", {dir: "auto"}, box.label), el("p", {class: "soft", dir: "auto"}, box.title), ...pathFacts(),
      here ? button(state.open.has(box.id) ? "Close" : "Open here", () => toggle(box.id), {class: "main"}) : "", " ",
      button(box.roles.some(timed) && (V.cells || V.steps) ? "Show its steps" : "Show its ops", () => unroll(box), {class: "main"}),
      el("h3", {}, `${ops.length} ops`), list(ops.map(r => [lead(r), soft(` ${word(r, "op")} ×${A.role_count[r]}`)])));
  } else panel.replaceChildren(el("h2", {}, "How to read this"), ...pathFacts(), $("intro").content.cloneNode(true));
}
function node(role, row) {
  const op = word(role, "op"), kind = word(role, "kind"), t = A.t[row], layer = word(role, "layer"), doc = D.docs[op] || ["", ""];
  const facts = el("dl", {}), shape = shapes(role), file = word(role, "file");
  const heading = el("h2", {dir: "auto"}, word(role, "name") || word(role, "label") || word(role, "symbol"));
  const what = el("bdi", {}, kind === "op" ? op : kind), when = t >= 0 ? ` · t = ${t}` : "";
  const where = el("p", {class: "where soft"}, what, layer && " · layer ", el("bdi", {}, layer), when);
  const step = (sign, by, label) => button(sign, () => setTime(state.t + by), {"aria-label": label});
  if (t >= 0 && D.steps > 1) where.append(" ", step("◀", -1, "Previous time step"), step("▶", 1, "Next time step"));
  if (doc[0] && kind === "op") fact(facts, "Formula", el("code", {}, doc[0]));
  if (doc[1]) fact(facts, "Gradient", el("code", {}, doc[1]));
  const size = shape.reduce((sum, s) => sum + count(s), 0) * ({float64: 8, int64: 8, float16: 2, bool: 1}[word(role, "dtype")] || 4);
  const known = shape.slice(0, 6).map(shapeText).join(", ") + (shape.length > 6 ? ` and ${shape.length - 6} more` : "");
  fact(facts, "Shape", `${known} ${word(role, "dtype")}, ${bytes(size)}`);
  if (A.role_count[role] > 1) fact(facts, "Recorded", `${spaced(A.role_count[role])} times`);
  const site = el("code", {class: "site", dir: "auto"}, `${file.split("/").pop()}:${A.role_line[role]}`);
  if (file) fact(facts, "Made in", site, el("pre", {dir: "ltr"}, el("code", {}, word(role, "source").trim())));
  const back = k => Number.isNaN(A.flow[k]) ? "" : soft(` gets back ${short(A.flow[k])}`), parents = [];
  for (let k = start[row]; k < start[row + 1]; k++) if (A.parents[k] >= 0) parents.push([link(A.parents[k]), back(k)]);
  const below = [...new Set(childrenOf(row).subarray(0, 60))].map(i => [link(i)]);
  const links = (title, items) => items.length ? [el("h3", {}, title), list(items)] : [];
  const arrays = [values("value", "Value", role, row), values("grad", "Gradient", role, row)].filter(Boolean);
  return [heading, where, ...pathFacts(), facts, ...arrays, ...links("Computed from", parents), ...links("Used by", below), over(role)];
}
function values(what, title, role, row) {
  const known = norm(what, row), odd = broken(what, row), shape = shapes(role);
  if (Number.isNaN(known) && !odd) return null;
  const part = el("section", {class: "values", "data-what": what}, el("h3", {}, title)), numbers = el("p", {class: "stats"});
  ["norm", "mean", "min", "max"].forEach((name, k) => { // of what was not kept only the norm is known
    const v = k ? stat(what, k, row) : known;
    if (!k || !Number.isNaN(v)) numbers.append(el("span", {}, el("small", {}, name), " " + short(v)));
  });
  if (odd) numbers.append(el("span", {class: "warn"}, `${odd} non-finite`));
  part.append(numbers);
  if (!Number.isNaN(stat(what, 2, row)) && shape.reduce((sum, s) => sum + count(s), 0) > 4) part.append(histogram(what, row));
  let used = 0;
  for (const s of shape) {
    const length = count(s) <= 256 ? count(s) : count(s.map((n, k) => k < s.length - 2 ? 1 : Math.min(n, 6))), found = exact(what, row, used + length);
    if (!found || (shape.length > 1 && used + length > 256)) break;
    part.append(grid(found.subarray(used, used + length), s));
    used += length;
  }
  return part;
}
function bars(heights, label, low, high) { // of a histogram or of shares over time
  const n = heights.length, most = Math.max(...heights) || 1, of = v => Math.max(v / most * 38, v ? 1 : 0);
  const svg = el("svg:svg", {class: "bars", viewBox: `0 0 ${n * 10} 40`, preserveAspectRatio: "none", role: "img", "aria-label": label});
  heights.forEach((v, k) => svg.append(el("svg:rect", {x: k * 10 + 1, y: 40 - of(v), width: 8, height: of(v)})));
  return el("div", {}, svg, el("p", {class: "ends soft"}, el("span", {}, low), el("span", {}, high)));
}
function histogram(what, row) {
  const low = short(stat(what, 2, row)), high = short(stat(what, 3, row));
  return bars([...A[what + "_bins"].subarray(16 * row, 16 * row + 16)], `Histogram from ${low} to ${high}`, low, high);
}
function grid(numbers, shape) { // the last two axes as a table; of a large array its corners
  const large = count(shape) > 256, width = shape.length ? (large ? Math.min(shape.at(-1), 6) : shape.at(-1)) : 1, body = el("tbody", {});
  const cell = v => el("td", {"data-value": plain(v), title: plain(v), class: Number.isFinite(v) ? null : "warn"}, short(v));
  for (let i = 0; i < numbers.length; i += Math.max(width, 1)) body.append(el("tr", {}, ...[...numbers.subarray(i, i + width)].map(cell)));
  const words = large ? `corners of ${shapeText(shape)}: the first and last 3 along each axis` : `all of ${shapeText(shape)}`;
  return region(words, el("table", {class: "numbers"}, el("caption", {}, words), body));
}
const over = role => A.role_count[role] < 3 || !timed(role) ? "" // the norms of one op over time
  : el("div", {}, ...["grad", "value"].map(what => plot([role], what, `‖${NAMED[what]}‖ over time`)));
