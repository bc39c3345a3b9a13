// Boxes, edges and frames as SVG, and the views that show a whole template: folded, layers, compare.
const ranges = {};
function range(what) { // of log10 of the norms, over all nodes
  if (ranges[what] !== undefined) return ranges[what];
  let low = Infinity, high = -Infinity;
  for (const v of A[what + "_stats"].subarray(0, D.nodes)) if (v > 0 && v < Infinity) { low = Math.min(low, v); high = Math.max(high, v); }
  return ranges[what] = low <= high ? [Math.log10(low), Math.log10(high)] : null;
}
const share = (v, [low, high]) => within((Math.log10(Math.min(v, 1e300)) - low) / (high - low || 1), 0, 1);
function paint(box, t) { // [fill, text, whether the fill is bright] of a box at a time step, or null
  if (state.color === "kind" || !box.roles.length) return null;
  if (state.color === "layer") {
    const names = [...new Set(V.folded.boxes.map(b => b.layer).filter(Boolean))];
    return box.layer ? [`var(--layer-${names.indexOf(box.layer) % 8})`, null, true] : null; // light in both themes
  }
  const role = box.roles.at(-1), row = t >= 0 ? rowAt(role, t) : nearRow(role, state.t);
  if (row < 0) return null;
  const shade = (part, words) => [rgb(mix(part)), words, bright(mix(part))];
  if (state.color === "time") return A.t[row] < 0 ? null : shade(A.t[row] / Math.max(D.steps - 1, 1), `t = ${A.t[row]}`);
  const v = norm(state.color, row), r = range(state.color);
  if (broken(state.color, row)) return ["var(--removed-fill)", "non-finite", null];
  return Number.isNaN(v) || !r ? null : shade(v > 0 ? share(v, r) : 0, short(v));
}
const scale = (low, high) => [low, el("i", {class: "scale"}), high];
function legend() {
  const what = state.color, norms = what === "grad" || what === "value", r = norms && range(what);
  if (what === "time") return scale("t = 0", `t = ${D.steps - 1}`);
  if (what === "layer") return ["a colour per layer"];
  if (r) return scale(`‖${NAMED[what]}‖  ${short(10 ** r[0])}`, short(10 ** r[1]));
  if (norms) return [what === "grad" ? "no gradient was recorded" : "no value was kept"];
  const kinds = new Set(template().boxes.flatMap(b => [b.kind, ...[...b.before, ...b.after].map(c => c[1])]));
  const names = ["input", "parameter", "constant", "op", "layer", "output", "added", "changed", "removed"].filter(k => kinds.has(k));
  const swatch = k => el("i", {class: "swatch", style: `background:var(--${k}-fill);border-color:var(--${k}-line)`});
  return names.map(k => el("span", {}, swatch(k), k));
}
const text = (x, y, words, kind) => el("svg:text", {x, y, class: kind}, words);
const kindOf = (box, t) => // the tile stands for every step, but a result may be of one step only
  box.kind !== "output" || t < 0 || D.roots.some(row => box.roles.includes(A.role[row]) && A.t[row] === t) ? box.kind : "op";
