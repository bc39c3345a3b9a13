"use strict";
// The page of inspect_graph: it tiles, shows and hides templates that were laid out before.
(() => {
const errors = [];
addEventListener("error", e => errors.push(String(e.message)));
addEventListener("unhandledrejection", e => errors.push(String(e.reason)));
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const VIEWS = ["folded", "unrolled", "layers", "time", "text", "compare"];
const TITLES = {folded: "Folded", unrolled: "Unrolled", layers: "Layers", time: "Time", text: "Text", compare: "Compare"};
const CIVIDIS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
const MOST = 2600; // SVG elements of the unrolled view
const WIDEST = 1e6; // pixels of a scroll bar; beyond it, one pixel is several
const state = {view: "folded", t: 0, node: "", color: "kind", level: "cells", step: 0, zoom: 0, path: false, series: 0, unit: 0, what: "value"};
let D, A, V; // header, arrays, templates
let children, childStart, start, roleStart, stepRows, cellsOf;

// --- small helpers ---
function el(tag, attributes = {}, ...content) {
  const e = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [k, v] of Object.entries(attributes))
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) e.setAttribute(k, v === true ? "" : v);
  for (const c of content) if (c !== null && c !== undefined) e.append(c);
  return e;
}
const button = (text, click, more = {}) => el("button", {type: "button", onclick: click, ...more}, text);
const plain = x => Object.is(x, -0) ? "-0" : Number.isNaN(x) ? "NaN" : x === Infinity ? "Infinity" : x === -Infinity ? "-Infinity" : String(x);
function short(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x), text = size >= 1e5 || size < 1e-3 ? x.toExponential(2).replace("e+", "e") : String(+x.toPrecision(4));
  return text.replace("-", "−");
}
const spaced = n => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const bytes = n => n < 1e3 ? `${n} B` : n < 1e6 ? `${+(n / 1e3).toPrecision(3)} kB` : `${+(n / 1e6).toPrecision(3)} MB`;
function mix(fraction) {
  const place = Math.min(Math.max(fraction, 0), 1) * 5, k = Math.min(Math.floor(place), 4);
  return CIVIDIS[k].map((a, i) => Math.round(a + (CIVIDIS[k + 1][i] - a) * (place - k)));
}
const rgb = c => `rgb(${c.join(",")})`;
const clip = text => text.length > 40 ? text.slice(0, 39) + "…" : text;
const light = c => c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const bright = c => { const [r, g, b] = light(c); return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179; }; // black has more contrast than white

// --- data ---
async function decode(id) {
  const [how, text] = JSON.parse($(id).textContent);
  const binary = atob(text), raw = new Uint8Array(binary.length);
  for (let i = 0; i < raw.length; i++) raw[i] = binary.charCodeAt(i);
  if (how === "base64") return raw.buffer;
  return new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}
async function load() {
  const head = $("data").textContent;
  D = head.startsWith("[") ? JSON.parse(new TextDecoder().decode(await decode("data"))) : JSON.parse(head);
  const buffer = await decode("arrays"), kinds = {f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array};
  A = {};
  for (const [name, [kind, at, n]] of Object.entries(D.arrays)) A[name] = new kinds[kind](buffer, at, n);
  V = D.views;
  const n = D.nodes;
  start = new Int32Array(n + 1);
  for (let i = 0; i < n; i++) start[i + 1] = start[i] + A.fanin[i];
  childStart = new Int32Array(n + 2);
  for (let i = 0; i < n; i++) for (let k = start[i]; k < start[i + 1]; k++) {
    A.parents[k] = A.parents[k] ? i - A.parents[k] : -1; // they are stored as distances
    if (A.parents[k] >= 0) childStart[A.parents[k] + 2]++;
  }
  for (let i = 2; i < n + 2; i++) childStart[i] += childStart[i - 1];
  children = new Int32Array(A.parents.length);
  for (let i = 0; i < n; i++) for (let k = start[i]; k < start[i + 1]; k++)
    if (A.parents[k] >= 0) children[childStart[A.parents[k] + 1]++] = i;
  roleStart = new Int32Array(D.roles + 1);
  for (let r = 0; r < D.roles; r++) roleStart[r + 1] = roleStart[r] + A.role_count[r];
  stepRows = new Int32Array(D.backward + 1).fill(-1);
  for (let i = 0; i < n; i++) if (A.order[i]) stepRows[A.order[i]] = i;
  state.t = Math.max(D.steps - 1, 0);
}
const word = (role, what) => D.strings[A["role_" + what][role]];
const timed = role => A.t[A.byRole[roleStart[role]]] >= 0;
function rowAt(role, t) { // the row of a folded node at a time step, or −1
  let low = roleStart[role], high = roleStart[role + 1];
  if (A.t[A.byRole[low]] < 0) return A.byRole[low];
  while (low < high) { const mid = (low + high) >> 1; if (A.t[A.byRole[mid]] < t) low = mid + 1; else high = mid; }
  return low < roleStart[role + 1] && A.t[A.byRole[low]] === t ? A.byRole[low] : -1;
}
function nearRow(role, t) { // the same, or another row of it if it does not occur at t
  const row = rowAt(role, t);
  return row >= 0 ? row : A.byRole[roleStart[role + 1] - 1];
}
const norm = (what, row) => A[what + "_stats"][row];
const stat = (what, k, row) => D.full ? A[what + "_stats"][k * D.nodes + row] : k ? NaN : norm(what, row);
function shapes(role) { return word(role, "shape").split(";").map(s => s ? s.split(",").map(Number) : []); }
const shapeText = s => s.length ? `(${s.join(", ")}${s.length === 1 ? "," : ""})` : "scalar";
const count = s => s.reduce((a, b) => a * b, 1);
function exact(what, index, length) { // numbers that were shipped in full, or null
  const at = A[what] ? A[what][index] : -1;
  if (at === -1) return null;
  return at >= 0 ? A[what + "4"].subarray(at, at + length) : A[what + "8"].subarray(-2 - at, -2 - at + length);
}
function nameOf(role) {
  return clip(word(role, "name") || word(role, "label") || word(role, "symbol"));
}
const series = role => [clip(word(role, "layer")), nameOf(role)].filter(Boolean).join(" · ");
function describe(row) {
  const role = A.role[row], t = A.t[row], layer = word(role, "layer");
  return [...new Set([nameOf(role), word(role, "kind") === "op" ? word(role, "op") : word(role, "kind"), clip(layer), t >= 0 ? `t = ${t}` : ""])].filter(Boolean).join(" · ");
}

// --- what is selected ---
const template = () => state.view === "unrolled" ? V[state.level] || V.cells || V.steps : V[state.view] || V.folded;
const boxOf = id => ["folded", "layers", "cells", "steps", "compare"].flatMap(v => V[v] ? V[v].boxes : []).find(b => b.id === id);
const roleOf = id => /^n\d+$/.test(id) ? +id.slice(1) : -1;
function selectedRow() { const role = roleOf(state.node); return role >= 0 && role < D.roles ? nearRow(role, state.t) : -1; }
function select(id, quiet) {
  const [node, t] = String(id).split("@t=");
  if (t !== undefined && D.steps) state.t = Math.min(Math.max(+t || 0, 0), D.steps - 1);
  const role = roleOf(node);
  if (role >= D.roles || (role < 0 && !boxOf(node))) state.node = "";
  else {
    state.node = node;
    if (role >= 0 && timed(role)) state.t = A.t[nearRow(role, state.t)];
  }
  refresh();
  if (!quiet && state.node) announce(role >= 0 ? describe(selectedRow()) : boxOf(node).title);
}
function setTime(t) {
  if (!D.steps) return;
  state.t = Math.min(Math.max(t, 0), D.steps - 1);
  const role = roleOf(state.node);
  if (role >= 0 && timed(role) && rowAt(role, state.t) < 0) state.node = "";
  refresh();
  const row = selectedRow();
  announce(row >= 0 ? describe(row) + `, gradient ${short(norm("grad", row))}` : `t = ${state.t}`);
}
function announce(text) { $("status").textContent = text; }
let keep = false;
function refresh(scroll = true) {
  if (scroll && state.view === "unrolled") scrollTo();
  draw();
  detail();
  const parts = [`view=${state.view}`];
  if (D.steps) parts.push(`t=${state.t}`);
  if (state.node) parts.push(`node=${encodeURIComponent(state.node)}`);
  if (state.view === "unrolled") parts.push(`level=${state.level}`);
  if (state.color !== "kind") parts.push(`color=${state.color}`);
  if (state.step) parts.push(`step=${state.step}`);
  const hash = "#" + parts.join("&");
  if (hash !== location.hash) { keep = true; try { history.replaceState(null, "", hash); } catch { location.hash = hash; } keep = false; }
}
function restore() {
  if (keep) return;
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (wanted.has("level") && V[wanted.get("level")] && wanted.get("level") !== "folded") state.level = wanted.get("level");
  if (["kind", "grad", "value", "time", "layer"].includes(wanted.get("color"))) state.color = wanted.get("color");
  if (D.steps && wanted.has("t")) state.t = Math.min(Math.max(parseInt(wanted.get("t")) || 0, 0), D.steps - 1);
  state.view = available(wanted.get("view")) ? wanted.get("view") : "folded";
  if (wanted.get("step") > 0) walk(+wanted.get("step"));
  state.node = "";
  show();
  select(wanted.get("node") || "", true);
}
const available = view => VIEWS.includes(view) && (view === "unrolled" || view === "time" ? D.steps > 0 && (view === "time" || V.cells || V.steps)
  : view === "text" ? Boolean(D.text && D.series.length) : view === "compare" ? Boolean(V.compare || D.differences) : true);
