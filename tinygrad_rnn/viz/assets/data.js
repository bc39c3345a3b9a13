// Small helpers, and the recorded graph: typed arrays, one entry per row, per folded node, or per edge.
const errors = [];
addEventListener("error", e => errors.push(String(e.message)));
addEventListener("unhandledrejection", e => errors.push(String(e.reason)));
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const CIVIDIS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
let D, A, V, start, childStart, roleStart, stepRows, boxes; // header, arrays, templates; where the parts of arrays start
function el(tag, attributes = {}, ...content) {
  const e = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [k, v] of Object.entries(attributes))
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) e.setAttribute(k, v === true ? "" : v);
  for (const c of content) if (c !== null && c !== undefined) e.append(c);
  return e;
}
const button = (text, click, more = {}) => el("button", {type: "button", onclick: click, ...more}, text);
const region = (label, content) => el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": label}, content);
const soft = text => el("span", {class: "soft"}, text);
const list = items => el("ul", {class: "links"}, ...items.map(item => el("li", {}, ...item)));
const line = (head, cells, more = {}) =>
  el("tr", more, el("th", {scope: "row"}, head), ...cells.map(c => el("td", {dir: "auto"}, c)));
const tableOf = (head, rows, more = {}) =>
  el("table", more, el("thead", {}, el("tr", {}, ...head.map(h => el("th", {scope: "col"}, h)))), el("tbody", {}, ...rows));
const NAMED = {grad: "gradient", value: "value"};
const within = (v, low, high) => Math.min(Math.max(v, low), high);
const plain = x => Object.is(x, -0) ? "-0" : String(x);
function short(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x), text = size >= 1e5 || size < 1e-3 ? x.toExponential(2).replace("e+", "e") : String(+x.toPrecision(4));
  return text.replaceAll("-", "−");
}
const spaced = n => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const bytes = n => n < 1e3 ? `${n} B` : n < 1e6 ? `${+(n / 1e3).toPrecision(3)} kB` : `${+(n / 1e6).toPrecision(3)} MB`;
const clip = text => text.length > 40 ? text.slice(0, 39) + "…" : text;
function mix(fraction) {
  const place = within(fraction, 0, 1) * 5, k = Math.min(Math.floor(place), 4);
  return CIVIDIS[k].map((a, i) => Math.round(a + (CIVIDIS[k + 1][i] - a) * (place - k)));
}
const rgb = c => `rgb(${c.join(",")})`;
function bright(c) { // whether black has more contrast on it than white
  const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179;
}
async function decode(id) {
  const [how, text] = JSON.parse($(id).textContent), binary = atob(text), raw = new Uint8Array(binary.length);
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
  boxes = new Map();
  for (const T of [V.folded, V.layers, ...Object.values(V.inside), V.cells, V.steps, V.compare])
    for (const b of T ? T.boxes : []) if (!boxes.has(b.id)) boxes.set(b.id, b);
  const sums = counts => { const to = new Int32Array(counts.length + 1); counts.forEach((c, i) => { to[i + 1] = to[i] + c; }); return to; };
  [start, childStart, roleStart] = [A.fanin, A.fanout, A.role_count].map(sums);
  stepRows = new Int32Array(D.backward + 1).fill(-1);
  for (let i = 0; i < D.nodes; i++) { // parents and children are stored as distances
    for (let k = start[i]; k < start[i + 1]; k++) A.parents[k] = A.parents[k] ? i - A.parents[k] : -1;
    for (let k = childStart[i]; k < childStart[i + 1]; k++) A.children[k] += i;
    if (A.order[i]) stepRows[A.order[i]] = i;
  }
}
const parentsOf = row => A.parents.subarray(start[row], start[row + 1]).filter(p => p >= 0);
const childrenOf = row => A.children.subarray(childStart[row], childStart[row + 1]);
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
const broken = (what, row) => D.full ? A[what + "_odd"][row] : 0;
const shapes = role => word(role, "shape").split(";").map(s => s ? s.split(",").map(Number) : []);
const shapeText = s => s.length ? `(${s.join(", ")}${s.length === 1 ? "," : ""})` : "scalar";
const count = s => s.reduce((a, b) => a * b, 1);
function exact(what, index, length) { // numbers that were shipped in full, or null
  const at = A[what] ? A[what][index] : -1;
  return at === -1 ? null : at >= 0 ? A[what + "4"].subarray(at, at + length) : A[what + "8"].subarray(-2 - at, -2 - at + length);
}
const nameOf = role => clip(word(role, "name") || word(role, "label") || word(role, "symbol"));
const series = role => [clip(word(role, "layer")), nameOf(role)].filter(Boolean).join(" · ");
function describe(row) {
  const role = A.role[row], t = A.t[row], kind = word(role, "kind");
  const parts = [nameOf(role), kind === "op" ? word(role, "op") : kind, clip(word(role, "layer")), t >= 0 ? `t = ${t}` : ""];
  return [...new Set(parts)].filter(Boolean).join(" · ");
}
const fraction = (e, {left, top, width, height}) => [(e.clientX - left) / width, (e.clientY - top) / height];
const letterAt = t => D.text ? ` “${D.text[t]}”` : "";
const link = row => button(describe(row), () => jump(row), {dir: "auto"});
