"""SimpleRNN, LSTM, GRU and bidirectional: by hand in the seed's form, and as layers with Keras's weights.

The two lay out the same numbers differently. The seed stacks `[h; x]` in columns, its LSTM has the gates
f, i, o, c̃, and in its GRU z takes the new state; Keras has rows, kernel and recurrent kernel apart, the gates
i, f, c̃, o, and z keeps the old state.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checks import Checks, options, picture, plot_losses, title
from exercises import entities, sentiment, text_generation

import tinygrad_rnn as tg
from tinygrad_rnn import layers, manual

I, H = 2, 3  # noqa: E741 - input size and hidden size, as in the seed
LSTM_H = [-0.02081683570047385, -0.00824974056525763, -0.0735678887226395]
LSTM_C = [-0.4142141069347686, -0.04281413181259774, -0.07508176807254417]
GRU_H = [0.2931832034476239, 0.0034418753173227346, -0.786323703501718]
RNN_H = [0.7748454271523468, 0.9834603965810674, -0.8702518672807065]


def draw(*shapes: tuple[int, int]) -> list[Any]:
    """Standard normal arrays from NumPy's legacy generator, seed 0, one after the other."""
    rng = np.random.RandomState(0)
    return [rng.randn(*shape) for shape in shapes]


def to_keras(W: Any, b: Any, blocks: Sequence[int], signs: Sequence[float] | None = None) -> list[Any]:
    """Stacked weights `W = [Wh, Wx]` as kernel, recurrent_kernel, bias, with the blocks in another order.

    A sign of −1 turns `sigmoid(z)` into `1 − sigmoid(z)`.
    """
    rows = np.concatenate([np.arange(H) + H * block for block in blocks])
    sign = np.repeat(np.ones(len(blocks)) if signs is None else signs, H)
    W, b = W[rows] * sign[:, np.newaxis], b[rows, 0] * sign
    return [W[:, H:].T, W[:, :H].T, b]


def run_cell(cell: Any, weights: list[Any], x: Any, states: list[Any]) -> list[Any]:
    """One step of a layer's cell on columns; the new states as vectors."""
    cell.build_at(cell.name, (None, I))
    cell.set_weights(weights)
    _, new = cell(x.T, [state.T for state in states])
    return [state.numpy()[0] for state in new]


def simple_rnn(check: Checks) -> None:
    """`h = tanh(Wx x + Wh h_prev + b)`."""
    Wx, Wh, x, h0 = draw((H, I), (H, H), (I, 1), (H, 1))
    b = np.zeros((H, 1))
    h, _ = manual.simple_rnn.rnn_cell(x, h0, Wx, Wh, b)
    check("SimpleRNN by hand", h[:, 0], RNN_H, rtol=1e-14)
    (h_layer,) = run_cell(layers.SimpleRNNCell(H, dtype="float64"), [Wx.T, Wh.T, b[:, 0]], x, [h0])
    check("SimpleRNNCell", h_layer, RNN_H, rtol=1e-14)


def lstm(check: Checks) -> None:
    """Gates f, i, o, c̃ in the seed; i, f, c̃, o in Keras."""
    W, b, x, h0, c0 = draw((4 * H, I + H), (4 * H, 1), (I, 1), (H, 1), (H, 1))
    h, c, _ = manual.lstm.lstm_cell(x, h0, c0, W, b)
    check("LSTM h by hand", h[:, 0], LSTM_H, rtol=1e-13)
    check("LSTM c by hand", c[:, 0], LSTM_C, rtol=1e-13)
    weights = to_keras(W, b, [1, 0, 3, 2])
    h_layer, c_layer = run_cell(layers.LSTMCell(H, dtype="float64"), weights, x, [h0, c0])
    check("LSTMCell h", h_layer, LSTM_H, rtol=1e-13)
    check("LSTMCell c", c_layer, LSTM_C, rtol=1e-13)


def gru(check: Checks) -> None:
    """`h = (1 − z) h_prev + z h̃` in the seed, `z h_prev + (1 − z) h̃` in Keras; r before the product."""
    W, b, x, h0 = draw((3 * H, I + H), (3 * H, 1), (I, 1), (H, 1))
    h, _ = manual.gru.gru_cell(x, h0, W, b)
    check("GRU h by hand", h[:, 0], GRU_H, rtol=1e-13)
    cell = layers.GRUCell(H, reset_after=False, dtype="float64")
    (h_layer,) = run_cell(cell, to_keras(W, b, [0, 1, 2], signs=[-1, 1, 1]), x, [h0])
    check("GRUCell h", h_layer, GRU_H, rtol=1e-13)