function setView(view) {
  if (!available(view)) return false;
  state.view = view;
  state.zoom = 0;
  show();
  refresh();
  announce(`${TITLES[view]} view`);
  return true;
}
function show() {
  for (const v of VIEWS) {
    $("view-" + v).hidden = v !== state.view;
    const tab = $("tab-" + v);
    if (tab) { tab.setAttribute("aria-selected", String(v === state.view)); tab.tabIndex = v === state.view ? 0 : -1; }
    if (v !== state.view) $("view-" + v).replaceChildren();
  }
  $("save").hidden = ["time", "text"].includes(state.view);
  bar();
  world = null;
  if (["folded", "layers", "compare"].includes(state.view)) still();
  else if (state.view === "unrolled") scroller();
}

// --- colours ---
let ranges = {};
function range(what) { // of log10 of the norms, over all nodes
  if (ranges[what]) return ranges[what];
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < D.nodes; i++) { const v = norm(what, i); if (v > 0 && v < Infinity) { low = Math.min(low, v); high = Math.max(high, v); } }
  return ranges[what] = low <= high ? [Math.log10(low), Math.log10(high)] : null;
}
function paint(box, t) { // [fill, text] of a box at a time step, or null
  if (state.color === "kind" || !box.roles.length) return null;
  const role = box.roles[box.roles.length - 1];
  if (state.color === "layer") {
    if (!box.layer) return null;
    const names = [...new Set(V.folded.boxes.map(b => b.layer).filter(Boolean))];
    return [`var(--layer-${names.indexOf(box.layer) % 8})`, null, false];
  }
  const row = t >= 0 ? rowAt(role, t) : nearRow(role, state.t);
  if (row < 0) return null;
  if (state.color === "time") {
    if (A.t[row] < 0) return null;
    const c = mix(A.t[row] / Math.max(D.steps - 1, 1));
    return [rgb(c), `t = ${A.t[row]}`, bright(c)];
  }
  const v = norm(state.color, row), r = range(state.color);
  const broken = D.full && A[state.color + "_odd"][row] > 0;
  if (broken) return ["var(--removed-fill)", "non-finite", null];
  if (Number.isNaN(v) || !r) return null;
  const c = mix(v > 0 ? (Math.log10(Math.min(v, 1e300)) - r[0]) / (r[1] - r[0] || 1) : 0);
  return [rgb(c), short(v), bright(c)];
}
function legend() {
  const what = state.color, r = what === "grad" || what === "value" ? range(what) : null;
  if (what === "time") return el("span", {class: "legend"}, "t = 0", el("i", {class: "scale"}), `t = ${D.steps - 1}`);
  if (what === "layer") return el("span", {class: "legend"}, "a colour per layer");
  if (r) return el("span", {class: "legend"}, `‖${what === "grad" ? "gradient" : "value"}‖  ${short(10 ** r[0])}`, el("i", {class: "scale"}), short(10 ** r[1]));
  if (what !== "kind") return el("span", {class: "legend"}, what === "grad" ? "no gradient was recorded" : "no value was kept");
  const kinds = new Set(template().boxes.flatMap(b => [b.kind, ...[...b.before, ...b.after].map(c => c[1])]));
  const names = ["input", "parameter", "constant", "op", "layer", "output", "added", "changed", "removed"].filter(k => kinds.has(k));
  return el("span", {class: "legend"}, ...names.map(k => el("span", {}, el("i", {class: "swatch", style: `background:var(--${k}-fill);border-color:var(--${k}-line)`}), k)));
}

