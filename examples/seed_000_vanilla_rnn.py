"""The vanilla RNN character model: forward, loss, back-propagation through time by hand and by the graph.

Trains on "hello" twice, once with the hand-written `train` and once with its autodiff twin, side by side;
then clipping, sampling, and the five kinds of networks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from checks import Checks, options, plot_losses, title
from network_types import TYPES, output_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.manual import vanilla_rnn as rnn

TEXT = "hello"
CHAR_TO_IDX = {char: index for index, char in enumerate(sorted(set(TEXT)))}  # e h l o
IDX_TO_CHAR = {index: char for char, index in CHAR_TO_IDX.items()}
N_A, LEARNING_RATE, CLIP, ITERATIONS = 64, 0.01, 5.0, 1000


def forward(X: Any, Y: Any, a_prev: Any, p: Any) -> tuple[Any, Any]:
    """The twin: the seed's cell in ops, (n_x, m, T) as in the seed. Loss and last hidden state."""

    def cell_forward(xt: Any, states: Any, constants: Any) -> tuple[Any, list[Any]]:
        (a_prev,) = states
        z = p["Waa"] @ a_prev + p["Wax"] @ xt + p["ba"]
        a = ops.tanh(z)
        y_hat = ops.softmax(p["Wya"] @ a + p["by"], axis=0)
        return y_hat, [a]

    # scan runs over the second axis; with the columns of the seed its first axis is n_x, not the batch
    Y_hat, (a,) = tg.scan(cell_forward, np.swapaxes(X, 1, 2), [a_prev])
    return -(np.swapaxes(Y, 1, 2) * ops.log(Y_hat)).sum(), a.detach()


def train_twin(parameters: Any, iterations: int) -> list[float]:
    """Train the variables like the seed's `train`: the state is carried, gradients are clipped, plain SGD."""
    X, Y = rnn.preprocess_inputs(TEXT, CHAR_TO_IDX)
    a, losses = np.zeros((N_A, 1)), []
    optimizer = tg.optimizers.SGD(LEARNING_RATE, clipvalue=CLIP)
    for _ in range(iterations):
        loss, a = forward(X, Y, a, parameters)
        variables = list(parameters.values())
        optimizer.apply_gradients(zip(tg.grad(loss, variables), variables, strict=True))
        losses.append(loss.item())
    return losses


def predict(parameters: Any) -> str:
    """The likeliest next character after each of "hell"."""
    X, _ = rnn.preprocess_inputs(TEXT, CHAR_TO_IDX)
    _, Y_hat, _ = rnn.forward(X, np.zeros((N_A, 1)), parameters)
    return "".join(IDX_TO_CHAR[index] for index in Y_hat[:, 0].argmax(axis=0).tolist())


