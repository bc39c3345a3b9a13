"""The basic RNN cell: every derivative by hand and out of the graph, with the table of dimensions.

Then the bidirectional RNN, the deep RNN with three layers, and the types of networks of the course notes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checks import Checks, options, picture, pyplot, title
from network_types import CLASSES, FEATURES, TYPES, OneToMany, output_of

import tinygrad_rnn as tg
from tinygrad_rnn import layers, manual, ops

N_X, N_A, N_Y, M, T = 3, 5, 2, 4, 6


def cell(check: Checks, rng: np.random.Generator, m: int) -> None:
    """`a = tanh(Wax x + Waa a_prev + ba)`: its five derivatives, given da = dJ/da, for m examples."""
    shapes = {"Wax": (N_A, N_X), "Waa": (N_A, N_A), "ba": (N_A, 1), "x": (N_X, m), "a_prev": (N_A, m)}
    v = {name: tg.Variable(rng.normal(size=shape), name=name) for name, shape in shapes.items()}
    values = {name: variable.numpy() for name, variable in v.items()}
    da = rng.normal(size=(N_A, m))

    a_by_hand, cache = manual.simple_rnn.cell_forward(values["x"], values["a_prev"], values)
    by_hand = manual.simple_rnn.cell_backward(da, cache)

    def loss() -> Any:
        z = v["Wax"] @ v["x"] + v["Waa"] @ v["a_prev"] + v["ba"]
        a = ops.tanh(z)
        return (da * a).sum()

    loss().backward()
    check.agree(f"a, m = {m}", (da * a_by_hand).sum(), loss().item(), rtol=1e-13)
    products = {
        "Wax": f"({N_A}, {m}) ({m}, {N_X})",
        "Waa": f"({N_A}, {m}) ({m}, {N_A})",
        "ba": f"sum of ({N_A}, {m}) over the batch",
        "x": f"({N_X}, {N_A}) ({N_A}, {m})",
        "a_prev": f"({N_A}, {N_A}) ({N_A}, {m})",
    }
    print(f"  {'derivative':12}{'shape':10}{'product':36}{'hand - graph'}")
    for name, shape in shapes.items():
        hand, graph = by_hand["d" + name], v[name].grad
        assert graph is not None
        print(f"  {'d' + name:12}{hand.shape!s:10}{products[name]:36}{abs(hand - graph).max():.1e}")
        check(f"shape of d{name}, m = {m}", graph.shape, shape)
        check.agree(f"d{name}, m = {m}", graph, hand, rtol=1e-13)
    rows = tg.compare_gradients(by_hand, v, loss_fn=loss).rows
    check(f"verdicts by hand, m = {m}", [row.verdict for row in rows if not row.extra], ["rounding"] * 5)
    rows = tg.check_gradients(loss, v).rows
    check(f"verdicts against numbers, m = {m}", [row.verdict for row in rows], ["ok"] * 5)


def recurrence(rng: np.random.Generator, n_in: int) -> dict[str, Any]:
    """Random weights of one tanh recurrence, in the notes' notation."""
    shapes = {"Wax": (N_A, n_in), "Waa": (N_A, N_A), "ba": (N_A, 1)}
    return {name: rng.normal(size=shape) / 2 for name, shape in shapes.items()}


def keras_weights(p: dict[str, Any]) -> list[Any]:
    """The same weights as layers have them: examples are rows there."""
    return [p["Wax"].T, p["Waa"].T, p["ba"][:, 0]]


def keras_gradients(g: dict[str, Any]) -> list[Any]:
    """Gradients by hand in the shapes of the layers' weights."""
    return [g["dWax"].T, g["dWaa"].T, g["dba"][:, 0]]


def network(
    check: Checks, name: str, stack: list[Any], weights: list[Any], gradients: list[Any], data: list[Any]
) -> None:
    """Compare a model of the Keras-style API with a hand derivation: predictions, and all gradients.

    `data` is X, Y and the predictions by hand.
    """
    X, Y, Y_hat = data
    readout = layers.Dense(N_Y, activation="softmax", dtype="float64", name="readout")
    model = tg.Sequential([tg.Input((None, N_X), dtype="float64"), *stack, readout], dtype="float64")
    model.set_weights(weights)
    y_hat = model(np.moveaxis(X, 0, -1))  # (n_x, m, T) -> (m, T, n_x)
    check.agree(f"{name}: predictions", y_hat.numpy(), np.moveaxis(Y_hat, 0, -1), rtol=1e-13)
    loss = -(np.moveaxis(Y, 0, -1) * ops.log(y_hat)).sum()
    found = tg.grad(loss, model.trainable_weights)
    for variable, got, want in zip(model.trainable_weights, found, gradients, strict=True):
        check.agree(f"{name}: d {variable.path}", got.numpy(), want, rtol=1e-12)


