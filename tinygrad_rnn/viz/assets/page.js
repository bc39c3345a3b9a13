// Search, keys, saving, and the start of the page of inspect_graph.
function find() {
  const wanted = $("search").value.trim().toLowerCase(), found = $("found"), ranked = [[], []]; // what is called so first
  if (wanted) for (let r = 0; r < D.roles && ranked[0].length < 20; r++) {
    const words = ["name", "op", "layer", "symbol", "label", "source"].map(w => word(r, w).toLowerCase());
    if (words.slice(0, 4).includes(wanted)) ranked[0].push(r);
    else if (ranked[1].length < 20 && words.some(w => w.includes(wanted))) ranked[1].push(r);
  }
  const hits = ranked.flat().slice(0, 20), go = row => () => { jump(row); close(); };
  const items = hits.map(r => nearRow(r, state.t)).map(row => el("li", {}, button(describe(row), go(row), {dir: "auto"})));
  found.replaceChildren(...(wanted && !hits.length ? [el("li", {class: "soft"}, "nothing found")] : items));
  found.hidden = !wanted;
  if (wanted) announce(`${hits.length} found`);
}
function follow(down) { // to the first parent or child
  const row = selectedRow(), T = template();
  if (row < 0) {
    const me = T.boxes.findIndex(b => b.id === state.node), e = T.edges.find(e => !e.carried && (down ? e.from : e.to) === me);
    return select(T.boxes[me < 0 ? 0 : !e ? me : down ? e.to : e.from].id);
  }
  const drawn = new Set(T.boxes.map(b => b.id)), next = [...(down ? childrenOf(row) : parentsOf(row))], here = i => drawn.has("n" + A.role[i]);
  const to = next.find(i => here(i) && A.t[i] === A.t[row]) ?? next.find(here) ?? next[0];
  if (to !== undefined) jump(to);
}
function keys(e) {
  const by = n => () => setTime(overview() ? spanOf(within(bucketOf(state.t) + n, 0, bucketOf(D.steps - 1)))[0] : state.t + n);
  const acts = {ArrowLeft: by(-1), ArrowRight: by(1), ArrowUp: () => follow(false), ArrowDown: () => follow(true), Enter: open, " ": play, p: startPath};
  const letters = e.currentTarget.classList.contains("letters") && e.key !== "ArrowLeft" && e.key !== "ArrowRight";
  if (!acts[e.key] || e.ctrlKey || e.metaKey || e.altKey || letters) return;
  e.preventDefault(); acts[e.key]();
}
function counts() {
  const {view, t, step, path, node: selected} = state, size = query => document.querySelectorAll(query).length;
  const graph = {total: D.nodes, folded: D.roles, steps: D.steps, backward: D.backward};
  return {...graph, view, t, step, path, selected, open: [...state.open], shown: size("g.node"), svg: size("svg, svg *")};
}
function saveSvg() {
  const svg = document.querySelector("section:not([hidden]) svg.graph");
  if (!svg) return;
  const copy = svg.cloneNode(true), {width, height} = svg.getBoundingClientRect();
  const size = {viewBox: svg.getAttribute("viewBox") || `0 0 ${width} ${height}`, width, height, "data-theme": dark() ? "dark" : "light"};
  for (const [k, v] of Object.entries(size)) copy.setAttribute(k, v);
  copy.prepend($("arrows").cloneNode(true), el("svg:style", {}, document.querySelector("style").textContent + "svg{background:var(--page)}"));
  const file = new Blob([new XMLSerializer().serializeToString(copy)], {type: "image/svg+xml"});
  const anchor = el("a", {href: URL.createObjectURL(file), download: `${state.view}.svg`});
  anchor.click(); setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
}
const dark = () => getComputedStyle(document.documentElement).colorScheme === "dark";
async function begin() {
  await load();
  state.t = Math.max(D.steps - 1, 0);
  const tab = view => button(TITLES[view], () => setView(view), {role: "tab", id: "tab-" + view, "aria-controls": "view-" + view});
  $("tabs").append(...D.shown.map(tab));
  $("tabs").addEventListener("keydown", e => {
    const tabs = [...$("tabs").children], k = tabs.indexOf(document.activeElement);
    const to = {ArrowRight: k + 1, ArrowLeft: k - 1, Home: 0, End: tabs.length - 1}[e.key], tab = tabs[(to + tabs.length) % tabs.length];
    if (!tab) return;
    e.preventDefault(); tab.click(); tab.focus();
  });
  $("summary").textContent = D.note;
  document.body.classList.add(D.steps > 1 ? "recurrent" : "plain", D.backward ? "differentiated" : "untouched");
  D.broken.forEach((row, k) => row >= 0 && $("jumps").append(button(`Jump to the first non-finite ${k ? "gradient" : "value"}`, () => jump(row))));
  const clicks = {
    "step-first": () => step(0), "step-prev": () => step(state.step - 1), "step-next": () => step(state.step + 1),
    "step-last": () => step(D.backward), "step-play": play, save: saveSvg, path: startPath,
    "zoom-in": () => zoom(1.25), "zoom-out": () => zoom(1 / 1.25), all: () => { state.all = true; show(); refresh(); },
    theme: () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; },
    help: () => { $("keys").hidden = !$("keys").hidden; $("help").setAttribute("aria-expanded", String(!$("keys").hidden)); },
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
  const changes = {
    level: v => { state.level = v; state.zoom = 0; show(); }, colour: v => { state.color = v; }, what: v => { state.what = v; },
    series: v => { state.series = +v; state.unit = 0; }, unit: v => { state.unit = within(+v || 0, 0, D.series[state.series].units - 1); },
  };
  for (const [id, act] of Object.entries(changes)) $(id).addEventListener("change", e => { act(e.target.value); refresh(id === "level"); });
  $("time-slider").addEventListener("input", e => setTime(+e.target.value));
  $("time-slider").max = Math.max(D.steps - 1, 0);
  $("series").append(...D.series.map((s, k) => el("option", {value: k}, series(s.role))));
  if (A.influence) $("what").options[2].disabled = $("what").options[2].hidden = false;
  $("search").addEventListener("input", find);
  $("search").addEventListener("keydown", e => {
    const first = $("found").querySelector("button");
    if (first && e.key === "Enter") first.click();
    if (first && e.key === "ArrowDown") { e.preventDefault(); first.focus(); }
  });
  addEventListener("keydown", e => {
    if (e.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) { e.preventDefault(); $("search").focus(); }
    else if (e.key === "Escape") close();
  });
  addEventListener("hashchange", restore);
  let size = 0;
  addEventListener("resize", () => { clearTimeout(size); size = setTimeout(() => { show(); refresh(); }, 150); });
  restore(); stepper();
}
window.tg = {counts, setView, select, step, errors, accumulated, ready: begin()};
window.tg.ready.catch(e => { $("summary").textContent = `The page could not be read: ${e.message}`; });
