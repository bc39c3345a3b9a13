"""Only the last output is wanted: what is a state comes with the last states, and no output is kept for all steps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from bptt.steps import H, N, equal, inputs, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived

MASK = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]])


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of earlier runs."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())


def texts() -> list[str]:
    """The sources that were made."""
    return [plan.built.text for plan in derived._plans.values() if not isinstance(plan, str)]


def made(*outputs: str) -> Any:
    """A step of two states, h and c, that gives some of h, c, a read-out y and the state h before it."""
    w, v = weight(), weight(seed=1)

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, c = states
        c = ops.sigmoid(x @ w) * c + ops.tanh(h @ v)
        new = c * ops.sigmoid(h)
        found = {"h": new, "c": c, "y": new @ w, "before": h}
        picked = tuple(found[name] for name in outputs)
        return picked if len(picked) > 1 else picked[0], [new, c]

    return step, [w, v]


def run(outputs: tuple[str, ...], derive: bool, steps: int = 5, **options: Any) -> list[Any]:
    """Outputs, last states, first and second derivatives, of three calls."""
    step, weights = made(*outputs)
    found: list[Any] = []
    for k in range(3):
        x = tg.tensor(inputs(k, steps), requires_grad=True)
        states = [tg.tensor(np.full((N, H), 0.1 * j), requires_grad=True) for j in (1, 2)]
        y, last = tg.scan(step, x, states, derive=derive, return_sequences=False, **options)
        several = y if isinstance(y, tuple) else (y,)
        end = sum(((j + 1) * o * o).sum() for j, o in enumerate(several)) + (last[1] * last[0]).sum()
        leaves = [x, *states, *weights]
        first = tg.grad(end, leaves, create_graph=True)
        second = tg.grad(sum((g * g).sum() for g in first), leaves)
        found += [np.array(t) for t in (*several, *last, *first, *second)]
    return found


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"mask": MASK}, {"checkpoint": "sqrt"}])
@pytest.mark.parametrize(
    "outputs", [("h",), ("c",), ("y",), ("before",), ("c", "h"), ("y", "c"), ("h", "h", "y")]
)
def test_it_agrees_with_the_recorded_steps(outputs: tuple[str, ...], options: dict[str, Any]) -> None:
    plain = {k: v for k, v in options.items() if k != "checkpoint"}
    equal(run(outputs, True, **options), run(outputs, False, **plain))


@pytest.mark.parametrize("outputs", [("h",), ("y",), ("h", "y")])
def test_one_step(outputs: tuple[str, ...]) -> None:
    equal(run(outputs, True, 1), run(outputs, False, 1))


def test_no_output_is_kept_for_all_steps() -> None:
    run(("c", "h"), True)
    assert texts() and not any("Y" in text for text in texts())
    run(("y", "h"), True)
    assert sum("dY," in text for text in texts()) == 1  # that of y alone


def test_the_same_ops_with_another_output() -> None:
    """One plan serves both steps."""
    equal(run(("h",), True), run(("h",), False))
    count = len(texts())
    equal(run(("c",), True), run(("c",), False))
    assert len(texts()) == count


@pytest.mark.parametrize("layer", ["SimpleRNN", "LSTM", "GRU"])
def test_layers(layer: str) -> None:
    """A model without sequences at its end: neither `fit` nor `predict` keeps outputs, and both give the numbers."""
    x, y = inputs().astype("float32"), np.ones((N, 1), "float32")
    found = []
    for eager in (False, True):
        tg.utils.set_random_seed(1)
        model = tg.Sequential([getattr(tg.layers, layer)(4), tg.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=eager)
        losses = [model.train_on_batch(x, y) for _ in range(5)]
        found.append([np.float32(losses), model.predict(x, verbose=0), *model.get_weights()])
    equal(*found, rtol=1e-5)
    assert len(texts()) == 2 and not any("Y" in text for text in texts())


def test_earlier_results_stay() -> None:
    layer = tg.layers.LSTM(4, return_state=True)
    with tg.derived():
        before = layer(inputs())
        copies = [np.array(t) for t in before]
        for k in range(3):
            layer(inputs(k + 3))
    equal(before, copies, 0)