// --- drawing ---
function text(x, y, words, kind) { return el("svg:text", {x, y, class: kind}, words); }
function drawBox(box, t) {
  const [x, y, w, h] = box.at, place = box.tile && t >= 0 ? t : -1;
  const id = place >= 0 ? `${box.id}@t=${place}` : box.id, fill = paint(box, place);
  const ink = fill && fill[2] !== null && fill[1] ? (fill[2] ? " on-light" : " on-dark") : "";
  const g = el("svg:g", {class: "node " + box.kind, transform: `translate(${x},${y})`, "data-id": id, "data-op": box.op, "data-layer": box.layer, "data-t": place >= 0 ? place : ""});
  g.append(el("svg:title", {}, place >= 0 ? `${box.title}\nt = ${place}` : box.title));
  g.append(el("svg:rect", {class: "box", width: w, height: h, rx: 6, style: fill ? `fill:${fill[0]}` : null}));
  const chips = [...box.before, ...box.after].reduce((sum, c) => sum + c[3] + 4, 0);
  const lines = fill && fill[1] ? [...box.lines.slice(0, -1), fill[1]] : box.lines, top = (h - 26 - 12 * lines.length) / 2;
  let at = (w - box.width - chips) / 2;
  const chip = c => {
    if (c[1] === "name") g.append(text(at + c[3] / 2, top + 17.3, c[0], "label" + ink));
    else g.append(el("svg:g", {class: "chip " + c[1]}, el("svg:title", {}, c[2]), el("svg:rect", {class: "box", x: at, y: top + 5, width: c[3], height: 16, rx: 8}), text(at + c[3] / 2, top + 16.6, c[0], "small")));
    at += c[3] + 4;
  };
  box.before.forEach(chip);
  g.append(text(at + box.width / 2, top + 17.3, box.label, "label" + ink));
  at += box.width + 4;
  box.after.forEach(chip);
  lines.forEach((line, k) => g.append(text(w / 2, top + 33 + 12 * k, line, "small soft" + ink)));
  if (box.badge) g.append(text(w - 4, -2, box.badge, "small soft start halo"));
  mark(g, box, place);
  return g;
}
function mark(g, box, t) {
  const chosen = state.node === box.id && (t < 0 || t === state.t);
  g.classList.toggle("selected", chosen);
  const role = box.roles.length === 1 ? box.roles[0] : -1;
  const row = role < 0 ? -1 : t >= 0 ? rowAt(role, t) : nearRow(role, state.t);
  g.classList.toggle("current", state.step > 0 && stepRows[state.step] >= 0 && (box.roles.includes(A.role[stepRows[state.step]]) && (t < 0 || t === A.t[stepRows[state.step]])));
  g.classList.toggle("waiting", state.step > 0 && row >= 0 && (A.order[row] === 0 || A.order[row] > state.step));
  g.classList.toggle("away", Boolean(onPath) && !box.roles.some(r => { const i = t >= 0 ? rowAt(r, t) : nearRow(r, state.t); return i >= 0 && onPath[i]; }));
}
function curve(p) { let d = `M${p[0]},${p[1]}C`; for (let i = 2; i < p.length; i++) d += p[i] + (i % 2 ? " " : ","); return d; }
function strength(edge, t) { // the more gradient flows back along an edge, the wider and darker it is
  const boxes = world.T.boxes, from = boxes[edge.from].roles, to = boxes[edge.to].roles, r = range("grad");
  if (state.color !== "grad" || !r || !from.length || !to.length) return null;
  const row = nearRow(to[to.length - 1], t >= 0 ? t + edge.delay : state.t);
  let flow = 0;
  for (let k = start[row]; k < start[row + 1]; k++) if (A.parents[k] >= 0 && from.includes(A.role[A.parents[k]]) && A.flow[k] > flow) flow = A.flow[k];
  const share = flow > 0 && flow < Infinity ? Math.min(Math.max((Math.log10(flow) - r[0]) / (r[1] - r[0] || 1), 0), 1) : 0;
  return `stroke-width:${(0.7 + 3 * share).toFixed(2)};stroke-opacity:${(0.3 + 0.7 * share).toFixed(2)}`;
}
function drawEdge(edge, points, t = -1) {
  const g = el("svg:g", {class: edge.carried ? "edge carry" : "edge", "data-from": edge.from, "data-to": edge.to}, el("svg:path", {d: curve(points), style: strength(edge, t)}));
  if (edge.label) {
    const k = points.length - 8, near = [4, 5].map(i => (points[k + i - 4] + 3 * points[k + i - 2] + 3 * points[k + i] + points[k + i + 2]) / 8);
    const [x, y] = edge.place || near;
    g.append(text(x, y + 3.5, edge.label, "small halo " + (edge.carried ? "carry" : "soft")));
  }
  return g;
}
function frame(f, title) {
  const [x, y, w, h] = f.at;
  return el("svg:g", {class: "group " + f.kind}, el("svg:rect", {x, y, width: w, height: h, rx: 9}), text(x + 10, y + 16, title, "title soft start"));
}
function arrows() {
  const head = (id, kind) => el("svg:marker", {id, class: kind, viewBox: "0 0 8 6", refX: 7.5, refY: 3, markerWidth: 8, markerHeight: 6, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse"}, el("svg:path", {d: "M0,0L8,3L0,6z"}));
  return el("svg:defs", {}, head("arrow", "arrow"), head("arrow-carry", "arrow carry"));
}
function canvas(view) {
  const svg = el("svg:svg", {class: "graph", "aria-hidden": "true", xmlns: SVG});
  const holder = el("div", {class: "canvas", id: "canvas", tabindex: 0, role: "application", "aria-label": `${TITLES[view]} view of the computation graph. Arrow keys move, Enter opens; all nodes are in the table below.`}, svg);
  holder.addEventListener("keydown", keys);
  holder.addEventListener("click", e => { if (moved) return; const g = e.target.closest("g.node"); if (g) select(g.dataset.id); });
  holder.addEventListener("dblclick", e => { const g = e.target.closest("g.node"); if (g) open(); });
  return [holder, svg];
}
let world = null, moved = false, onPath = null;

// folded, layers and compare: the whole template, moved and scaled
function still() {
  const section = $("view-" + state.view), T = V[state.view];
  section.replaceChildren();
  if (!T) { differences(section); return; }
  const [holder, svg] = canvas(state.view), g = el("svg:g", {});
  svg.append(arrows(), g);
  section.append(holder);
  const [x0, y0, x1, y1] = T.box, pad = 26;
  const box = {x: x0 - pad, y: y0 - pad, w: x1 - x0 + 2 * pad, h: y1 - y0 + 2 * pad};
  world = {svg, g, T, box, x: 0, y: 0, scale: 1};
  for (const f of T.frames) g.append(frame(f, f.title));
  for (const e of T.edges) g.append(drawEdge(e, e.path));
  for (const b of T.boxes) g.append(drawBox(b, -1));
  fit();
  holder.addEventListener("wheel", e => { if (!e.ctrlKey && !e.metaKey) return; e.preventDefault(); zoom(e.deltaY < 0 ? 1.15 : 1 / 1.15, e.offsetX, e.offsetY); }, {passive: false});
  holder.addEventListener("pointerdown", e => {
    const from = [e.clientX - world.x, e.clientY - world.y], first = [e.clientX, e.clientY];
    moved = false;
    const move = m => { if (Math.hypot(m.clientX - first[0], m.clientY - first[1]) > 4) moved = true; if (moved) { world.x = m.clientX - from[0]; world.y = m.clientY - from[1]; place(); } };
    const up = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", up); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up);
  });
  if (state.view === "compare") differences(section);
}
function fit() {
  const holder = $("canvas"), {box} = world, width = holder.clientWidth || 900;
  world.scale = Math.min(1.25, Math.max(0.5, width / box.w));
  if (box.w * world.scale > width * 1.02) world.scale = Math.max(width / box.w, 0.62);
  const height = Math.min(Math.max(box.h * world.scale, 220), Math.max(innerHeight * 0.66, 320));
  holder.style.height = `${height}px`;
  world.scale = Math.min(world.scale, Math.max(height / box.h, 0.62));
  world.x = Math.max((width - box.w * world.scale) / 2, 0) - box.x * world.scale;
  world.y = Math.max((height - box.h * world.scale) / 2, 0) - box.y * world.scale;
  place();
}
function place() { world.g.setAttribute("transform", `translate(${world.x},${world.y}) scale(${world.scale})`); }
function zoom(factor, x, y) {
  if (state.view === "unrolled") { state.zoom = Math.min(Math.max(world.zoom * factor, 0.25), 2.5); show(); refresh(); return; }
  if (!world) return;
  const width = $("canvas").clientWidth, height = $("canvas").clientHeight;
  x = x === undefined ? width / 2 : x; y = y === undefined ? height / 2 : y;
  const next = Math.min(Math.max(world.scale * factor, 0.15), 4);
  world.x = x - (x - world.x) * next / world.scale;
  world.y = y - (y - world.y) * next / world.scale;
  world.scale = next;
  place();
}
function reveal(g) { // bring a selected box into the picture
  if (!world || !world.box || !g) return;
  const holder = $("canvas"), a = g.getBoundingClientRect(), b = holder.getBoundingClientRect();
  const dx = a.left < b.left ? b.left - a.left + 30 : a.right > b.right ? b.right - a.right - 30 : 0;
  const dy = a.top < b.top ? b.top - a.top + 30 : a.bottom > b.bottom ? b.bottom - a.bottom - 30 : 0;
  if (dx || dy) { world.x += dx; world.y += dy; place(); }
}

// unrolled: one template, tiled over the visible time steps
function scroller() {
  const section = $("view-unrolled"), [holder, svg] = canvas("unrolled"), T = template();
  const [x0, y0, x1, y1] = T.box, spacer = el("div", {class: "spacer"}), g = el("svg:g", {}), names = el("svg:g", {class: "names"});
  svg.append(arrows(), g, names);
  holder.classList.add("wide");
  holder.append(spacer);
  section.replaceChildren(holder);
  const height = y1 - y0 + 60, fitting = Math.min(1, Math.max((innerHeight * 0.8) / height, 0.6));
  const z = state.zoom || fitting, room = holder.clientWidth || 900, side = 70;
  const beyond = Math.max(0, -x0 + T.left, x1 - (T.left + T.pitch)); // what lies outside the recurrences may be wider than a step
  const all = (D.steps - 1) * T.pitch + (T.pitch - 46) + 2 * side, total = Math.max(all * z, 10);
  world = {svg, g, T, zoom: z, x0: T.left - side, y0: y0 - 30, all, room, tiles: new Map(), first: 0, beyond, center: 0, names};
  spacer.style.width = `${Math.min(total, WIDEST)}px`;
  holder.style.height = `${height * z + 20}px`;
  svg.style.height = `${height * z}px`;
  const piece = T.boxes.filter(b => b.tile).reduce((sum, b) => sum + 5 + 3 * (b.before.length + b.after.length) + b.lines.length, 0) + 3 * T.edges.length + 4;
  world.most = Math.max(1, Math.floor((MOST - T.boxes.length * 6) / piece));
  let waiting = false;
  holder.addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; if (world && world.tiles) { tiles(); table(); } }); } });
  holder.addEventListener("wheel", e => { if (e.ctrlKey || e.metaKey) { e.preventDefault(); zoom(e.deltaY < 0 ? 1.15 : 1 / 1.15); } }, {passive: false});
  const pitch = T.pitch;
  world.span = () => { // where the window is, in the coordinates of the template
    const free = holder.scrollWidth - holder.clientWidth, whole = Math.max(world.all - holder.clientWidth / z, 0);
    return world.x0 + (free > 0 ? holder.scrollLeft / free * whole : -(holder.clientWidth / z - world.all) / 2);
  };
  world.go = t => {
    const free = holder.scrollWidth - holder.clientWidth, whole = Math.max(world.all - holder.clientWidth / z, 1), x = world.span();
    const from = T.left + t * pitch, to = from + pitch - 46;
    if (from >= x && to <= x + holder.clientWidth / z) return;
    holder.scrollLeft = (from + to - holder.clientWidth / z - 2 * world.x0) / 2 / whole * free;
  };
}
function scrollTo() { if (world && world.go) world.go(state.t); }
function boxRows(box, t) { return box.roles.some(r => rowAt(r, t) >= 0); }
function joined(a, b, t, u) { // does box b at step u read box a at step t?
  const fits = (box, row, at) => box.roles.includes(A.role[row]) && (A.t[row] < 0 || A.t[row] === at);
  if (a.tile) for (const role of a.roles) {
    const row = rowAt(role, t);
    if (row >= 0) for (let k = childStart[row]; k < childStart[row + 1]; k++) if (fits(b, children[k], u)) return true;
  } else for (const role of b.roles) {
    const row = rowAt(role, u);
    if (row >= 0) for (let k = start[row]; k < start[row + 1]; k++) if (A.parents[k] >= 0 && fits(a, A.parents[k], t)) return true;
  }
  return false;
}
function tile(t) {
  const {T} = world, back = el("svg:g", {}), g = el("svg:g", {class: "tile"}), letter = D.text ? ` “${D.text[t]}”` : "";
  const present = T.boxes.filter(b => b.tile && boxRows(b, t));
  for (const f of T.frames) back.append(frame(f, `t = ${t}${letter}`));
  for (const e of T.edges) {
    const a = T.boxes[e.from], b = T.boxes[e.to];
    if (e.tile[0] && e.tile[1] && t + e.delay >= 0 && t + e.delay < D.steps && joined(a, b, t, t + e.delay)) g.append(drawEdge(e, e.path, t));
  }
  for (const b of present) g.append(drawBox(b, t));
  return [back, g]; // frames lie below the arrows from other tiles
}
function tiles(afresh) {
  const {T, g, zoom: z, names} = world, x = world.span(), wide = $("canvas").clientWidth / z, pitch = T.pitch;
  let first = Math.max(0, Math.floor((x - T.left) / pitch) - 1), last = Math.min(D.steps - 1, Math.ceil((x + wide - T.left) / pitch));
  if (last - first + 1 > world.most) { const middle = Math.min(Math.max(state.t, first), last); first = Math.max(first, middle - (world.most >> 1)); last = Math.min(last, first + world.most - 1); }
  for (const [t, parts] of world.tiles) if (afresh || t < first || t > last) { for (const part of parts) part.remove(); world.tiles.delete(t); }
  for (let t = first; t <= last; t++) if (!world.tiles.has(t)) { const [back, front] = tile(t); world.tiles.set(t, [back, front]); g.prepend(back); g.append(front); }
  for (const [t, parts] of world.tiles) for (const part of parts) part.setAttribute("transform", `translate(${(t - first) * pitch},0)`);
  g.setAttribute("transform", `translate(0,10) scale(${z}) translate(${first * pitch - x},${-world.y0})`);
  // what lies outside the recurrences stays in the middle of what is visible
  const left = Math.max(x, T.left), right = Math.min(x + wide, T.left + D.steps * pitch - 46);
  const dx = (left + right) / 2 - (T.left + (pitch - 46) / 2) - first * pitch;
  if (world.fixed) world.fixed.remove();
  world.fixed = el("svg:g", {class: "fixed"});
  for (const e of T.edges) {
    const a = T.boxes[e.from], b = T.boxes[e.to];
    if (e.tile[0] && e.tile[1]) continue;
    if (!e.tile[0] && !e.tile[1]) { world.fixed.append(drawEdge(e, shifted(e.path, () => dx))); continue; }
    for (const t of world.tiles.keys()) if (joined(a, b, t, t)) {
      const n = e.path.length / 2, own = (t - first) * pitch;
      const g = drawEdge({...e, label: ""}, shifted(e.path, k => (e.tile[0] ? k >= n - 2 : k < 2) ? dx : own), t);
      g.dataset.at = t;
      world.fixed.append(g);
    }
  }
  const still = el("svg:g", {transform: `translate(${dx},0)`});
  for (const b of T.boxes) if (!b.tile) still.append(drawBox(b, -1));
  world.fixed.append(still);
  g.append(world.fixed);
  names.replaceChildren(...T.frames.filter(f => f.layer).map(f => text(8, (f.at[1] - world.y0) * z + 4, clip(f.layer), "title soft start halo")));
}
function shifted(path, by) { return path.map((v, i) => i % 2 ? v : v + by(i >> 1)); }

