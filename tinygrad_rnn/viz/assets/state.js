// What is shown and selected; the address of the page says it, too.
const TITLES = {folded: "Folded", unrolled: "Unrolled", layers: "Layers", time: "Time", text: "Text", compare: "Compare"};
const VIEWS = Object.keys(TITLES);
const state = {
  view: "folded", t: 0, node: "", color: "kind", level: "cells", step: 0, zoom: 0, path: "", open: new Set(), all: true,
  series: 0, unit: 0, what: "value",
};
let world = null; // what is drawn: the SVG, its template, where it is
const unrolled = () => V[state.level] || V.cells || V.steps;
const template = () => state.view === "unrolled" ? unrolled() : state.view === "layers" ? opened() : V[state.view] || V.folded;
const roleOf = id => /^n\d+$/.test(id) && +id.slice(1) < D.roles ? +id.slice(1) : -1;
const idOf = row => `n${A.role[row]}` + (A.t[row] >= 0 ? `@t=${A.t[row]}` : "");
const selectedRow = () => roleOf(state.node) >= 0 ? nearRow(roleOf(state.node), state.t) : -1;
function rowOf(id) { // the row of a node or, of a box that stands for several, of its result
  const [node, t] = id.split("@t="), role = roleOf(node) >= 0 ? roleOf(node) : boxes.has(node) ? boxes.get(node).roles.at(-1) : -1;
  return role >= 0 ? nearRow(role, t === undefined ? state.t : +t) : -1;
}
function select(id, quiet) {
  const [node, t] = String(id).split("@t="), role = roleOf(node);
  if (t !== undefined && D.steps) goTo(+t || 0);
  state.node = role >= 0 || boxes.has(node) ? node : "";
  if (role >= 0 && timed(role)) goTo(A.t[nearRow(role, state.t)]);
  refresh();
  if (!quiet && state.node) announce(role >= 0 ? describe(selectedRow()) : boxes.get(node).title);
}
function goTo(t) { // of many steps, the part of the axis around the wanted one is shown
  const before = bucketOf(state.t);
  state.t = within(t, 0, Math.max(D.steps - 1, 0));
  if (bucketOf(state.t) !== before && world && world.go) show();
}
function setTime(t) {
  if (!D.steps) return;
  goTo(t);
  if (roleOf(state.node) >= 0 && timed(roleOf(state.node)) && rowAt(roleOf(state.node), state.t) < 0) state.node = "";
  refresh();
  const row = selectedRow();
  announce(row >= 0 ? `${describe(row)}, gradient ${short(norm("grad", row))}` : overview() ? bucketWords(bucketOf(state.t)) : `t = ${state.t}`);
}
function announce(text) { $("status").textContent = text; }
function refresh(scroll = true) {
  if (scroll && world && world.go) world.go(state.t);
  draw(); detail();
  const parts = {
    view: state.view, t: D.steps ? state.t : "", node: state.node, level: state.view === "unrolled" ? state.level : "",
    color: state.color === "kind" ? "" : state.color, step: state.step || "", path: state.path,
    open: state.view === "layers" ? [...state.open].join(".") : "", near: D.bucket && !state.all ? 1 : "",
  };
  const known = Object.entries(parts).filter(([, v]) => v !== "").map(([k, v]) => `${k}=${encodeURIComponent(v)}`), hash = "#" + known.join("&");
  if (hash !== location.hash) try { history.replaceState(null, "", hash); } catch { location.hash = hash; }
}
function restore() {
  const wanted = new URLSearchParams(location.hash.slice(1)), get = name => wanted.get(name) || "";
  if (["cells", "steps"].includes(get("level")) && V[get("level")]) state.level = get("level");
  if ([...$("colour").options].some(o => o.value === get("color"))) state.color = get("color");
  state.t = wanted.has("t") ? within(parseInt(get("t")) || 0, 0, Math.max(D.steps - 1, 0)) : state.t;
  state.view = available(get("view")) ? get("view") : "folded";
  state.open = new Set(get("open").split(".").filter(id => V.inside[id]));
  state.path = rowOf(get("path")) >= 0 ? get("path") : "";
  state.all = !(get("near") || get("node"));
  if (get("step") > 0) walk(+get("step"));
  state.node = ""; show(); select(get("node"), true);
}
const available = view => D.shown.includes(view);
function setView(view) {
  if (!available(view)) return false;
  state.view = view; state.zoom = 0; show(); refresh();
  announce(`${TITLES[view]} view`);
  return true;
}
function show() {
  const held = document.activeElement && document.activeElement.id === "canvas";
  for (const v of VIEWS) {
    const tab = $("tab-" + v), here = v === state.view;
    $("view-" + v).hidden = !here;
    if (tab) { tab.setAttribute("aria-selected", String(here)); tab.tabIndex = here ? 0 : -1; }
    if (!here) $("view-" + v).replaceChildren();
  }
  world = null;
  if (state.view === "unrolled") scroller();
  else if (state.view !== "time" && state.view !== "text") still();
  if (held && $("canvas")) $("canvas").focus();
}
function open() { // a layer opens where it stands; a cell shows its ops, in the unrolled view
  const box = boxes.get(state.node);
  if (overview()) zoomIn(state.t);
  else if (box && V.inside[box.id] && state.view === "layers") toggle(box.id);
  else if (box && roleOf(box.id) < 0) unroll(box);
  else if (state.node) $("detail").focus();
}
function unroll(box) {
  const cell = box.id[0] !== "c" && V.cells && V.cells.boxes.find(b => b.tile && box.roles.includes(b.roles[0]));
  const role = box.roles.find(r => rowAt(r, state.t) >= 0), steps = box.roles.some(timed) && Boolean(cell || V.steps);
  if (steps) state.level = cell ? "cells" : "steps";
  setView(steps ? "unrolled" : "folded");
  if (cell || role !== undefined) select(cell ? cell.id : "n" + role);
  $("canvas").focus();
}
function jump(row) { // to a row, where it is drawn
  const id = "n" + A.role[row];
  if (state.view === "unrolled" && state.level === "cells" && V.steps) { state.level = "steps"; show(); }
  else if (state.view === "layers") {
    let inner = id; // steps come before the layers that hold them
    for (const [outer, T] of Object.entries(V.inside)) if (T.boxes.some(b => b.id === inner)) state.open.add(inner = outer);
    show();
  }
  if (!world || !world.T || !world.T.boxes.some(b => b.id === id)) { state.view = "folded"; show(); }
  select(A.t[row] >= 0 ? idOf(row) : id);
}
function close() {
  if (!$("found").hidden) { $("search").value = ""; $("found").hidden = true; }
  else {
    if (playing) play();
    if (!state.node && !state.path && D.bucket && !state.all) { state.all = true; show(); }
    state.node = state.path = ""; refresh(false);
  }
  if ($("canvas")) $("canvas").focus();
}