function drawBox(box, t) {
  const [x, y, w, h] = box.at, at = box.tile && t >= 0 ? t : -1, id = at >= 0 ? `${box.id}@t=${at}` : box.id;
  const fill = box.open ? null : paint(box, at), ink = fill && fill[2] !== null ? (fill[2] ? " on-light" : " on-dark") : "";
  const g = el("svg:g", {
    class: ["node", kindOf(box, at), box.open && "open", ...marks(box, at)].filter(Boolean).join(" "),
    transform: `translate(${x},${y})`, "data-id": id, "data-op": box.op, "data-layer": box.layer, "data-t": at >= 0 ? at : "",
  }, el("svg:title", {}, at >= 0 ? `${box.title}\nt = ${at}` : box.title));
  g.append(el("svg:rect", {class: "box", width: w, height: h, rx: 6, style: fill ? `fill:${fill[0]}` : null}));
  if (box.open) { g.append(text(10, 19, `−  ${box.label}`, "title start")); return g; }
  if (V.inside[box.id] && state.view === "layers") g.append(text(w - 9, 13, "+", "label soft" + ink));
  const chips = [...box.before, ...box.after].reduce((sum, c) => sum + c[3] + 4, 0);
  const told = fill && fill[1] ? [...box.lines.slice(0, -1), fill[1]] : box.lines;
  const lines = box.badge ? [...told, box.badge] : told, top = (h - 26 - 12 * lines.length) / 2;
  let left = (w - box.width - chips) / 2;
  const chip = ([words, kind, title, width]) => {
    const middle = left + width / 2, shape = {class: "box", x: left, y: top + 5, width, height: 16, rx: 8};
    if (kind === "name") g.append(text(middle, top + 17.3, words, "label" + ink));
    else g.append(el("svg:g", {class: "chip " + kind}, el("svg:title", {}, title), el("svg:rect", shape), text(middle, top + 16.6, words, "small")));
    left += width + 4;
  };
  box.before.forEach(chip);
  g.append(text(left + box.width / 2, top + 17.3, box.label, "label" + ink));
  left += box.width + 4;
  box.after.forEach(chip);
  lines.forEach((words, k) => g.append(text(w / 2, top + 33 + 12 * k, words, "small soft" + ink)));
  return g;
}
function marks(box, t) {
  const now = state.step > 0 ? stepRows[state.step] : -1, role = box.roles.length === 1 ? box.roles[0] : -1;
  const row = role < 0 ? -1 : t >= 0 ? rowAt(role, t) : nearRow(role, state.t);
  return [
    state.node === box.id && (t < 0 || t === state.t) && "selected",
    now >= 0 && box.roles.includes(A.role[now]) && (t < 0 || t === A.t[now]) && "current",
    state.step > 0 && row >= 0 && (A.order[row] === 0 || A.order[row] > state.step) && "waiting",
    !onWay(box, t) && "away",
  ];
}
const curve = p => `M${p[0]},${p[1]}C${p.slice(2).join(" ")}`;
function strength(edge, t) { // the more gradient flows back along an edge, the wider and darker it is
  const from = world.T.boxes[edge.from].roles, to = world.T.boxes[edge.to].roles, r = range("grad");
  if (state.color !== "grad" || !r || !from.length || !to.length) return null;
  const row = nearRow(to.at(-1), t >= 0 ? t + edge.delay : state.t);
  let flow = 0;
  sent(row, (parent, size) => { if (from.includes(A.role[parent]) && size > flow) flow = size; });
  const part = flow > 0 && flow < Infinity ? share(flow, r) : 0;
  return `stroke-width:${(0.7 + 3 * part).toFixed(2)};stroke-opacity:${(0.3 + 0.7 * part).toFixed(2)}`;
}
function drawEdge(edge, points, t = -1) {
  const a = world.T.boxes[edge.from], b = world.T.boxes[edge.to], off = !onWay(a, t) || !onWay(b, t < 0 ? t : t + edge.delay);
  const g = el("svg:g", {class: ["edge", edge.mark, edge.carried && "carry", off && "away"].filter(Boolean).join(" "), "data-from": edge.from, "data-to": edge.to},
    el("svg:path", {d: curve(points), style: strength(edge, t)}));
  if (edge.label) {
    const last = points.slice(-8), near = k => (last[k] + 3 * last[k + 2] + 3 * last[k + 4] + last[k + 6]) / 8, [x, y] = edge.place || [near(0), near(1)];
    g.append(text(x, y + 3.5, edge.label, "small halo " + (edge.carried ? "carry" : "soft")));
  }
  return g;
}
function frame({kind, from, at: [x, y, width, height]}, title, right = "") {
  const most = Math.max(3, Math.floor(width / 14 - 2)), words = right.length > most ? right.slice(0, most - 1) + "…" : right;
  return el("svg:g", {class: "group " + kind}, el("svg:rect", {x, y, width, height, rx: 9}), text(from, y + 16, title, "title soft start"),
    ...right ? [text(x + width - 10, y + 16, words, "title soft end")] : []);
}
function canvas(view) {
  const g = el("svg:g", {}), svg = el("svg:svg", {class: "graph", "aria-hidden": "true", xmlns: SVG}, g);
  const words = `${TITLES[view]} view of the computation graph. Arrow keys move, Enter opens; all nodes are in the table below.`;
  const holder = el("div", {class: "canvas", id: "canvas", tabindex: 0, role: "application", "aria-label": words}, svg);
  holder.addEventListener("keydown", keys);
  holder.addEventListener("click", e => {
    const box = e.target.closest("g.node");
    if (!box) return;
    if (e.shiftKey && !state.path) startPath();
    select(box.dataset.id);
    if (V.inside[state.node] && state.view === "layers" && !e.shiftKey) toggle(state.node);
  });
  holder.addEventListener("dblclick", e => { if (e.target.closest("g.node") && state.view !== "layers") open(); });
  const wheel = e => { if (e.ctrlKey || e.metaKey) { e.preventDefault(); zoom(e.deltaY < 0 ? 1.15 : 1 / 1.15); } };
  holder.addEventListener("wheel", wheel, {passive: false});
  return [holder, svg, g];
}
function still() { // the whole template, scaled
  const compare = state.view === "compare", T = compare ? V.compare : template(), [holder, svg, g] = canvas(state.view);
  $("view-" + state.view).replaceChildren(...(T ? [holder] : []), ...(compare ? compared() : []));
  if (T) { world = {svg, g, T}; fit(); }
}
function redraw() {
  const {g, T} = world, open = T.boxes.filter(b => b.open), shut = T.boxes.filter(b => !b.open);
  g.replaceChildren(...T.frames.map(f => frame(f, f.title)), ...open.map(b => drawBox(b, -1)),
    ...T.edges.map(e => drawEdge(e, e.path)), ...shut.map(b => drawBox(b, -1)));
  reveal(g.querySelector(".current") || g.querySelector(".selected:not(.open)"));
}
function fit(scale) {
  const [x0, y0, x1, y1] = world.T.box, pad = 26, w = x1 - x0 + 2 * pad, h = y1 - y0 + 2 * pad, holder = $("canvas");
  world.scale = scale || within(Math.min((holder.clientWidth || 900) / w, Math.max(innerHeight * 0.7, 320) / h), 0.75, 1.25);
  const size = {viewBox: `${x0 - pad} ${y0 - pad} ${w} ${h}`, width: w * world.scale, height: h * world.scale};
  for (const [k, v] of Object.entries(size)) world.svg.setAttribute(k, v);
}
function zoom(factor) { // the middle stays in the middle
  if (!world || !world.T) return;
  if (world.go) { state.zoom = within(world.zoom * factor, 0.25, 2.5); show(); refresh(); return; }
  const holder = $("canvas"), before = world.scale, middle = [holder.clientWidth / 2, holder.clientHeight / 2];
  const [x, y] = [holder.scrollLeft + middle[0], holder.scrollTop + middle[1]];
  fit(within(before * factor, 0.15, 4));
  holder.scrollTo(x * world.scale / before - middle[0], y * world.scale / before - middle[1]);
}
function reveal(g) { // bring a box into the picture
  if (!g) return;
  const a = g.getBoundingClientRect(), holder = $("canvas"), b = holder.getBoundingClientRect();
  const lack = (low, high, from, to) => low < from ? low - from - 30 : high > to ? high - to + 30 : 0;
  holder.scrollBy(lack(a.left, a.right, b.left, b.right), lack(a.top, a.bottom, b.top, b.bottom));
}

