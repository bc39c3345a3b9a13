"""What the first divergence says, and what it does not: unseen inputs, no source, steps that are not there."""

from __future__ import annotations

import inspect
import linecache
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import Variable, ops
from tinygrad_rnn.compare import compare_three, numeric_gradients
from tinygrad_rnn.viz.sites import assigned

STEPS = 5


def by_hand(w: Any, b: Any, x: Any, rec: Any, factor: float = 1.0) -> None:
    """The gradients of `Loss`, of which `dz` may be wrong by a factor."""
    h = [np.zeros(3)]
    for t in range(STEPS):
        h.append(np.tanh(w @ h[-1] + x[t] + 2 * b))
    dh_next, db2 = np.zeros(3), np.zeros(3)
    for t in reversed(range(STEPS)):
        dh = 2 * h[t + 1] + dh_next
        dz = factor * (1 - h[t + 1] ** 2) * dh
        db2 += dz
        dh_next = w.T @ dz
        rec(t, dh=dh, dz=dz, db2=db2)


class Loss:
    """A recurrence that reads `b2`, a value made before the loop."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.W = Variable(rng.standard_normal((3, 3)) * 0.6, name="W")
        self.b, self.x = Variable(rng.standard_normal(3), name="b"), rng.standard_normal((STEPS, 3))

    def __call__(self) -> Any:
        h, total = np.zeros(3), 0.0
        b2 = 2 * self.b
        for t in range(STEPS):
            z = self.W @ h + self.x[t] + b2
            h = ops.tanh(z)
            total = total + (h * h).sum()
        return total

    def report(self, keep: Any, factor: float = 1.0) -> Any:
        rec = tg.ManualRecorder()

        def record(t: int, **q: Any) -> None:
            rec(t, **{name: value for name, value in q.items() if name in keep})

        by_hand(self.W.numpy(), self.b.numpy(), self.x, record, factor)
        return tg.compare_gradients(rec, [self.W, self.b], loss_fn=self, inputs=[self.x])


def test_a_value_made_before_the_loop_is_summed_over_the_steps() -> None:
    report = Loss().report({"dz", "db2"})
    assert report and len(report.rows) == 2 * STEPS, str(report)
    assert not Loss().report({"db2"}, factor=1.5)


@pytest.mark.parametrize("said", ["", "the sum over time is missing", "constant factor 3"])
def test_a_parameter_that_is_transposed_before_the_loop(said: str) -> None:
    rng = np.random.default_rng(0)
    W, x = Variable(rng.standard_normal((3, 3)) * 0.6, name="W"), rng.standard_normal((STEPS, 3))

    def loss() -> Any:
        h, total = np.zeros(3), 0.0
        transposed = 2 * W.T
        for t in range(STEPS):
            h = ops.tanh(h @ transposed + x[t])
            total = total + (h * h).sum()
        return total

    def cell(t: int, upstream: Any, cache: Any) -> dict[str, Any]:
        dz = (1 - cache["h"] ** 2) * upstream["dh"]
        return {"dW": 2 * np.outer(dz, cache["h_prev"]) * (3 if "factor" in said else 1)}

    w, h = 2 * W.numpy(), [np.zeros(3)]
    for t in range(STEPS):
        h.append(np.tanh(w @ h[-1] + x[t]))
    rec, dh_next, dW = tg.ManualRecorder(), np.zeros(3), np.zeros((3, 3))
    for t in reversed(range(STEPS)):
        dz = (1 - h[t + 1] ** 2) * (2 * h[t + 1] + dh_next)
        own = 2 * np.outer(dz, h[t]) * (3 if "factor" in said else 1)
        dW = own if "sum" in said else dW + own
        dh_next = w.T @ dz
        rec(t, dW=dW)
    report = tg.compare_gradients(rec, [W], loss_fn=loss, inputs=[x])
    assert bool(report) is (not said) and said in " ".join(str(report).split()), str(report)
    if "sum" not in said:
        alone = tg.compare_gradients(None, [W], loss_fn=loss, inputs=[x], cell_backward=cell)
        assert bool(alone) is (not said) and said in str(alone), str(alone)


@pytest.mark.parametrize("seen", [True, False])
def test_what_was_not_compared_is_named(seen: bool) -> None:
    loss, rec = Loss(), tg.ManualRecorder()
    w, h = loss.W.numpy(), [np.zeros(3)]
    for t in range(STEPS):
        h.append(np.tanh(w @ h[-1] + loss.x[t] + 2 * loss.b.numpy()))
    dh_next = np.zeros(3)
    for t in reversed(range(STEPS)):
        dh = 2 * h[t + 1] + dh_next + 0.1
        dz = (1 - h[t + 1] ** 2) * dh
        dh_next = w.T @ dz
        if seen:
            rec(t, dh=dh)
        rec(t, dz=dz, dh_prev=dh_next)
    first = tg.compare_gradients(rec, [loss.W, loss.b], loss_fn=loss, inputs=[loss.x]).first_divergence
    assert first is not None and first.quantity == ("dh" if seen else "dz")
    if seen:  # `dh_next` is recorded, as dh_prev; before the first pass of the loop it is zero
        assert not first.unseen and "first seen in your line" in str(first)
    else:
        assert [text.split()[0] for text in first.unseen] == ["dh"], str(first)
        assert "perhaps the mistake is there: dh (line" in str(first) and "first seen in your line" in str(
            first
        )


@pytest.mark.parametrize("saved", [True, False])
def test_code_from_a_prompt_has_no_lines_but_names(tmp_path: Path, saved: bool) -> None:
    page = ["import numpy as np", "from typing import Any", "import tinygrad_rnn as tg"]
    page += ["from tinygrad_rnn import Variable, ops", "STEPS = 5"]
    page += [inspect.getsource(by_hand), inspect.getsource(Loss)]
    page += ['report = Loss().report({"dh", "dz", "db2"}, factor=2.0)']
    page += [
        "print(report.first_divergence)",
        "assert not any(row.verdict == 'missing' for row in report.rows)",
    ]
    text = "\n".join(page)
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    given = [str(path)] if saved else ["-"]
    done = subprocess.run([sys.executable, *given], input=text, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("t=4, dz, ") and not done.stderr, done.stdout + done.stderr
    assert "constant factor 2" in done.stdout
    if saved:
        assert "your line mine.py:" in done.stdout
    else:
        assert "your line" not in done.stdout
        assert "at <stdin>:" in done.stdout and "not available: save it as a file" in done.stdout


@pytest.mark.parametrize(
    "statement", ["z = f(x)", "a, b = f(x)", "a = b = f(x)", "z = y = [f(x)]", "g(f(x))", "f(x)"]
)
@pytest.mark.parametrize("place", ["global", "local", "closure"])
def test_names_without_a_source_are_those_with_it(statement: str, place: str, monkeypatch: Any) -> None:
    inner = f"\n  def inner(): return {', '.join('abyz')}" if place == "closure" else ""
    code = statement if place == "global" else f"def run():\n  {statement}{inner}\nrun()"
    found: list[tuple[str, ...]] = []

    def f(x: Any) -> Any:
        frame = sys._getframe(1)
        found.append(assigned(frame.f_code, frame.f_lasti))
        return x, x

    lines = [line + "\n" for line in code.splitlines()]
    monkeypatch.setitem(linecache.cache, "<with>", (len(code), None, lines, "<with>"))
    for filename in ("<with>", "<without>"):
        exec(compile(code, filename, "exec"), dict.fromkeys("abyz") | {"f": f, "g": print, "x": 0})
    assert len(found) == 2 and found[0] == found[1]


@pytest.mark.parametrize(("t", "said"), [(7, "one step, t=0"), (-1, "one step, t=0"), (0, "")])
def test_a_step_that_a_loss_without_a_loop_does_not_have(t: int, said: str) -> None:
    x, W = np.ones((5, 3)), Variable(np.full((3, 4), 0.2), name="W")
    y, rec = np.tanh(x @ W.numpy()), tg.ManualRecorder()
    rec(t, dW=x.T @ (2 * y * (1 - y**2)))
    report = tg.compare_gradients(rec, [W], loss_fn=lambda: (ops.tanh(x @ W) ** 2).sum(), inputs=[x])
    assert bool(report) is (t == 0), str(report)
    if said:
        assert f"dW t={t}: recorded at t={t}, but the loss has {said}" in str(report)
        assert str(report.first_divergence).startswith(f"t={t}, dW; recorded at")
        assert report.rows[0].shape == (3, 4) and report.rows[0].verdict == "missing"


def test_a_step_that_a_loop_does_not_have() -> None:
    loss, rec = Loss(), tg.ManualRecorder()
    by_hand(loss.W.numpy(), loss.b.numpy(), loss.x, lambda t, **q: rec(t + 2, dz=q["dz"]))
    report = tg.compare_gradients(rec, [loss.W, loss.b], loss_fn=loss, inputs=[loss.x])
    assert not report and "dz t=6: recorded at t=6, but the loss has steps 0 to 4" in str(report), str(report)
    rec = tg.ManualRecorder()
    by_hand(loss.W.numpy(), loss.b.numpy(), loss.x, lambda t, **q: rec(t + 1, dz=q["dz"]))
    assert tg.compare_gradients(rec, [loss.W, loss.b], loss_fn=loss, inputs=[loss.x])  # counted from 1


@pytest.mark.parametrize("recorded", [True, False])
def test_beside_other_columns_steps_explain_what_totals_cannot(recorded: bool) -> None:
    loss, rec = Loss(), tg.ManualRecorder()
    params, sums = [loss.W, loss.b], []

    def record(t: int, **q: Any) -> None:
        rec(t, dh=q["dh"], dz=q["dz"])
        sums.append(2 * q["db2"])

    by_hand(loss.W.numpy(), loss.b.numpy(), loss.x, record, factor=2.0)
    rec(None, db=sums[-1])
    numbers = numeric_gradients(loss, params)
    with tg.derived():
        derived = {v.name: g.numpy() for v, g in zip(params, tg.grad(loss(), params), strict=True)}
    loss().backward()
    manual = rec if recorded else {"db": sums[-1]}
    report = compare_three(manual, params, numbers, derived=derived, loss_fn=loss, inputs=[loss.x])
    (total,) = [row for row in report.rows if row.parameter == "b"]
    assert total.verdict == "differs" and total.numeric[1] < 1e-4 and total.derived[1] < 1e-10, str(report)
    if recorded:
        assert "t=4, dz, " in str(report.first_divergence) and "factor 2" in str(report.first_divergence)
        assert all(row.numeric is row.derived is None for row in report.rows if row.t is not None)
    else:
        assert total.diagnosis == "unexplained by the total alone"
        assert any("ManualRecorder" in note for note in report.notes), str(report)