// --- what is visible, drawn again ---
function draw() {
  document.body.classList.toggle("backward", state.color === "grad" || state.step > 0);
  onPath = state.path ? reach() : null;
  if (state.view === "time") time();
  else if (state.view === "text") letters();
  else if (world && world.tiles) tiles(true);
  else if (world) {
    const old = [...world.g.querySelectorAll(":scope > g.node")];
    world.g.querySelectorAll(":scope > g.edge > path").forEach((path, i) => path.setAttribute("style", strength(world.T.edges[i], -1) || ""));
    world.T.boxes.forEach((b, i) => old[i].replaceWith(drawBox(b, -1)));
    reveal(world.g.querySelector(".current") || world.g.querySelector(".selected"));
  }
  flows();
  const old = $("bar").querySelector(".legend");
  if (old) old.replaceWith(legend());
  if ($("time-slider")) { $("time-slider").value = state.t; $("time-value").textContent = `t = ${state.t}${D.text ? ` “${D.text[state.t]}”` : ""}`; }
  table();
}
function flows() { // the edges along which the current step sends gradients back
  if (!world) return;
  for (const e of world.svg.querySelectorAll("g.edge.flow")) e.classList.remove("flow");
  const row = stepRows[state.step];
  if (!state.step || row < 0) return;
  const t = A.t[row];
  for (const e of world.T.edges) {
    const roles = world.T.boxes[e.to].roles;
    if (roles.length !== 1 || roles[0] !== A.role[row]) continue;
    const at = world.tiles && e.tile[0] && e.tile[1] ? (world.tiles.get(t - e.delay) || [])[1] : world.tiles ? world.fixed : world.g;
    const where = world.tiles && at === world.fixed && t >= 0 && e.tile[1] ? `[data-at="${t}"]` : "";
    if (at) for (const g of at.querySelectorAll(`g.edge[data-from="${e.from}"][data-to="${e.to}"]${where}`)) g.classList.add("flow");
  }
}
function reach() { // rows on a way from the selected one to the result, forwards
  const row = selectedRow();
  if (row < 0) return null;
  const seen = new Uint8Array(D.nodes), stack = [row];
  seen[row] = 1;
  while (stack.length) { const i = stack.pop(); for (let k = childStart[i]; k < childStart[i + 1]; k++) if (!seen[children[k]]) { seen[children[k]] = 1; stack.push(children[k]); } }
  return seen;
}