// --- layers open one at a time ---
function opened() { // the layers, with the insides of the open ones
  const inner = {}; // steps come before the layers that hold them
  for (const [id, T] of Object.entries(V.inside)) if (state.open.has(id)) inner[id] = stretched(T, inner);
  return stretched(V.layers, inner);
}
function stretched(T, inner) { // the plane is stretched where boxes open, so that what was apart stays apart
  const open = T.boxes.map(b => inner[b.id]);
  if (!open.some(Boolean)) return T;
  const room = open.map(t => t && [t.box[2] - t.box[0] + 48, t.box[3] - t.box[1] + 50]);
  const axes = [0, 1].map(axis => {
    const pulls = [], to = v => pulls.reduce((sum, [from, size, more]) => sum + more * within((v - from) / size, 0, 1), v);
    T.boxes.forEach((b, i) => {
      const from = b.at[axis], size = b.at[axis + 2], more = open[i] ? room[i][axis] - to(from + size) + to(from) : 0;
      if (more > 0) pulls.push([from, size, more]);
    });
    return to;
  });
  const point = (x, y) => [axes[0](x), axes[1](y)];
  const places = T.boxes.map(({at: [x, y, w, h]}, i) => {
    const [a, b] = point(x, y), [c, d] = point(x + w, y + h), [u, v] = point(x + w / 2, y + h / 2), [s, t] = room[i] || [w, h];
    return room[i] ? [(a + c - s) / 2, (b + d - t) / 2, s, t] : [u - w / 2, v - h / 2, w, h];
  });
  const end = (i, x, y) => { // the same place on the rim of a box that has moved or grown
    const [left, top, w, h] = T.boxes[i].at, [u, v, s, t] = places[i];
    return [u + (x - left) * s / w, v + (y - top) * t / h];
  };
  const off = i => [0, 1].map(axis => places[i][axis] - T.boxes[i].at[axis]);
  const boxes = T.boxes.map((b, i) => ({...b, at: places[i], open: b.open || Boolean(open[i])}));
  const moved = (e, [x, y]) => ({...e, path: e.path.map((v, k) => v + (k % 2 ? y : x)), place: e.place && [e.place[0] + x, e.place[1] + y]});
  const edges = T.edges.filter(e => e.from !== e.to || !open[e.from]).map(e => e.from === e.to ? moved(e, off(e.from)) : ({
    ...e, place: e.place && point(...e.place), path: e.path.flatMap((x, k, p) => {
      const y = p[k + 1], is = at => x === p.at(at) && y === p.at(at + 1);
      return k % 2 ? [] : is(0) ? end(e.from, x, y) : is(-2) ? end(e.to, x, y) : point(x, y);
    }),
  }));
  open.forEach((t, i) => {
    if (!t) return;
    const [x, y, w, h] = places[i], dx = x + 24 - t.box[0], dy = y + 34 - t.box[1], base = boxes.length;
    boxes.push(...t.boxes.map(b => ({...b, at: [b.at[0] + dx, b.at[1] + dy, b.at[2], b.at[3]]})));
    edges.push(...t.edges.map(e => moved({...e, from: e.from + base, to: e.to + base}, [dx, dy])));
    const way = (from, to, [a, b], [c, d]) => edges.push({from, to, path: [a, b, (a + c) / 2, b, (a + c) / 2, d, c, d]});
    const side = (k, right) => [boxes[k].at[0] + (right ? boxes[k].at[2] : 0), boxes[k].at[1] + boxes[k].at[3] / 2];
    for (const k of t.in) way(i, base + k, [x, y + h / 2], side(base + k, false));
    for (const k of t.out) way(base + k, i, side(base + k, true), [x + w, y + h / 2]);
  });
  return {...T, boxes, edges, box: [...point(...T.box.slice(0, 2)), ...point(...T.box.slice(2))]};
}
function toggle(id) { // open or close one box; it stays where it is
  const find = () => world.g.querySelector(`g.node[data-id="${id}"]`).getBoundingClientRect(), before = find();
  if (!state.open.delete(id)) state.open.add(id);
  while (opened().boxes.length > 400 && state.open.size > 1) state.open.delete([...state.open].find(k => k !== id));
  world.T = opened(); fit(); refresh(false);
  const after = find();
  $("canvas").scrollBy(after.left - before.left, after.top - before.top);
  announce(`${boxes.get(id).label} is ${state.open.has(id) ? "open" : "closed"}`);
}
