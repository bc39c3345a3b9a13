"""The pictures of docs/gallery.md: one function for each, whose docstring is the caption and whose body is shown."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.datasets.text import Vocabulary
from tinygrad_rnn.manual import linear_rnn
from tinygrad_rnn.models.characters import character_model

sys.path.append(str(Path(__file__).parent.parent / "examples"))
from network_types import TYPES

# --- networks -----------------------------------------------------------------------------------------


def weights() -> tuple[tg.Variable, ...]:
    """`Wax, Waa, ba, Wya, by` of a network with 3 inputs, 5 states and 3 outputs."""
    rng = np.random.default_rng(0)
    shapes = {"Wax": (3, 5), "Waa": (5, 5), "ba": (5,), "Wya": (5, 3), "by": (3,)}
    return tuple(tg.Variable(0.5 * rng.normal(size=s), name=name) for name, s in shapes.items())


def vanilla_rnn(steps: int) -> Any:
    """The loss of a vanilla RNN, written as a loop over the characters that it reads."""
    Wax, Waa, ba, Wya, by = weights()
    a, loss = tg.tensor(np.zeros((1, 5)), requires_grad=True, name="a0"), 0.0
    for t in range(steps):
        x = tg.tensor(np.eye(3)[[t % 3]], requires_grad=True, name="x")
        with tg.step(t):
            a = ops.tanh(x @ Wax + a @ Waa + ba)
            y_hat = ops.softmax(a @ Wya + by)
            loss = loss - ops.log(y_hat[:, (t + 1) % 3])
    return loss


def on_sequence(*stack: Any, features: int = 4, steps: int = 4) -> tuple[Any, Any]:
    """A model of layers, and a sequence for it."""
    model = tg.Sequential([tg.Input((None, features)), *stack])
    return model, np.zeros((1, steps, features), np.float32)


def one_step(cell: Any, *states: str) -> dict[str, Any]:
    """The new states of a cell after one step, by name."""
    x = tg.tensor(np.ones((1, 2), np.float32), requires_grad=True, name="x")
    before = [tg.tensor(np.ones((1, 3), np.float32), requires_grad=True, name=f"{s}_prev") for s in states]
    return dict(zip(states, cell(x, before)[1], strict=True))


# The linear RNN that counts ones: S_k = X_k·wx + S_{k−1}·wRec
X, COUNTS = linear_rnn.make_data()
POINTS = {f"({wx:g}, {wr:g})": (wx, wr) for wx, wr in [(2, 1), (1, 2), (1, -2), (1, 0), (1, 0.5), (1, -0.5)]}
LEVELS = np.logspace(-0.2, 8, 30) - 1  # contours of cost + 1


def cost(wx: float, wRec: float) -> Any:
    """Mean squared error of the count, at two weights."""
    return linear_rnn.cost(linear_rnn.forward_states(X, wx, wRec)[:, -1], COUNTS)


def counted(wx: float, wRec: float) -> Any:
    """The last state, recorded under `trace()`; step k makes S_k."""
    w, r = tg.Variable(np.float64(wx), name="wx"), tg.Variable(np.float64(wRec), name="wRec")
    with tg.trace():
        with tg.step(0):
            S = w * np.zeros(len(X))
        for k in range(X.shape[1]):
            with tg.step(k + 1):
                S = X[:, k] * w + S * r
    return S


def after_50_steps(w: float, b: float) -> float:
    """The loss of the recurrence h ← w·σ(h) + b."""
    h = 0.5
    for _ in range(50):
        h = w / (1 + math.exp(-h)) + b
    return (1 / (1 + math.exp(-h)) - 0.7) ** 2


def loss_of(S: Any) -> Any:
    """The mean squared error, from the last state."""
    return ops.square(S - COUNTS).sum() / len(X)


@functools.cache
def trained_on_hello() -> tuple[Any, Any]:
    """A character model after 60 updates on "hello", and its history."""
    tg.utils.set_random_seed(1)
    vocabulary = Vocabulary("hello")
    model = character_model(vocabulary, "lstm", units=8, embedding=4)
    model.compile(tg.optimizers.Adam(0.03), tg.losses.SparseCategoricalCrossentropy(from_logits=True))
    ids = vocabulary.encode("hello")[None]
    data = np.repeat(ids[:, :-1], 8, axis=0), np.repeat(ids[:, 1:], 8, axis=0)
    return model, model.fit(*data, epochs=30, batch_size=4, validation_split=0.25, verbose=0)


# --- drawings -----------------------------------------------------------------------------------------


def rnn_folded() -> Any:
    """A vanilla RNN, folded: one cell, and a dashed arrow from each step to the next. This is the left
    figure of the tutorials.
    """
    return tg.draw_graph(vanilla_rnn(steps=4), view="folded")


def rnn_unrolled() -> Any:
    """The same recording, unfolded: a column for each step, with the same weights in every one. The
    losses of the steps add up from left to right.
    """
    return tg.draw_graph(vanilla_rnn(steps=4), view="unrolled", steps=slice(None))


def rnn_cell() -> Any:
    """One cell with its dimensions, for one example: z = x·Wax + a·Waa + ba, a = tanh z, ŷ =
    softmax(a·Wya + by).
    """
    Wax, Waa, ba, Wya, by = weights()
    x = tg.tensor(np.ones((1, 3)), requires_grad=True, name="x⟨t⟩")
    a_prev = tg.tensor(np.zeros((1, 5)), requires_grad=True, name="a⟨t−1⟩")
    z = x @ Wax + a_prev @ Waa + ba
    a = ops.tanh(z)
    return tg.draw_graph({"ŷ⟨t⟩": ops.softmax(a @ Wya + by), "a⟨t⟩": a}, names={"z": z})


def bptt_gradients() -> Any:
    """Back-propagation inside `trace()`: arrows reversed, colours by the size of the gradients, which add up."""
    loss = vanilla_rnn(steps=3)
    with tg.trace():
        loss.backward(retain_graph=True)
    return tg.draw_graph(loss, view="unrolled", steps=slice(None), color_by="grad", show=("name", "grad"))


def network_type(name: str) -> Callable[[], Any]:
    """A function that draws one of the five types of networks."""

    def draw() -> Any:
        build, shapes, _ = TYPES[name]
        model, inputs = build(), [np.zeros((1, *shape[1:]), np.float32) for shape in shapes]
        return tg.draw_graph(model, inputs if len(inputs) > 1 else inputs[0], view="layers")

    draw.__name__ = f"type_{name.replace(' ', '_')}"
    draw.__doc__ = build_doc(TYPES[name][0])
    return draw


def build_doc(build: Any) -> str:
    """The sentence that says what kind of network it is."""
    return str(build.__doc__).splitlines()[0]


def deep_rnn() -> Any:
    """Three layers on top of one another: each hands its state to the next step, and up to the layer above."""
    W, U = ([tg.Variable(np.eye(4), name=f"{n}{k}") for k in (1, 2, 3)] for n in "WU")
    a = [tg.tensor(np.zeros((1, 4)), requires_grad=True, name=f"a{k}") for k in (1, 2, 3)]
    outputs = []
    for t in range(3):
        h = tg.tensor(np.ones((1, 4)), requires_grad=True, name="x")
        with tg.step(t):
            for k in range(3):
                a[k] = h = ops.tanh(h @ W[k] + a[k] @ U[k])
        outputs.append(h)
    return tg.draw_graph({f"y{t}": y for t, y in enumerate(outputs)}, view="unrolled", steps=slice(None))


def bidirectional_rnn() -> Any:
    """A bidirectional RNN, folded: one direction carries to t+1, the other to t−1, and ŷ reads both."""
    both = layers.Bidirectional(layers.SimpleRNN(5, return_sequences=True, name="rnn"), name="both")
    model, x = on_sequence(both, layers.Dense(3, activation="softmax", name="dense"))
    return tg.draw_graph(model, x, view="folded")


def lstm_cell() -> Any:
    """One step of an LSTM: four gates out of one product, the cell state c along the bottom."""
    return tg.draw_graph(one_step(layers.LSTMCell(3, name="lstm"), "h", "c"))


def gru_cell() -> Any:
    """One step of a GRU, with the reset gate before the product, as the tutorials have it."""
    return tg.draw_graph(one_step(layers.GRUCell(3, reset_after=False, name="gru"), "h"))


def lstm_folded() -> Any:
    """An LSTM with its read-out, as a model: folded over 12 steps."""
    model, x = on_sequence(layers.LSTM(16, name="lstm"), layers.Dense(1, name="dense"), features=1, steps=12)
    return tg.draw_graph(model, x, view="folded")


def lstm_unrolled() -> Any:
    """The same unrolled: the first and the last steps."""
    model, x = on_sequence(layers.LSTM(16, name="lstm"), layers.Dense(1, name="dense"), features=1, steps=12)
    return tg.draw_graph(model, x, view="unrolled")


# --- plots --------------------------------------------------------------------------------------------


def hello_logits() -> Any:
    """The first step of "hello": the network saw "h" and should say "e". The gradient pushes the score
    of "e" up and all others down; an arrow is one step of gradient descent with learning rate 1.
    """
    logits = tg.tensor(np.array([1.0, 2.2, -3.0, 4.1]), requires_grad=True)
    loss = ops.sparse_categorical_crossentropy(1, logits, from_logits=True)
    return push(list("helo"), logits.numpy(), -tg.grad(loss, logits).numpy())


def push(names: list[str], scores: Any, moves: Any) -> Any:
    """Bars of scores, with arrows for where a step of gradient descent moves them."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    ax.bar(names, scores, width=0.55, color="#c9d2de", edgecolor="#566274")
    for i, (score, move) in enumerate(zip(scores, moves, strict=True)):
        color = "#009e73" if move > 0 else "#d55e00"
        text = f"{score:.1f}\n{'▲ up' if move > 0 else '▼ down'} {abs(move):.4f}"
        if abs(move) > 0.1:
            ax.annotate(
                "",
                (i + 0.38, score + move),
                (i + 0.38, score),
                arrowprops={"color": color, "width": 2.5, "headwidth": 8, "headlength": 7},
            )
        below = score < 0
        ax.text(
            i,
            score + (-0.15 if below else 0.15),
            text,
            ha="center",
            va="top" if below else "bottom",
            fontsize=9,
            color=color,
        )
    ax.axhline(0, color="#566274", linewidth=0.8)
    ax.set(xlabel='next character; the target is "e"', ylabel="logit", ylim=(-4.4, 5.6))
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def hello_gates() -> Any:
    """Input and forget gate of an LSTM that has learned "hello", and its cell state, over the characters."""
    model, _ = trained_on_hello()
    return tg.plot_activations(model, ["lstm.i", "lstm.f", "lstm.c"], text="hell")


