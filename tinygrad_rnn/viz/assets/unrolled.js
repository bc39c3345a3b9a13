// The unrolled view: the template of one step, tiled over the visible steps; of very many steps, buckets first.
const MOST = 2600; // SVG elements
const WIDEST = 1e6; // pixels of a scroll bar; beyond it, one pixel is several
const GAP = 46; // between two steps
const bucketOf = t => D.bucket ? Math.floor(t / D.bucket) : 0;
const overview = () => state.view === "unrolled" && D.bucket > 0 && state.all;
const spanOf = bucket => D.bucket ? [bucket * D.bucket, Math.min((bucket + 1) * D.bucket, D.steps)] : [0, D.steps];
function bucketWords(bucket) {
  const [from, to] = spanOf(bucket);
  return `t = ${spaced(from)} to ${spaced(to - 1)}: largest ‖${NAMED[norms()]}‖ ${short(buckets()[bucket])}`;
}
const norms = () => state.color === "value" || !range("grad") ? "value" : "grad";
const buckets = () => A["bucket_" + norms()]; // the largest norm in each bucket
function zoomIn(t) {
  state.all = false; state.t = within(t, 0, D.steps - 1); show(); refresh();
  announce(`t = ${spaced(spanOf(bucketOf(state.t))[0])} and on, one by one`);
}
function drawBuckets() {
  const top = buckets(), known = [...top].filter(v => v > 0 && v < Infinity), holder = $("canvas"), W = holder.clientWidth || 900;
  const ends = [Math.min, Math.max].map(of => Math.log10(of(...known, known[0] || 1))), H = 260, left = 64, w = (W - left - 16) / top.length;
  const high = v => v > 0 ? 8 + (H - 96) * (v < Infinity ? share(v, ends) : 1) : 2, low = H - 44;
  const bars = [...top].map((v, k) => el("svg:g", {
    class: "bucket" + (k === bucketOf(state.t) ? " chosen" : ""), "data-from": spanOf(k)[0], onclick: () => zoomIn(spanOf(k)[0]),
  }, el("svg:title", {}, bucketWords(k)), el("svg:rect", {class: "back", x: left + k * w, y: 30, width: w, height: low - 30}),
  el("svg:rect", {class: "bar", x: left + k * w + 1, y: low - high(v), width: Math.max(w - 2, 1), height: high(v), rx: 2})));
  const every = Math.ceil(top.length * 64 / (W - left)), marks = [...top.keys()].filter(k => k % every === 0);
  world.g.replaceChildren(
    text(left, 18, `Largest ‖${NAMED[norms()]}‖ of ${spaced(D.bucket)} steps each (log scale); click one to see its steps`, "title soft start"),
    ...ends.map(v => text(left - 8, low - high(10 ** v) + 8, short(10 ** v), "small soft end")), ...bars,
    ...marks.map(k => text(left + k * w, H - 26, spaced(spanOf(k)[0]), "small soft start")),
    text(W - 16, H - 8, bucketWords(bucketOf(state.t)), "soft end"));
}
function scroller() {
  const section = $("view-unrolled"), [holder, svg, g] = canvas("unrolled"), T = template(), [x0, y0, x1, y1] = T.box;
  section.replaceChildren(holder);
  if (overview()) { world = {svg, g}; svg.style.cssText = "width:100%;height:260px"; return; }
  const spacer = el("div", {class: "spacer"}), names = el("svg:g", {class: "names"});
  svg.append(names); holder.classList.add("wide"); holder.append(spacer);
  const height = y1 - y0 + 60, z = state.zoom || within(innerHeight * 0.8 / height, 0.6, 1), side = 70;
  const [from, to] = spanOf(bucketOf(state.t)), all = (to - from) * T.pitch - GAP + 2 * side;
  world = {svg, g, T, zoom: z, from, to, names, tiles: new Map(), y0: y0 - 30};
  spacer.style.width = `${within(all * z, 10, WIDEST)}px`;
  holder.style.height = `${height * z + 20}px`; svg.style.height = `${height * z}px`;
  const pieces = b => 5 + 3 * (b.before.length + b.after.length) + b.lines.length;
  const each = T.boxes.filter(b => b.tile).reduce((sum, b) => sum + pieces(b), 0) + 3 * T.edges.length + 4;
  world.most = Math.max(1, Math.floor((MOST - T.boxes.length * 6) / each));
  holder.addEventListener("scroll", () => { if (world && world.tiles) { tiles(); table(); } });
  const first = T.left - side + from * T.pitch, seen = () => holder.clientWidth / z;
  world.span = () => { // where the window is, in the coordinates of the template
    const free = holder.scrollWidth - holder.clientWidth;
    return first + (free > 0 ? holder.scrollLeft / free * Math.max(all - seen(), 0) : -(seen() - all) / 2);
  };
  world.go = t => {
    const a = T.left + t * T.pitch, b = a + T.pitch - GAP, x = world.span(), free = holder.scrollWidth - holder.clientWidth;
    if (a < x || b > x + seen()) holder.scrollLeft = ((a + b - seen()) / 2 - first) / Math.max(all - seen(), 1) * free;
  };
}
function joined(a, b, t, u) { // does box b at step u read box a at step t?
  const fits = (box, row, at) => box.roles.includes(A.role[row]) && (A.t[row] < 0 || A.t[row] === at);
  const rows = (box, at) => box.roles.map(role => rowAt(role, at)).filter(row => row >= 0);
  if (a.tile) return rows(a, t).some(row => childrenOf(row).some(i => fits(b, i, u)));
  return rows(b, u).some(row => parentsOf(row).some(i => fits(a, i, t)));
}
function tile(t) {
  const {T} = world, inside = e => e.tile[0] && e.tile[1] && t + e.delay >= 0 && t + e.delay < D.steps;
  const edges = T.edges.filter(e => inside(e) && joined(T.boxes[e.from], T.boxes[e.to], t, t + e.delay));
  const own = T.boxes.filter(b => b.tile && b.roles.some(r => rowAt(r, t) >= 0)).map(b => drawBox(b, t));
  const back = T.frames.map(f => frame(f, `t = ${t}`, letterAt(t).trim())); // frames lie below the arrows from other tiles
  return [el("svg:g", {}, ...back), el("svg:g", {class: "tile"}, ...edges.map(e => drawEdge(e, e.path, t)), ...own)];
}
function tiles(afresh) {
  const {T, g, zoom: z, names, from, to} = world, x = world.span(), wide = $("canvas").clientWidth / z, pitch = T.pitch;
  let first = Math.max(from, Math.floor((x - T.left) / pitch) - 1), last = Math.min(to - 1, Math.ceil((x + wide - T.left) / pitch));
  if (last - first + 1 > world.most) {
    first = Math.max(first, within(state.t, first, last) - (world.most >> 1));
    last = Math.min(last, first + world.most - 1);
  }
  for (const [t, parts] of world.tiles) if (afresh || t < first || t > last) { parts.forEach(p => p.remove()); world.tiles.delete(t); }
  for (let t = first; t <= last; t++) if (!world.tiles.has(t)) {
    world.tiles.set(t, tile(t));
    g.prepend(world.tiles.get(t)[0]); g.append(world.tiles.get(t)[1]);
  }
  for (const [t, parts] of world.tiles) for (const part of parts) part.setAttribute("transform", `translate(${(t - first) * pitch},0)`);
  g.setAttribute("transform", `translate(0,10) scale(${z}) translate(${first * pitch - x},${-world.y0})`);
  // what lies outside the recurrences stays in the middle of what is visible
  const left = Math.max(x, T.left + from * pitch), right = Math.min(x + wide, T.left + to * pitch - GAP);
  const dx = (left + right) / 2 - (T.left + (pitch - GAP) / 2) - first * pitch;
  const shifted = (path, by) => path.map((v, i) => i % 2 ? v : v + by(i >> 1));
  if (world.fixed) world.fixed.remove();
  world.fixed = el("svg:g", {class: "fixed"});
  for (const e of T.edges) {
    const n = e.path.length / 2;
    if (!e.tile[0] && !e.tile[1]) world.fixed.append(drawEdge({...e, place: e.place && [e.place[0] + dx, e.place[1]]}, shifted(e.path, () => dx)));
    else if (!e.tile[0] || !e.tile[1]) for (const t of world.tiles.keys()) if (joined(T.boxes[e.from], T.boxes[e.to], t, t)) {
      const fixed = k => e.tile[0] ? k >= n - 2 : k < 2, edge = drawEdge({...e, label: ""}, shifted(e.path, k => fixed(k) ? dx : (t - first) * pitch), t);
      edge.dataset.at = t; world.fixed.append(edge);
    }
  }
  world.fixed.append(el("svg:g", {transform: `translate(${dx},0)`}, ...T.boxes.filter(b => !b.tile).map(b => drawBox(b, -1))));
  g.append(world.fixed);
  names.replaceChildren(...T.frames.filter(f => f.layer).map(f => text(8, (f.at[1] - world.y0) * z + 4, clip(f.layer), "title soft start halo")));
}