def bidirectional(check: Checks) -> None:
    """One recurrence from each end; their outputs are concatenated, or added."""
    rng = np.random.default_rng(4)
    shapes = {"Wax": (H, I), "Waa": (H, H), "ba": (H, 1)}
    params = {side: {k: rng.normal(size=s) for k, s in shapes.items()} for side in ("forward", "backward")}
    X = rng.normal(size=(I, 2, 5))  # (I, m, T)
    weights = [w for p in params.values() for w in (p["Wax"].T, p["Waa"].T, p["ba"][:, 0])]
    for merge, width in (("concat", 2 * H), ("sum", H)):
        A, _ = manual.bidirectional.merge_forward(X, params, merge=merge)
        recurrent = layers.SimpleRNN(H, return_sequences=True, dtype="float64")
        layer = layers.Bidirectional(recurrent, merge_mode=merge, dtype="float64")
        layer.build_at(layer.name, (None, None, I))
        layer.set_weights(weights)
        y = layer(np.moveaxis(X, 0, -1)).numpy()
        check(f"{merge}: (m, T, units)", y.shape, (2, 5, width))
        check.agree(f"{merge}: layer and hand", y, np.moveaxis(A, 0, -1), rtol=1e-13)
    for kind in (layers.LSTM, layers.GRU):
        y = layers.Bidirectional(kind(H, return_sequences=True))(np.moveaxis(X, 0, -1))
        check(f"Bidirectional {kind.__name__}", y.shape, (2, 5, 2 * H))


def sizes(check: Checks) -> None:
    """The seed's table: an LSTM has three gates and a memory, a GRU two gates, so fewer parameters."""
    units, features = 128, 64
    print("  cell        parameters  blocks  states")
    counts = []
    for kind, options_of, blocks, states in (
        (layers.SimpleRNN, {}, 1, 1),
        (layers.GRU, {"reset_after": False}, 3, 1),
        (layers.LSTM, {}, 4, 2),
    ):
        layer = kind(units, **options_of)
        layer.build_at(layer.name, (None, None, features))
        counts.append(layer.count_params())
        print(f"  {kind.__name__:10}{counts[-1]:12,}{blocks:8}{states:8}")
    one = units * (features + units + 1)  # the parameters of one gate
    check("parameters of SimpleRNN, GRU, LSTM", counts, [one, 3 * one, 4 * one])


def training(check: Checks) -> dict[str, list[float]]:
    """Exercise 4: the three cells on the same task, which asks for the first of several inputs."""
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], (64, 12, 1)).astype(np.float32)
    y = (X[:, 0, 0] > 0).astype(np.float32)[:, np.newaxis]
    found: dict[str, list[float]] = {}
    for kind in (layers.SimpleRNN, layers.GRU, layers.LSTM):
        tg.utils.set_random_seed(1)
        model = tg.Sequential([tg.Input((None, 1)), kind(16), layers.Dense(1)])
        model.compile(tg.optimizers.Adam(0.02), loss=tg.losses.BinaryCrossentropy(from_logits=True))
        losses = model.fit(X, y, batch_size=64, epochs=60, verbose=0).history["loss"]
        print(f"  {kind.__name__:10} loss {losses[0]:.3f} -> {losses[-1]:.5f}")
        check(f"{kind.__name__} remembers the first of 12 inputs", losses[-1] < 0.1, True)
        found[kind.__name__] = losses
    return found


def plot(folder: Path, losses: dict[str, list[float]]) -> None:
    """The cells, folded; the bidirectional layer, unrolled; and the losses of the three cells."""
    X = np.random.default_rng(0).normal(size=(1, 4, I)).astype(np.float32)
    for layer in (layers.SimpleRNN(H), layers.LSTM(H), layers.GRU(H, reset_after=False)):
        picture(folder, f"seed_004_{type(layer).__name__}", layer, X, view="folded")
    both = layers.Bidirectional(layers.SimpleRNN(H, return_sequences=True))
    picture(folder, "seed_004_Bidirectional", both, X, view="unrolled")
    plot_losses(folder, "seed_004_loss", losses)


def main(argv: Sequence[str] | None = None) -> Checks:
    """Run the story; returns the checks."""
    arguments, check = options(argv, __doc__), Checks()
    for heading, part in (
        ("1. SimpleRNN", simple_rnn),
        ("2. LSTM", lstm),
        ("3. GRU", gru),
        ("4. Bidirectional: by concatenation and by sum", bidirectional),
        ("5. GRU against LSTM", sizes),
    ):
        title(heading)
        part(check)
    for number, exercise in enumerate((text_generation, sentiment, entities), 1):
        title(f"Exercise {number}: {exercise.__name__.replace('_', ' ')}")
        exercise(check)
    title("Exercise 4: the three cells on one task")
    losses = training(check)
    if arguments.plot:
        plot(arguments.plot, losses)
    check.finish()
    return check


if __name__ == "__main__":
    sys.exit(1 if main().failed else 0)