def hello_inputs() -> Any:
    """What the same model looks at: how much the output after each character depends on those before it."""
    model, _ = trained_on_hello()
    return tg.plot_input_gradients(model, text="hell")


def hello_history() -> Any:
    """Its training."""
    _, history = trained_on_hello()
    return tg.plot_history(history)


def cost_surface() -> Any:
    """The cost of the linear RNN that counts ones, over its two weights, and six points on it. What
    lies above 10⁸ is grey.
    """
    return tg.plot_cost_surface(cost, (-3, 3), (-3, 3), points=POINTS, levels=LEVELS)


def cost_surface_near() -> Any:
    """The part around the minimum at (1, 1)."""
    return tg.plot_cost_surface(cost, (0, 2), (0, 2), points=POINTS, levels=LEVELS)


def gradient_over_time() -> Any:
    """Σ ∂ξ/∂S_k over the 20 examples at the six points: a geometric sequence with the ratio wRec. It
    explodes for |wRec| > 1, vanishes for |wRec| < 1, and alternates for wRec < 0. The axis runs
    backwards, as the gradient does.
    """
    losses = {label: loss_of(counted(*point)) for label, point in POINTS.items()}
    return tg.plot_gradient_flow(losses, quantity="S", measure="sum", reverse=True)


def gradient_over_time_as_in_tutorial() -> Any:
    """The figure as the tutorial prints it. It sends the sum of the 20 output gradients to each of the
    20 examples and sums again, so that every value is 20 times the true one above; the growth is the
    same.
    """
    losses = {}
    for label, (wx, wRec) in POINTS.items():
        S = counted(wx, wRec)
        dS = linear_rnn.output_gradient(S.numpy(), COUNTS)
        losses[label] = (S * dS.sum()).sum()
    return tg.plot_gradient_flow(losses, quantity="S", measure="sum", reverse=True)


