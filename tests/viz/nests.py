"""Loops as people write them: nested, with branches, without carrying anything, over generators, by recursion."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from viz.hand import nested, sequence, weights

from tinygrad_rnn import Tensor, ops, tensor
from tinygrad_rnn.ops import tanh

CELLS = 3


def start() -> Tensor:
    return tensor(np.ones((2, 4)), requires_grad=True, name="h0")


def sequences(steps: int) -> Tensor:
    """The inner loop runs over time, the outer one over sequences."""
    W, U, V = weights((4, 4), (4, 4), (4, 1))
    x, loss = sequence(steps), 0.0
    for _ in range(CELLS):
        h = np.zeros((2, 4))
        for t in range(steps):
            h = tanh(x[:, t] @ W + h @ U)
        loss = loss - (h @ V).sum()
    return loss


def epochs(steps: int) -> Tensor:
    """Nothing beside the inner loop, and no sequence that is read: only the state says where it begins."""
    (U,) = weights((4, 4))
    loss = 0.0
    for _ in range(CELLS):
        h = np.ones((2, 4))
        for _ in range(steps):
            h = tanh(h @ U)
            loss = loss - h.sum()
    return loss


def layers_outside(steps: int) -> Tensor:
    xs: list[Any] = [np.ones((2, 4))] * steps
    for W, U in [weights((4, 4), (4, 4)) for _ in range(CELLS)]:
        h, ys = np.zeros((2, 4)), []
        for x in xs:
            h = tanh(x @ W + h @ U)
            ys.append(h)
        xs = ys
    return xs[-1].sum()


def layers_inside(steps: int) -> Tensor:
    cells, hs = [weights((4, 4), (4, 4)) for _ in range(CELLS)], [np.zeros((2, 4))] * CELLS
    for _ in range(steps):
        y = np.ones((2, 4))
        for n, (W, U) in enumerate(cells):
            y = hs[n] = tanh(y @ W + hs[n] @ U)
    return y.sum()


def decoder(steps: int) -> Tensor:
    """In every step the state is compared with the positions of another sequence."""
    W, U = weights((4, 4), (4, 4))
    seen, h = ops.unstack(sequence(CELLS), axis=1), start()
    for _ in range(steps):
        q, context = h @ W, np.zeros((2, 4))
        for s in range(CELLS):
            context = context + tanh(q * seen[s])
        h = tanh(context + h @ U)
    return h.sum()


def branches(steps: int) -> Tensor:
    (W,) = weights((4, 4))
    h = start()
    for t in range(steps):
        if t % 2:
            h = tanh(h @ W)
        else:
            for _ in range(CELLS):
                h = h * 0.5
        h = h + 1.0
    return h.sum()


def rare(steps: int) -> Tensor:
    """Two losses, one of them in some steps only."""
    (W,) = weights((4, 4))
    h, often, seldom = start(), 0.0, 0.0
    for t in range(steps):
        h = tanh(h @ W)
        often = often + h.sum()
        if t % 2:
            seldom = seldom + (h * h).sum()
    return often * seldom


def while_loop(steps: int) -> Tensor:
    h, t, total = start(), 0, start()
    while (total := total + h).size and t < steps:
        t += 1
        if t == 2:
            continue
        h = tanh(h * h)
    return (h + total).sum()


def generator(steps: int) -> Tensor:
    def states(h: Any) -> Iterator[Any]:
        while True:
            h = tanh(h * h)
            yield h

    total = 0.0
    for _, h in zip(range(steps), states(start()), strict=False):
        total = total + h.sum()
    return total


def comprehension(steps: int) -> Tensor:
    (W,) = weights((4, 4))
    x = sequence(steps)
    return functools.reduce(lambda a, b: a + b, [tanh(x[:, t] @ W) for t in range(steps)]).sum()


def iteration(steps: int) -> Tensor:
    (W,) = weights((4, 4))
    h = 0.0
    for x_t in ops.transpose(sequence(steps), (1, 0, 2)):
        h = h + tanh(x_t @ W)
    return h.sum()


def exceptions(steps: int) -> Tensor:
    h = start()
    for t in range(steps):
        try:
            h = tanh(h * h)
            if t % 2:
                raise KeyError
            h = h + 1.0
        except KeyError:
            h = h * 0.5
        h = h - 2.0
    return h.sum()


def tied(steps: int) -> Tensor:
    """The embedding and the read-out are one matrix."""
    E, U = weights((7, 4), (4, 4))
    h, loss = np.zeros((2, 4)), 0.0
    for t in range(steps):
        h = tanh(ops.take(E, np.array([t % 7, 1]), axis=0) + h @ U)
        loss = loss + ops.sparse_categorical_crossentropy([1, 2], h @ E.T, from_logits=True).sum()
    return loss


def recursion(steps: int) -> Tensor:
    (W,) = weights((4, 4))

    def run(h: Any, t: int) -> Any:
        return h if t == 0 else run(tanh(h @ W), t - 1)

    return run(start(), steps).sum()


def tree(depth: int) -> Tensor:
    (W,) = weights((4, 4))

    def encode(d: int) -> Any:
        return start() if d == 0 else tanh((encode(d - 1) + encode(d - 1)) @ W)

    return encode(depth).sum()


NESTS: dict[
    str, tuple[Callable[[int], Tensor], str, int]
] = {  # an op, how often it runs in each of the time steps
    "sequences": (sequences, "tanh", CELLS),
    "epochs": (epochs, "tanh", CELLS),
    "layers_outside": (layers_outside, "tanh", CELLS),
    "layers_inside": (layers_inside, "tanh", CELLS),
    "nested": (nested, "tanh", 2),
    "decoder": (decoder, "tanh", CELLS + 1),
    "branches": (branches, "add", 1),
    "rare": (rare, "tanh", 1),
    "generator": (generator, "tanh", 1),
    "comprehension": (comprehension, "tanh", 1),
    "iteration": (iteration, "tanh", 1),
    "exceptions": (exceptions, "subtract", 1),
    "tied": (tied, "tanh", 1),
}