// --- the bar over the view, and the table under it ---
function choice(id, label, options, value, change) {
  const list = el("select", {id, onchange: e => change(e.target.value)}, ...options.map(([v, words]) => el("option", {value: v, selected: v === value}, words)));
  return el("label", {}, label + " ", list);
}
function bar() {
  const parts = [], graph = !["time", "text"].includes(state.view);
  if (state.view === "unrolled" && V.cells && V.steps) parts.push(choice("level", "Show", [["cells", "layers"], ["steps", "every op"]], state.level, v => { state.level = v; state.zoom = 0; show(); refresh(); }));
  if (graph && (V[state.view] || state.view === "unrolled")) {
    parts.push(choice("colour", "Colour", [["kind", "kind"], ["grad", "gradient"], ["value", "value"], ["layer", "layer"], ...(D.steps ? [["time", "time"]] : [])], state.color, v => { state.color = v; refresh(false); }));
    parts.push(el("span", {class: "buttons"}, button("−", () => zoom(1 / 1.25), {"aria-label": "Zoom out"}), button("+", () => zoom(1.25), {"aria-label": "Zoom in"})));
    parts.push(button("Path to the result", e => { state.path = !state.path; e.target.setAttribute("aria-pressed", String(state.path)); refresh(false); }, {"aria-pressed": String(state.path), title: "Dim what does not lie between the selected node and the result"}));
  }
  if (D.steps > 1) parts.push(el("label", {class: "time"}, el("span", {id: "time-value"}, ""), el("input", {id: "time-slider", type: "range", min: 0, max: D.steps - 1, value: state.t, "aria-label": "Time step", oninput: e => setTime(+e.target.value)})));
  if (graph) parts.push(legend());
  $("bar").replaceChildren(...parts);
}
function visible() { // ids of what is drawn
  if (!world) return [];
  return [...world.svg.querySelectorAll("g.node")].map(g => g.dataset.id);
}
let tableWaits = 0;
function table() {
  clearTimeout(tableWaits);
  tableWaits = setTimeout(() => {
    const rows = visible().slice(0, 400).map(id => {
      const [node, at] = id.split("@t="), box = world.T.boxes.find(b => b.id === node), role = box.roles[box.roles.length - 1];
      const row = role === undefined ? -1 : at === undefined ? nearRow(role, state.t) : rowAt(role, +at);
      const cells = [box.op, box.layer, at === undefined ? "" : at, row < 0 ? "" : word(role, "shape").split(";")[0] || "scalar", row < 0 ? "" : short(norm("value", row)), row < 0 ? "" : short(norm("grad", row))];
      return el("tr", {}, el("th", {scope: "row"}, button(box.roles.length === 1 ? nameOf(role) : box.label, () => select(id))), ...cells.map(c => el("td", {dir: "auto"}, c)));
    });
    const head = ["Node", "Op", "Layer", "t", "Shape", "‖value‖", "‖gradient‖"].map(h => el("th", {scope: "col"}, h));
    $("table").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)));
    $("list").hidden = !world;
  }, 60);
}

// --- the panel of the selected node ---
function open() {
  const box = boxOf(state.node);
  if (box && /^[lc]/.test(box.id)) {
    const tiled = box.roles.some(timed);
    if (box.id[0] === "l" && tiled && V.cells) {
      state.level = "cells";
      setView("unrolled");
      const cell = V.cells.boxes.find(b => b.tile && b.layer === box.layer);
      if (cell) select(cell.id);
    } else if (tiled && V.steps) {
      state.level = "steps";
      setView("unrolled");
      const role = box.roles.find(r => rowAt(r, state.t) >= 0);
      if (role !== undefined) select("n" + role);
    } else { setView("folded"); select("n" + box.roles[box.roles.length - 1]); }
    $("canvas").focus();
  } else if (state.node) $("detail").focus();
}
function fact(list, name, ...values) { list.append(el("dt", {}, name), el("dd", {}, ...values)); }
function detail() {
  const box = boxOf(state.node), role = roleOf(state.node), panel = $("detail");
  document.body.classList.toggle("chosen", Boolean(state.node));
  if (role >= 0) node(panel, role, selectedRow());
  else if (box) {
    const roles = box.roles.filter(r => word(r, "kind") === "op").slice(0, 200);
    panel.replaceChildren(el("h2", {dir: "auto"}, box.label), el("p", {class: "soft", dir: "auto"}, box.title),
      button(box.roles.some(timed) ? "Open its steps" : "Open its ops", open, {class: "main"}), el("h3", {}, `${roles.length} ops`),
      el("ul", {class: "links"}, ...roles.map(r => el("li", {}, button(nameOf(r), () => { setView(V.folded.boxes.some(b => b.id === "n" + r) ? "folded" : state.view); select("n" + r); }, {dir: "auto"}), el("span", {class: "soft"}, ` ${word(r, "op")} ×${A.role_count[r]}`)))));
  } else panel.replaceChildren(el("h2", {}, "How to read this"), el("p", {}, "Click a box to see its formula, its value, its gradient, and the line of code that made it."),
    el("p", {}, D.steps > 1 ? "The same cell runs once per time step. Folded shows it once: the dashed arrows carry a value to the next step. Unrolled shows every step, from left to right." : "Data flows along the arrows, from the inputs to the result."),
    D.backward ? el("p", {}, "Below, the backward pass can be walked through one step at a time.") : "");
}
function node(panel, role, row) {
  const op = word(role, "op"), kind = word(role, "kind"), t = A.t[row], layer = word(role, "layer"), doc = D.docs[op] || ["", ""];
  const list = el("dl", {}), shape = shapes(role);
  const heading = el("h2", {dir: "auto"}, word(role, "name") || word(role, "label") || word(role, "symbol"));
  const where = el("p", {class: "where soft"}, el("bdi", {}, kind === "op" ? op : kind), layer ? " · layer " : "", layer ? el("bdi", {}, layer) : "", t >= 0 ? ` · t = ${t}` : "");
  if (t >= 0 && D.steps > 1) where.append(" ", button("◀", () => setTime(state.t - 1), {"aria-label": "Previous time step"}), button("▶", () => setTime(state.t + 1), {"aria-label": "Next time step"}));
  if (doc[0] && kind === "op") fact(list, "Formula", el("code", {}, doc[0]));
  if (doc[1]) fact(list, "Gradient", el("code", {}, doc[1]));
  fact(list, "Shape", `${shape.map(shapeText).slice(0, 6).join(", ")}${shape.length > 6 ? ` and ${shape.length - 6} more` : ""} ${word(role, "dtype")}, ${bytes(shape.reduce((s, x) => s + count(x), 0) * ({float64: 8, int64: 8, float16: 2, bool: 1}[word(role, "dtype")] || 4))}`);
  if (A.role_count[role] > 1) fact(list, "Recorded", `${spaced(A.role_count[role])} times`);
  if (word(role, "file")) fact(list, "Made in", el("code", {class: "site"}, `${word(role, "file").split("/").pop()}:${A.role_line[role]}`), el("pre", {dir: "ltr"}, el("code", {}, word(role, "source").trim())));
  const more = [values("value", "Value", role, row), values("grad", "Gradient", role, row)];
  const parents = [], below = [];
  for (let k = start[row]; k < start[row + 1]; k++) if (A.parents[k] >= 0) parents.push([A.parents[k], A.flow[k]]);
  for (let k = childStart[row]; k < childStart[row + 1] && below.length < 60; k++) if (!below.some(b => b[0] === children[k])) below.push([children[k], NaN]);
  const links = (title, rows) => rows.length ? [el("h3", {}, title), el("ul", {class: "links"}, ...rows.map(([i, flow]) => el("li", {}, button(describe(i), () => jump(i), {dir: "auto"}), Number.isNaN(flow) ? "" : el("span", {class: "soft"}, ` gets back ${short(flow)}`))))] : [];
  panel.replaceChildren(heading, where, list, ...more.filter(Boolean), ...links("Computed from", parents), ...links("Used by", below), over(role));
}
function jump(row) {
  const id = "n" + A.role[row];
  if (A.t[row] >= 0) state.t = A.t[row];
  if (state.view === "unrolled" && state.level === "cells" && V.steps) { state.level = "steps"; show(); }
  else if (!world || !world.T.boxes.some(b => b.id === id)) { state.view = "folded"; show(); }
  select(id);
}
function values(what, title, role, row) {
  const known = norm(what, row), odd = D.full ? A[what + "_odd"][row] : 0, shape = shapes(role);
  if (Number.isNaN(known) && !odd) return null;
  const part = el("section", {class: "values", "data-what": what}, el("h3", {}, title)), list = el("p", {class: "stats"});
  const say = (name, v) => list.append(el("span", {}, el("small", {}, name), " " + short(v)));
  say("norm", known);
  if (D.full) { say("mean", stat(what, 1, row)); say("min", stat(what, 2, row)); say("max", stat(what, 3, row)); }
  if (odd) list.append(el("span", {class: "warn"}, `${odd} non-finite`));
  part.append(list);
  const size = shape.reduce((s, x) => s + count(x), 0);
  if (D.full && size > 4) part.append(histogram(what, row));
  let used = 0;
  for (const s of shape) {
    const length = count(s) <= 256 ? count(s) : count(s.map((n, k) => k < s.length - 2 ? 1 : Math.min(n, 6)));
    const numbers = exact(what, row, used + length);
    if (!numbers || (shape.length > 1 && used + length > 256)) break;
    part.append(grid(numbers.subarray(used, used + length), s));
    used += length;
  }
  return part;
}
function histogram(what, row) {
  const bins = A[what + "_bins"].subarray(16 * row, 16 * row + 16), svg = el("svg:svg", {class: "bars", viewBox: "0 0 160 40", role: "img", "aria-label": `Histogram from ${short(stat(what, 2, row))} to ${short(stat(what, 3, row))}`});
  bins.forEach((v, k) => svg.append(el("svg:rect", {x: k * 10 + 1, y: 40 - v / 255 * 38, width: 8, height: Math.max(v / 255 * 38, v ? 1 : 0)})));
  return el("div", {}, svg, el("p", {class: "ends soft"}, el("span", {}, short(stat(what, 2, row))), el("span", {}, short(stat(what, 3, row)))));
}
function grid(numbers, shape) { // the last two axes as a table; of a large array its corners
  const large = count(shape) > 256, cut = n => large ? Math.min(n, 6) : n;
  const columns = shape.length ? cut(shape[shape.length - 1]) : 1, lines = numbers.length / Math.max(columns, 1), body = el("tbody", {});
  for (let i = 0; i < lines; i++) {
    const line = el("tr", {});
    for (let j = 0; j < columns; j++) { const v = numbers[i * columns + j]; line.append(el("td", {"data-value": plain(v), title: plain(v), class: Number.isFinite(v) ? null : "warn"}, short(v))); }
    body.append(line);
  }
  const words = large ? `corners of ${shapeText(shape)}: the first and last 3 along each axis` : `all of ${shapeText(shape)}`;
  return el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": words}, el("table", {class: "numbers"}, el("caption", {}, words), body));
}
function over(role) { // the gradient of one op over time
  const n = A.role_count[role];
  if (n < 3 || !timed(role)) return "";
  const lines = [line([role], "grad", "‖gradient‖ over time"), line([role], "value", "‖value‖ over time")].filter(Boolean);
  return el("div", {}, ...lines);
}