def bidirectional(check: Checks, rng: np.random.Generator, X: Any, Y: Any) -> None:
    """`ŷ = softmax(Wya [a→, a←] + by)`: context from the past and from the future."""
    p: dict[str, Any] = {"forward": recurrence(rng, N_X), "backward": recurrence(rng, N_X)}
    p |= {"Wya": rng.normal(size=(N_Y, 2 * N_A)), "by": rng.normal(size=(N_Y, 1))}
    Y_hat, cache = manual.bidirectional.forward(X, p)
    g = manual.bidirectional.loss_backward(Y, cache)
    recurrent = layers.SimpleRNN(N_A, return_sequences=True, dtype="float64", name="rnn")
    stack = [layers.Bidirectional(recurrent, dtype="float64", name="both")]
    weights = [*keras_weights(p["forward"]), *keras_weights(p["backward"]), p["Wya"].T, p["by"][:, 0]]
    gradients = [*keras_gradients(g["forward"]), *keras_gradients(g["backward"]), g["dWya"].T, g["dby"][:, 0]]
    network(check, "bidirectional", stack, weights, gradients, [X, Y, Y_hat])
    moved = X.copy()
    moved[:, :, -1] += 1
    change = np.abs(manual.bidirectional.forward(moved, p)[0] - Y_hat).max(axis=(0, 1))  # (T,)
    check("steps that feel a change of the last input", int((change > 0).sum()), T)


def deep(check: Checks, rng: np.random.Generator, X: Any, Y: Any) -> None:
    """Three layers of tanh recurrences, and a softmax read-out on top."""
    p: dict[str, Any] = {"layers": [recurrence(rng, n) for n in (N_X, N_A, N_A)]}
    p |= {"Wya": rng.normal(size=(N_Y, N_A)), "by": rng.normal(size=(N_Y, 1))}
    Y_hat, cache = manual.deep.forward(X, p)
    g = manual.deep.loss_backward(Y, cache)
    settings: dict[str, Any] = {"return_sequences": True, "dtype": "float64"}
    stack = [layers.SimpleRNN(N_A, **settings, name=f"layer{i}") for i in (1, 2, 3)]
    weights = [w for layer in p["layers"] for w in keras_weights(layer)]
    gradients = [w for layer in g["layers"] for w in keras_gradients(layer)]
    weights, gradients = [*weights, p["Wya"].T, p["by"][:, 0]], [*gradients, g["dWya"].T, g["dby"][:, 0]]
    network(check, "three layers", stack, weights, gradients, [X, Y, Y_hat])


def plot(folder: Path) -> None:
    """The cell with its dimensions, the deep and the bidirectional network, and what an input reaches in them."""
    rng = np.random.default_rng(2)
    x, a_prev = rng.normal(size=(N_X, M)), np.zeros((N_A, M))
    v = {name: tg.Variable(value, name=name) for name, value in recurrence(rng, N_X).items()}
    v |= {
        "Wya": tg.Variable(rng.normal(size=(N_Y, N_A)), name="Wya"),
        "by": tg.Variable(np.zeros((N_Y, 1)), name="by"),
    }
    a = ops.tanh(v["Wax"] @ x + v["Waa"] @ a_prev + v["ba"])
    y_hat = ops.softmax(v["Wya"] @ a + v["by"], axis=0)
    picture(folder, "seed_002_cell", y_hat, show=("shape", "name"))
    X = rng.normal(size=(M, T, N_X)).astype(np.float32)
    tg.utils.set_random_seed(2)
    settings: dict[str, Any] = {"return_sequences": True}
    deep = tg.Sequential([tg.Input((T, N_X)), *[layers.SimpleRNN(N_A, **settings) for _ in range(3)]])
    both = tg.Sequential([tg.Input((T, N_X)), layers.Bidirectional(layers.SimpleRNN(N_A, **settings))])
    for name, model in (("deep", deep), ("bidirectional", both)):
        for view in ("folded", "unrolled"):
            picture(folder, f"seed_002_{name}_{view}", model, X, view=view)
    plt = pyplot(folder)
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
    for axes, name, model in zip(
        panels, ("one direction, three layers", "bidirectional"), (deep, both), strict=True
    ):
        reached = np.zeros((T, T))
        for t in range(T):
            moved = X.copy()
            moved[:, t] += 0.1
            reached[t] = np.abs(model(moved).numpy() - model(X).numpy()).max(axis=(0, 2))
        image = axes.imshow(np.where(reached > 0, reached, np.nan), origin="lower")
        axes.set(xlabel="output of step", title=name)
        figure.colorbar(image, ax=axes)
    panels[0].set(ylabel="input of step that is moved by 0.1")
    figure.suptitle("How much an output changes; nothing where it is blank")
    figure.savefig(folder / "seed_002_reach.png")
    plt.close(figure)
    print(f"written: {folder / 'seed_002_reach'}.png")


def main(argv: Sequence[str] | None = None) -> Checks:
    """Run the story; returns the checks."""
    arguments = options(argv, __doc__)
    check, rng = Checks(), np.random.default_rng(2)
    for m in (1, 10):
        title(f"1. The cell: n_x = {N_X}, n_a = {N_A}, a batch of {m}")
        cell(check, rng, m)
    X = rng.normal(size=(N_X, M, T))
    Y = np.eye(N_Y)[:, rng.integers(N_Y, size=(M, T))]
    title("2. Bidirectional")
    bidirectional(check, rng, X, Y)
    title("3. Deep")
    deep(check, rng, X, Y)
    title("4. Types")
    for name in ("many to many", "many to one", "one to many"):
        check(name, output_of(name).shape, TYPES[name][2])
    music = OneToMany().predict(np.eye(FEATURES, dtype=np.float32))
    check("one note each, as many melodies", len(music), FEATURES)
    check("classes of a sentiment", TYPES["many to one"][2][-1], CLASSES)
    if arguments.plot:
        plot(arguments.plot)
    check.finish()
    return check


if __name__ == "__main__":
    sys.exit(1 if main().failed else 0)