def main(argv: Sequence[str] | None = None) -> Checks:
    """Run the story; returns the checks."""
    arguments, check = options(argv, __doc__), Checks()
    start = rnn.initialize_parameters(N_A, len(CHAR_TO_IDX), len(CHAR_TO_IDX), rng=1)
    X, Y = rnn.preprocess_inputs(TEXT, CHAR_TO_IDX)
    title(f"1. One pass over {TEXT!r}: X {X.shape}, Y {Y.shape}, {N_A} hidden units")
    _, Y_hat, caches = rnn.forward(X, np.zeros((N_A, 1)), start)
    check("first loss", rnn.compute_loss(Y_hat, Y), 5.543806547510492, rtol=1e-12)
    gradients = rnn.backward(X, Y, start, caches)
    norms = {
        "Wax": 0.13156728915811,
        "Waa": 0.00792780673899466,
        "Wya": 0.12334263537995,
        "ba": 0.110356827375322,
        "by": 1.41411871445946,
    }
    for name, norm in norms.items():
        check(f"norm of d{name}", float(np.linalg.norm(gradients["d" + name])), norm, rtol=1e-12)

    twin = {name: tg.Variable(value, name=name) for name, value in start.items()}
    x, a0 = tg.Variable(X, name="x"), tg.Variable(np.zeros((N_A, 1)), name="a0")
    forward(x, Y, a0, twin)[0].backward()
    print("\nThe same gradients, out of the graph:")
    leaves = {**twin, "x": x, "a0": a0}
    report = tg.compare_gradients(gradients, leaves, loss_fn=lambda: forward(x, Y, a0, twin)[0])
    print(report)
    check("by hand equals autodiff", bool(report), True)

    title(f"2. {ITERATIONS} iterations, by hand and by the graph")
    by_hand = {name: value.copy() for name, value in start.items()}
    rnn.train(TEXT, CHAR_TO_IDX, by_hand, 100, LEARNING_RATE, CLIP)
    check("prediction after 100 iterations", predict(by_hand), "llll")
    by_hand = {name: value.copy() for name, value in start.items()}
    losses = rnn.train(TEXT, CHAR_TO_IDX, by_hand, ITERATIONS, LEARNING_RATE, CLIP)
    by_graph = train_twin(twin, ITERATIONS)
    print("  iteration      by hand     by the graph")
    for i in (0, 1, 10, 50, 99, ITERATIONS - 1):
        print(f"  {i:9d} {losses[i]:12.9f} {by_graph[i]:16.9f}")
    reference = {1: 5.523401019307, 10: 5.357463687141, 50: 4.885343704374, 99: 4.593420223253}
    for i, value in {**reference, ITERATIONS - 1: 0.0109256069838}.items():
        check(f"loss after {i} updates", losses[i], value, rtol=1e-6)
    check.agree("losses by hand and by the graph", by_graph, losses, rtol=1e-9)
    for name in start:
        check.agree(f"trained {name} by hand and by the graph", twin[name].numpy(), by_hand[name], rtol=1e-9)
    check("prediction after training", predict(by_hand), "ello")
    check("prediction of the twin", predict({name: v.numpy() for name, v in twin.items()}), "ello")

    title("3. Exploding gradients: clipping, element by element")
    large = {name: 100.0 * value for name, value in gradients.items()}
    clipped = rnn.clip(large, CLIP)
    check("largest before", float(max(abs(g).max() for g in large.values())) > CLIP, True)
    check("largest after", float(max(abs(g).max() for g in clipped.values())), CLIP)
    moved = {name: tg.Variable(value, name=name) for name, value in start.items()}
    pairs = [(large["d" + name], variable) for name, variable in moved.items()]
    tg.optimizers.SGD(LEARNING_RATE, clipvalue=CLIP).apply_gradients(pairs)
    copies = {name: value.copy() for name, value in start.items()}
    expected = rnn.update_parameters(copies, clipped, LEARNING_RATE)
    same = all(np.array_equal(moved[name].numpy(), expected[name]) for name in start)
    check("SGD(clipvalue=5) does the same, bit for bit", same, True)

    title("4. Sampling")
    vocabularies = CHAR_TO_IDX, IDX_TO_CHAR
    for seed in range(3):
        print(f"  seed {seed}: {rnn.sample('h', *vocabularies, by_hand, 20, rng=seed)}")
    check("the likeliest text", rnn.sample("h", *vocabularies, by_hand, 5, greedy=True), "hello")
    texts = [rnn.sample("h", *vocabularies, by_hand, 20, rng=0) for _ in range(2)]
    check("the same seed, the same text", texts[0], texts[1])

    title("5. Five kinds of networks")
    for name, (_, shapes, shape) in TYPES.items():
        y = output_of(name)
        check(f"{name}, from {' and '.join(map(str, shapes))}", y.shape, shape)
        check.agree(f"{name}: sums of the probabilities", y.sum(axis=-1), np.ones(shape[:-1]), rtol=1e-6)
    if arguments.plot:
        plot_losses(arguments.plot, "seed_000_loss", {"by hand": losses, "by the graph": by_graph})
    check.finish()
    return check


if __name__ == "__main__":
    sys.exit(1 if main().failed else 0)