// --- the backward pass, step by step ---
let sums = new Map(), done = 0, expected = null;
function contribute(n) { // what step n adds to the gradients of leaves
  const row = stepRows[n];
  for (let k = start[row]; k < start[row + 1]; k++) {
    const parent = A.parents[k];
    if (parent < 0 || Number.isNaN(A.flow[k]) || A.fanin[parent] || word(A.role[parent], "kind") === "op") continue;
    const role = A.role[parent], size = count(shapes(role)[0]), part = A.part && size <= 256 ? exact("part", k, size) : null;
    const sum = sums.get(parent) || {n: 0, total: null, last: 0};
    if (part && sum.n === 0) sum.total = Float64Array.from(part);
    else if (part && sum.total) { const f32 = word(role, "dtype") === "float32"; for (let i = 0; i < size; i++) { const s = sum.total[i] + part[i]; sum.total[i] = f32 ? Math.fround(s) : s; } }
    else sum.total = null;
    sum.n++;
    sum.last = A.flow[k];
    sums.set(parent, sum);
  }
}
function walk(n) {
  n = Math.min(Math.max(Math.round(n) || 0, 0), D.backward);
  if (n < done) { sums = new Map(); done = 0; }
  while (done < n) contribute(++done);
  state.step = n;
}
function step(n) {
  walk(n);
  if (state.step) {
    const row = stepRows[state.step];
    if (A.t[row] >= 0) state.t = A.t[row];
    if (state.view === "time" || state.view === "text") { state.view = "folded"; show(); }
    state.node = "n" + A.role[row];
  }
  refresh();
  stepper();
  if (state.step) announce(`Step ${state.step} of ${D.backward}: ${describe(stepRows[state.step])}`);
}
function stepper() {
  $("stepper").hidden = !D.backward;
  if (!D.backward) return;
  if (!expected) {
    expected = new Map();
    for (let i = 0; i < D.nodes; i++) if (A.order[i]) for (let k = start[i]; k < start[i + 1]; k++) if (A.parents[k] >= 0 && !Number.isNaN(A.flow[k])) expected.set(A.parents[k], (expected.get(A.parents[k]) || 0) + 1);
  }
  $("step-count").textContent = `${spaced(state.step)} of ${spaced(D.backward)}`;
  for (const [id, off] of [["step-first", state.step === 0], ["step-prev", state.step === 0], ["step-next", state.step === D.backward], ["step-last", state.step === D.backward]]) $(id).setAttribute("aria-disabled", String(off));
  const words = $("step-text");
  if (!state.step) words.replaceChildren(el("p", {class: "soft"}, "The gradients flow from the result back to the weights, in the order in which this really ran. Press ▶ for the first step."));
  else {
    const row = stepRows[state.step], role = A.role[row], doc = D.docs[word(role, "op")] || ["", ""], list = el("ul", {class: "links"});
    for (let k = start[row]; k < start[row + 1]; k++) {
      const parent = A.parents[k];
      if (parent < 0 || Number.isNaN(A.flow[k])) continue;
      const sum = sums.get(parent), of = expected.get(parent);
      list.append(el("li", {}, "→ ", button(describe(parent), () => jump(parent), {dir: "auto"}), ` adds ${short(A.flow[k])}`, sum ? el("span", {class: "soft"}, ` (contribution ${spaced(sum.n)} of ${spaced(of)})`) : el("span", {class: "soft"}, of > 1 ? ` (one of ${spaced(of)})` : "")));
    }
    const leaf = word(role, "kind") !== "op";
    words.replaceChildren(el("p", {}, el("bdi", {}, describe(row)), " has received its whole gradient, of norm ", el("strong", {}, short(norm("grad", row))), leaf ? ": the end of the way." : ". It sends back", leaf || !doc[1] ? "" : el("code", {}, " " + doc[1])), list);
  }
  const table = el("table", {id: "sums-table"}, el("thead", {}, el("tr", {}, ...["Leaf", "Contributions", "‖Sum‖"].map(h => el("th", {scope: "col"}, h)))));
  const body = el("tbody", {});
  let rows = 0;
  for (const [parent, of] of expected) {
    if (word(A.role[parent], "kind") === "op" || rows++ > 60) continue;
    const sum = sums.get(parent), size = sum && sum.total ? Math.hypot(...sum.total) : sum && sum.n === of ? norm("grad", parent) : NaN;
    body.append(el("tr", {"data-leaf": word(A.role[parent], "name"), "data-row": parent}, el("th", {scope: "row"}, button(describe(parent), () => jump(parent), {dir: "auto"})), el("td", {}, `${spaced(sum ? sum.n : 0)} of ${spaced(of)}`), el("td", {}, sum ? (Number.isNaN(size) ? "…" : short(size)) : "0")));
  }
  table.append(body);
  const chosen = sums.get(selectedRow());
  $("sums").replaceChildren(table, chosen && chosen.total ? grid(chosen.total, shapes(A.role[selectedRow()])[0]) : "");
}
function accumulated(id) { // the sum so far of a leaf, by id or name
  for (const [parent, sum] of sums) if ("n" + A.role[parent] === id || word(A.role[parent], "name") === id) return sum.total && [...sum.total];
  return null;
}
let playing = 0;
function play() {
  if (playing) { clearInterval(playing); playing = 0; }
  else if (D.backward) { if (state.step === D.backward) step(0); playing = setInterval(() => { if (state.step >= D.backward) play(); else step(state.step + 1); }, matchMedia("(prefers-reduced-motion: reduce)").matches ? 1500 : 550); }
  $("step-play").textContent = playing ? "❙❙" : "▶▶";
  $("step-play").setAttribute("aria-label", playing ? "Pause" : "Play");
}

