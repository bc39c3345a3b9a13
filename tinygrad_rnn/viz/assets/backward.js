// The backward pass, step by step, in the order in which it was recorded.
let sums = new Map(), done = 0, playing = 0;
const sent = (row, each) => { // every gradient that a row sends back: the parent, its norm, the number of the edge
  for (let k = start[row]; k < start[row + 1]; k++) if (A.parents[k] >= 0 && !Number.isNaN(A.flow[k])) each(A.parents[k], A.flow[k], k);
};
function contribute(n) { // what step n adds to the gradients of leaves
  sent(stepRows[n], (parent, flow, k) => {
    if (A.fanin[parent] || word(A.role[parent], "kind") === "op") return;
    const role = A.role[parent], size = count(shapes(role)[0]), part = A.part && size <= 256 ? exact("part", k, size) : null;
    const sum = sums.get(parent) || {n: 0, total: null}, round = word(role, "dtype") === "float32" ? Math.fround : v => v;
    if (part && sum.n === 0) sum.total = Float64Array.from(part);
    else if (part && sum.total) part.forEach((v, i) => { sum.total[i] = round(sum.total[i] + v); });
    else sum.total = null;
    sum.n++;
    sums.set(parent, sum);
  });
}
function walk(n) {
  n = within(Math.round(n) || 0, 0, D.backward);
  if (n < done) { sums = new Map(); done = 0; }
  while (done < n) contribute(++done);
  state.step = n;
}
function step(n) {
  walk(n);
  const row = stepRows[state.step];
  if (state.step) {
    if (A.t[row] >= 0) goTo(A.t[row]);
    if (state.view === "time" || state.view === "text" || overview()) { state.view = "folded"; show(); }
    state.node = "n" + A.role[row];
  }
  refresh(); stepper();
  if (state.step) announce(`Step ${state.step} of ${D.backward}: ${describe(row)}`);
}
function stepper() {
  $("stepper").hidden = !D.backward;
  if (!D.backward) return;
  $("step-count").textContent = `${spaced(state.step)} of ${spaced(D.backward)}`;
  const ends = {"step-first": 0, "step-prev": 0, "step-next": D.backward, "step-last": D.backward};
  for (const [id, end] of Object.entries(ends)) $(id).setAttribute("aria-disabled", String(state.step === end));
  const words = $("step-text"), row = stepRows[state.step];
  $("step-intro").hidden = state.step > 0;
  words.replaceChildren();
  if (state.step) {
    const role = A.role[row], doc = D.docs[word(role, "op")] || ["", ""], items = [], leaf = word(role, "kind") !== "op";
    sent(row, (parent, flow) => {
      const sum = sums.get(parent), of = spaced(A.expected[parent]);
      const which = sum ? ` (contribution ${spaced(sum.n)} of ${of})` : A.expected[parent] > 1 ? ` (one of ${of})` : "";
      items.push(["→ ", link(parent), ` adds ${short(flow)}`, soft(which)]);
    });
    const rest = leaf ? [": the end of the way."] : [". It sends back", doc[1] && el("code", {}, " " + doc[1])];
    const size = el("strong", {}, short(norm("grad", row)));
    words.append(el("p", {}, el("bdi", {}, describe(row)), " has received its whole gradient, of norm ", size, ...rest), list(items));
  }
  const leaves = [...A.expected.keys()].filter(row => A.expected[row] && word(A.role[row], "kind") !== "op").slice(0, 60);
  const rows = leaves.map(parent => {
    const of = A.expected[parent], sum = sums.get(parent);
    const size = sum && sum.total ? Math.hypot(...sum.total) : sum && sum.n === of ? norm("grad", parent) : NaN;
    const cells = [`${spaced(sum ? sum.n : 0)} of ${spaced(of)}`, !sum ? "0" : Number.isNaN(size) ? "…" : short(size)];
    return line(link(parent), cells, {"data-leaf": word(A.role[parent], "name"), "data-row": parent});
  });
  const chosen = sums.get(selectedRow()), table = tableOf(["Leaf", "Contributions", "‖Sum‖"], rows, {id: "sums-table"});
  $("sums").replaceChildren(table, chosen && chosen.total ? grid(chosen.total, shapes(A.role[selectedRow()])[0]) : "");
}
function flows() { // the edges along which the current step sends gradients back
  if (!world || !world.T) return;
  for (const e of world.svg.querySelectorAll("g.edge.flow")) e.classList.remove("flow");
  const row = stepRows[state.step], t = A.t[row];
  if (state.step) for (const e of world.T.edges) {
    const roles = world.T.boxes[e.to].roles;
    if (roles.length !== 1 || roles[0] !== A.role[row]) continue;
    const inside = world.tiles && e.tile[0] && e.tile[1], at = inside ? (world.tiles.get(t - e.delay) || [])[1] : world.fixed || world.g;
    const own = world.tiles && !inside && t >= 0 && e.tile[1] ? `[data-at="${t}"]` : "";
    if (at) for (const g of at.querySelectorAll(`g.edge[data-from="${e.from}"][data-to="${e.to}"]${own}`)) g.classList.add("flow");
  }
}
function accumulated(id) { // the sum so far of a leaf, by id or name
  const found = [...sums].find(([parent]) => "n" + A.role[parent] === id || word(A.role[parent], "name") === id);
  return found && found[1].total ? [...found[1].total] : null;
}
function play() {
  if (playing) { clearInterval(playing); playing = 0; }
  else if (D.backward) {
    if (state.step === D.backward) step(0);
    const on = () => { if (state.step >= D.backward) play(); else step(state.step + 1); };
    playing = setInterval(on, matchMedia("(prefers-reduced-motion: reduce)").matches ? 1500 : 550);
  }
  $("step-play").textContent = playing ? "❙❙" : "▶▶";
  $("step-play").setAttribute("aria-label", playing ? "Pause" : "Play");
}
