"""Size and speed of the page of `inspect_graph`: 50,000 and 200,000 recorded nodes of an LSTM, in Chromium.

    python benchmarks/page.py [STEPS ...]

Needs the package playwright and Chromium on PATH; without them only writing is measured.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import Variable, ops

ACTIONS = {
    "unrolled": "tg.setView('unrolled')",
    "to the last step": "tg.select('n8@t=' + (tg.counts().steps - 1))",
    "expand": "choose('level', 'steps')",
    "collapse": "choose('level', 'cells')",
    "time": "tg.setView('time')",
    "folded": "tg.setView('folded')",
    "end of the backward pass": "tg.step(tg.counts().backward)",
}
TIMED = """async action => {
    const choose = (id, value) => {
        const list = document.getElementById(id);
        list.value = value;
        list.dispatchEvent(new Event("change"));
    };
    const start = performance.now();
    ACTION;
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - start;
}"""


def lstm(steps: int, units: int = 8) -> Any:
    """The loss of an LSTM written by hand, after its backward pass: 14 nodes per step."""
    rng = np.random.default_rng(0)
    shapes = {"W": (4, 4 * units), "U": (units, 4 * units), "b": (4 * units,)}
    w, u, b = (Variable(rng.normal(0, 0.5, s).astype("f"), name=n) for n, s in shapes.items())
    xs = rng.normal(size=(steps, 2, 4)).astype("f")
    with tg.trace():
        h = c = tg.tensor(np.zeros((2, units), "f"))
        for x in xs:
            i, f, g, o = ops.split(x @ w + h @ u + b, 4, axis=-1)
            c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
            h = ops.sigmoid(o) * ops.tanh(c)
        loss = (h * h).sum()
        loss.backward(retain_graph=True)
    return loss


def browse(file: Path) -> None:
    """Open a page and time what a reader does."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        print("  no browser: only writing was measured")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        start = time.perf_counter()
        page.goto(file.as_uri())
        page.evaluate("tg.ready")
        print(f"  ready            {time.perf_counter() - start:8.2f} s")
        most = 0
        for name, action in ACTIONS.items():
            took = page.evaluate(TIMED.replace("ACTION", action))
            most = max(most, page.evaluate("tg.counts().svg"))
            print(f"  {name:<24} {took:6.0f} ms")
        print(f"  SVG elements, at most {most}")


def main() -> None:
    """Measure each number of steps."""
    for steps in [int(a) for a in sys.argv[1:]] or [3_570, 14_280]:
        loss = lstm(steps)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            report = tg.inspect_graph(loss, Path(folder) / "page.html")
            took = time.perf_counter() - start
            print(
                f"{len(tg.graph(loss))} nodes: written in {took:.2f} s, {report.nbytes / 1e6:.1f} MB ({report.note})"
            )
            browse(report.path)


if __name__ == "__main__":
    main()