// --- time: lines and heat maps ---
function states() { return D.series.filter(s => s.state).map(s => s.role); }
function line(roles, what, title) {
  const W = 560, H = 150, left = 58, right = 12, lines = [];
  let low = Infinity, high = -Infinity;
  for (const role of roles) {
    const points = [], n = A.role_count[role], stride = Math.max(1, Math.floor(n / 500));
    for (let k = 0; k < n; k += stride) {
      let row = A.byRole[roleStart[role] + k], v = norm(what, row);
      for (let j = 1; j < stride && k + j < n; j++) { const w = norm(what, A.byRole[roleStart[role] + k + j]); if (w > v) { v = w; row = A.byRole[roleStart[role] + k + j]; } }
      if (v > 0 && v < Infinity) { points.push([A.t[row], Math.log10(v)]); low = Math.min(low, Math.log10(v)); high = Math.max(high, Math.log10(v)); }
    }
    lines.push(points);
  }
  if (!lines.some(p => p.length > 1)) return null;
  if (high - low < 0.2) { high += 0.1; low -= 0.1; }
  const x = t => left + (W - left - right) * t / Math.max(D.steps - 1, 1), y = v => H - 22 - (H - 34) * (v - low) / (high - low);
  const svg = el("svg:svg", {class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}; from ${short(10 ** low)} to ${short(10 ** high)}`});
  for (const v of [low, (low + high) / 2, high]) svg.append(el("svg:path", {class: "rule", d: `M${left},${y(v)}H${W - right}`}), text(left - 6, y(v) + 3.5, short(+(10 ** v).toPrecision(2)), "small soft end"));
  svg.append(el("svg:path", {class: "now", d: `M${x(state.t)},8V${H - 22}`}), text(left, H - 6, "t = 0", "small soft start"), text(W - right, H - 6, `t = ${D.steps - 1}`, "small soft end"));
  lines.forEach((p, k) => p.length && svg.append(el("svg:path", {class: `line line-${k % 4}`, d: "M" + p.map(q => `${x(q[0]).toFixed(1)},${y(q[1]).toFixed(1)}`).join("L")})));
  svg.addEventListener("click", e => { const b = svg.getBoundingClientRect(); setTime(Math.round(((e.clientX - b.left) / b.width * W - left) / (W - left - right) * (D.steps - 1))); });
  const names = roles.length > 1 ? el("p", {class: "soft small"}, ...roles.map((r, k) => el("span", {class: "legend"}, el("i", {class: `stroke line-${k % 4}`}), ` ${series(r)} `))) : "";
  return el("figure", {}, el("figcaption", {}, title), svg, names);
}
function growth(role) { // factor per step along which the gradient flows, from a straight line through the logarithms
  let n = 0, st = 0, sv = 0, stt = 0, stv = 0;
  for (let k = roleStart[role]; k < roleStart[role + 1]; k++) { const v = norm("grad", A.byRole[k]), t = A.t[A.byRole[k]]; if (v > 0 && v < Infinity) { n++; st += t; sv += Math.log(v); stt += t * t; stv += t * Math.log(v); } }
  if (n < 3) return null;
  const edge = (V.steps || V.folded).edges.find(e => e.carried && (V.steps || V.folded).boxes[e.from].roles.includes(role));
  return Math.exp(-(edge && edge.delay < 0 ? -1 : 1) * (n * stv - st * sv) / (n * stt - st * st || 1));
}
function time() {
  const section = $("view-time"), parts = [], all = states().length ? states() : D.series.slice(0, 4).map(s => s.role);
  const chart = line(all.slice(0, 8), "grad", "‖∂L/∂h_t‖: how much of the gradient reaches each time step (log scale)");
  const facts = all.map(r => [r, growth(r)]).filter(f => f[1]).map(([r, f]) => el("li", {}, el("bdi", {}, series(r)), ": ", el("strong", {}, f < 0.97 ? "vanishing" : f > 1.03 ? "exploding" : "steady"), ` ${f.toPrecision(3)}× per step back in time`));
  parts.push(chart || el("p", {class: "soft"}, "No gradients over time were recorded: compute the loss and call backward(retain_graph=True) inside tg.trace()."), facts.length ? el("ul", {class: "facts"}, ...facts) : "");
  if (D.series.length) parts.push(heat());
  parts.push(contributions() || "");
  const focus = document.activeElement && document.activeElement.id;
  section.replaceChildren(...parts);
  if (focus && $(focus) && section.contains($(focus))) $(focus).focus();
}
function pickers() {
  const names = D.series.map((s, k) => [String(k), series(s.role)]);
  return [choice("series", "Units of", names, String(state.series), v => { state.series = +v; state.unit = 0; refresh(); }), choice("what", "Show", [["value", "value"], ["grad", "gradient"]], state.what, v => { state.what = v; refresh(); })];
}
function heat() {
  const s = D.series[state.series], data = A[`series${s.role}_${state.what}`], n = A.series_steps.length, paper = el("canvas", {width: n, height: s.units, role: "img", "aria-label": `Heat map: ${n} time steps from left to right, ${s.units} units from top to bottom`});
  let most = 0;
  for (const v of data) if (Number.isFinite(v)) most = Math.max(most, Math.abs(v));
  const image = paper.getContext("2d").createImageData(n, s.units);
  for (let i = 0; i < n; i++) for (let u = 0; u < s.units; u++) {
    const v = data[i * s.units + u], c = Number.isNaN(v) ? [150, 60, 60] : mix(0.5 + v / (2 * most || 1)), at = 4 * (u * n + i);
    image.data[at] = c[0]; image.data[at + 1] = c[1]; image.data[at + 2] = c[2]; image.data[at + 3] = 255;
  }
  paper.getContext("2d").putImageData(image, 0, 0);
  paper.style.height = `${Math.min(Math.max(s.units * 9, 90), 320)}px`;
  paper.addEventListener("click", e => { const b = paper.getBoundingClientRect(); state.unit = Math.min(s.units - 1, Math.floor((e.clientY - b.top) / b.height * s.units)); setTime(A.series_steps[Math.min(n - 1, Math.floor((e.clientX - b.left) / b.width * n))]); });
  const near = nearest(state.t), v = data[near * s.units + state.unit];
  return el("figure", {class: "heat"}, el("figcaption", {}, "Time runs from left to right, one row per unit (first example of the batch)"), el("div", {class: "bar"}, ...pickers(), el("span", {class: "legend"}, short(-most), el("i", {class: "scale"}), short(most))), paper, el("p", {class: "soft"}, `t = ${A.series_steps[near]}, unit ${state.unit}: ${short(v)}`));
}
function nearest(t) { let best = 0; A.series_steps.forEach((s, k) => { if (Math.abs(s - t) < Math.abs(A.series_steps[best] - t)) best = k; }); return best; }
function contributions() { // which step contributes how much to the gradient of each weight
  const of = new Map();
  for (let i = 0; i < D.nodes; i++) if (A.t[i] >= 0) for (let k = start[i]; k < start[i + 1]; k++) {
    const p = A.parents[k];
    if (p < 0 || Number.isNaN(A.flow[k]) || word(A.role[p], "kind") !== "parameter") continue;
    if (!of.has(p)) of.set(p, new Float64Array(D.steps));
    of.get(p)[A.t[i]] += A.flow[k];
  }
  if (!of.size) return null;
  const bars = [...of].slice(0, 8).map(([p, flow]) => {
    const groups = Math.min(D.steps, 140), svg = el("svg:svg", {class: "bars wide", viewBox: `0 0 ${groups * 4} 46`, preserveAspectRatio: "none", role: "img", "aria-label": `Contributions to ${describe(p)} over ${D.steps} steps`}), sums = new Float64Array(groups);
    flow.forEach((v, t) => { sums[Math.floor(t * groups / D.steps)] += v; });
    const most = Math.max(...sums) || 1;
    sums.forEach((v, k) => svg.append(el("svg:rect", {x: k * 4, y: 46 - v / most * 44, width: 3.2, height: v / most * 44})));
    return el("figure", {}, el("figcaption", {}, el("bdi", {}, describe(p)), `: largest contribution ${short(most)}`), svg);
  });
  return el("div", {}, el("h2", {}, "What each time step contributes to the gradients of the weights"), ...bars);
}

// --- text: the characters, coloured ---
function letters() {
  const section = $("view-text"), s = D.series[state.series], data = A[`series${s.role}_${state.what}`], influence = state.what === "influence";
  const T = D.steps, focus = document.activeElement && document.activeElement.dataset.at;
  const first = T > 1500 ? Math.min(Math.max(state.t - 700, 0), T - 1500) : 0, size = Math.min(T, 1500);
  const valueAt = t => influence ? A.influence[state.t * T + t] : A.series_steps.length === T ? data[t * s.units + state.unit] : data[nearest(t) * s.units + state.unit];
  let most = 0;
  for (let t = first; t < first + size; t++) { const v = valueAt(t); if (Number.isFinite(v)) most = Math.max(most, Math.abs(v)); }
  const cells = [];
  for (let t = first; t < first + size; t++) {
    const v = valueAt(t), c = mix(influence ? v / (most || 1) : 0.5 + v / (2 * most || 1)), letter = {" ": "␣", "\n": "↵", "\t": "⇥"}[D.text[t]] || D.text[t];
    cells.push(el("button", {type: "button", class: "letter" + (t === state.t ? " chosen" : ""), "data-at": t, style: `background:${rgb(c)};color:${bright(c) ? "#000" : "#fff"}`, "aria-label": `${D.text[t]}, t = ${t}, ${short(v)}`, "aria-pressed": String(t === state.t), tabindex: t === state.t ? 0 : -1, onclick: () => setTime(t)}, el("b", {}, letter), size <= 400 ? el("small", {}, Number.isFinite(v) ? String(+v.toPrecision(2)).replace("-", "−") : short(v)) : ""));
  }
  const options = [["value", "value of a unit"], ["grad", "gradient of a unit"], ...(A.influence ? [["influence", "influence on the output at the chosen step"]] : [])];
  const bars = [choice("what", "Colour by", options, state.what, v => { state.what = v; refresh(); })];
  if (!influence) bars.push(pickers()[0], el("label", {}, "Unit ", el("input", {id: "unit", type: "number", min: 0, max: s.units - 1, value: state.unit, onchange: e => { state.unit = Math.min(Math.max(+e.target.value || 0, 0), s.units - 1); refresh(); }})));
  const words = influence ? `|∂y_t/∂x_k|: how much the output after character ${state.t} depends on each earlier character` : "Each character is the input of one time step.";
  section.replaceChildren(el("div", {class: "bar"}, ...bars, el("span", {class: "legend"}, short(influence ? 0 : -most), el("i", {class: "scale"}), short(most))), el("p", {class: "soft"}, words), el("div", {class: "letters", role: "group", "aria-label": "The text, one button per character; arrow keys move", onkeydown: keys}, ...cells));
  if (focus !== undefined && section.querySelector(".letter.chosen")) section.querySelector(".letter.chosen").focus();
}
function differences(section) {
  const lines = D.differences || [];
  section.append(el("h2", {}, D.compared), el("ul", {class: "facts"}, ...lines.map(([kind, words]) => el("li", {}, el("strong", {}, kind + ": "), el("bdi", {}, words)))));
}

// --- search, keys, start ---
function find() {
  const wanted = $("search").value.trim().toLowerCase(), list = $("found");
  const ranked = [[], []]; // what is called so first
  if (wanted) for (let r = 0; r < D.roles && ranked[0].length < 20; r++) {
    const words = ["name", "op", "layer", "symbol", "label", "source"].map(w => word(r, w).toLowerCase());
    if (words.slice(0, 4).includes(wanted)) ranked[0].push(r);
    else if (ranked[1].length < 20 && words.some(w => w.includes(wanted))) ranked[1].push(r);
  }
  const hits = ranked.flat().slice(0, 20);
  list.replaceChildren(...hits.map(r => el("li", {}, button(describe(nearRow(r, state.t)), () => { jump(nearRow(r, state.t)); close(); }, {dir: "auto"}))), ...(wanted && !hits.length ? [el("li", {class: "soft"}, "nothing found")] : []));
  list.hidden = !wanted;
  if (wanted) announce(`${hits.length} found`);
}
function close() {
  if (!$("found").hidden) { $("search").value = ""; $("found").hidden = true; }
  else { if (playing) play(); state.node = ""; state.path = false; bar(); refresh(false); }
  if ($("canvas")) $("canvas").focus();
}
function follow(down) { // to the first parent or child
  const row = selectedRow(), box = boxOf(state.node);
  if (row < 0 && box) {
    const T = template(), me = T.boxes.indexOf(box), e = T.edges.find(e => !e.carried && (down ? e.from : e.to) === me);
    if (e) select(T.boxes[down ? e.to : e.from].id);
  } else if (row < 0) select(template().boxes[0] ? template().boxes[0].id : "");
  else {
    const drawn = new Set(template().boxes.map(b => b.id)), next = [];
    if (down) for (let k = childStart[row]; k < childStart[row + 1]; k++) next.push(children[k]);
    else for (let k = start[row]; k < start[row + 1]; k++) if (A.parents[k] >= 0) next.push(A.parents[k]);
    const to = next.find(i => drawn.has("n" + A.role[i]) && A.t[i] === A.t[row]) ?? next.find(i => drawn.has("n" + A.role[i])) ?? next[0];
    if (to !== undefined) jump(to);
  }
}
function keys(e) {
  const acts = {ArrowLeft: () => setTime(state.t - 1), ArrowRight: () => setTime(state.t + 1), ArrowUp: () => follow(false), ArrowDown: () => follow(true), Enter: open, " ": play};
  if (!acts[e.key] || e.ctrlKey || e.metaKey || e.altKey || (e.key !== "ArrowLeft" && e.key !== "ArrowRight" && e.currentTarget.classList.contains("letters"))) return;
  e.preventDefault();
  acts[e.key]();
}
function counts() {
  return {view: state.view, total: D.nodes, folded: D.roles, steps: D.steps, shown: document.querySelectorAll("g.node").length, svg: document.querySelectorAll("svg, svg *").length, backward: D.backward, selected: state.node, t: state.t, step: state.step};
}
function saveSvg() {
  const svg = document.querySelector("section:not([hidden]) svg.graph");
  if (!svg) return;
  const copy = svg.cloneNode(true), box = svg.getBoundingClientRect();
  copy.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  copy.setAttribute("width", box.width);
  copy.setAttribute("height", box.height);
  copy.setAttribute("data-theme", dark() ? "dark" : "light");
  copy.prepend(el("svg:style", {}, document.querySelector("style").textContent + "svg{background:var(--page)}"));
  const link = el("a", {href: URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], {type: "image/svg+xml"})), download: `${state.view}.svg`});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
const dark = () => { const set = document.documentElement.dataset.theme; return set === "dark" || (set !== "light" && matchMedia("(prefers-color-scheme: dark)").matches); };
async function begin() {
  await load();
  for (const view of VIEWS.filter(available))
    $("tabs").append(el("button", {type: "button", role: "tab", id: "tab-" + view, "aria-controls": "view-" + view, onclick: () => setView(view)}, TITLES[view]));
  $("tabs").addEventListener("keydown", e => {
    const tabs = [...$("tabs").children], k = tabs.indexOf(document.activeElement), to = {ArrowRight: k + 1, ArrowLeft: k - 1, Home: 0, End: tabs.length - 1}[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab.click();
    tab.focus();
  });
  $("summary").textContent = D.note;
  const [a, b] = D.broken;
  if (a >= 0) $("jumps").append(button("Jump to the first non-finite value", () => jump(a)));
  if (b >= 0) $("jumps").append(button("Jump to the first non-finite gradient", () => jump(b)));
  for (const [id, act] of [["step-first", () => step(0)], ["step-prev", () => step(state.step - 1)], ["step-next", () => step(state.step + 1)], ["step-last", () => step(D.backward)], ["step-play", play], ["save", saveSvg]]) $(id).addEventListener("click", act);
  $("theme").addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; });
  $("help").addEventListener("click", () => { $("keys").hidden = !$("keys").hidden; $("help").setAttribute("aria-expanded", String(!$("keys").hidden)); });
  $("search").addEventListener("input", find);
  $("search").addEventListener("keydown", e => { const first = $("found").querySelector("button"); if (e.key === "Enter" && first) first.click(); else if (e.key === "ArrowDown" && first) { e.preventDefault(); first.focus(); } });
  addEventListener("keydown", e => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName);
    if (e.key === "/" && !typing) { e.preventDefault(); $("search").focus(); }
    else if (e.key === "Escape") close();
  });
  addEventListener("hashchange", restore);
  let size = 0;
  addEventListener("resize", () => { clearTimeout(size); size = setTimeout(() => { show(); refresh(); }, 150); });
  restore();
  stepper();
}
window.tg = {counts, setView, select, step, errors, accumulated, ready: begin()};
window.tg.ready.catch(e => { $("summary").textContent = `The page could not be read: ${e.message}`; });
})();