def rprop_path() -> Any:
    """500 steps of Rprop from (−1.5, 2) to (1.0014, 0.9997): only the signs of the gradients count, so
    the cliffs do not matter.
    """
    path = linear_rnn.rprop(X, COUNTS)
    return tg.plot_cost_surface(cost, (-2, 2.5), (-0.5, 2.5), path=path, levels=LEVELS)


def exploding_cliff() -> Any:
    """The cliff of Pascanu et al. (2013): the loss (σ(h₅₀) − 0.7)² of a recurrence h ← w·σ(h) + b over 50
    steps, from h₀ = 0.5. Where the map begins to have a second fixed point, the surface breaks off, and
    the gradient explodes.
    """
    names = ("$w$", "$b$")
    return tg.plot_cost_surface(after_50_steps, (2, 7), (-4, -0.5), n=80, scale="linear", labels=names)


SECTIONS: dict[str, list[Callable[[], Any]]] = {
    "Folded and unfolded": [rnn_folded, rnn_unrolled],
    "Inside the cell": [rnn_cell],
    "Back-propagation through time": [bptt_gradients],
    "Five types of networks": [network_type(name) for name in TYPES],
    "Deep and bidirectional": [deep_rnn, bidirectional_rnn],
    "LSTM and GRU": [lstm_cell, gru_cell, lstm_folded, lstm_unrolled],
    '"hello"': [hello_logits, hello_gates, hello_inputs, hello_history],
    "The cost surface of a linear RNN": [cost_surface, cost_surface_near],
    "Gradients over time: vanishing and exploding": [gradient_over_time, gradient_over_time_as_in_tutorial],
    "Rprop, and the cliff": [rprop_path, exploding_cliff],
}
