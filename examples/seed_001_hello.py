"""An introduction to RNNs: `rnn.step(x)`, two RNNs on top of each other, and a network that learns "hello".

The logits of the seed's diagram show what the first gradient does: the score of the right next character is
pushed up, the others down.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from checks import Checks, options, plot_losses, title

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops

CHARS = "helo"
IDS = np.array([[CHARS.index(char) for char in "hello"]])
X = np.eye(4)[IDS[:, :-1]]  # (1, 4, 4), one-hot: h e l l
TARGETS = IDS[:, 1:]  # (1, 4): e l l o


class RNN:
    """The seed's class: `h = tanh(W_hh h + W_xh x)`, `y = W_hy h`, h starts at zero; no biases."""

    def __init__(self, n_x: int, n_h: int, n_y: int) -> None:
        self.state = layers.SimpleRNN(n_h, use_bias=False, return_sequences=True, dtype="float64")
        self.output = layers.Dense(n_y, use_bias=False, dtype="float64")

    def step(self, x: Any) -> Any:
        """One time step, x (batch, n_x); the state is kept in the layer."""
        return self.output(self.state.step(x))

    def whole(self, x: Any) -> Any:
        """All time steps at once, x (batch, time, n_x)."""
        return self.output(self.state(x))

    def in_numpy(self, x: Any) -> Any:
        """The seed's `step` as it is printed, over one sequence x (time, n_x)."""
        W_xh, W_hh = (w.numpy().T for w in self.state.weights)
        W_hy = self.output.kernel.numpy().T
        h, ys = np.zeros(len(W_hh)), []
        for x_t in x:
            h = np.tanh(np.dot(W_hh, h) + np.dot(W_xh, x_t))
            ys.append(np.dot(W_hy, h))
        return np.array(ys)


def streaming(check: Checks) -> None:
    """`y = rnn.step(x)`, step by step, is the whole sequence at once; then two of them."""
    tg.utils.set_random_seed(0)
    rnn1, rnn2 = RNN(4, 8, 5), RNN(5, 6, 3)
    steps = [rnn1.step(X[:, t]).numpy() for t in range(4)]
    whole = rnn1.whole(X).numpy()
    check.agree("step by step, and the whole sequence", np.stack(steps, axis=1), whole, rtol=1e-13)
    check.agree("and the seed's own lines", rnn1.in_numpy(X[0]), whole[0], rtol=1e-13)
    rnn1.state.reset_state()
    check("the same after reset_state()", bool(np.array_equal(rnn1.step(X[:, 0]).numpy(), steps[0])), True)
    rnn1.state.reset_state()
    deep = []
    for t in range(4):
        y1 = rnn1.step(X[:, t])
        deep.append(rnn2.step(y1).numpy())  # neither of them knows or cares
    check.agree("two RNNs", np.stack(deep, axis=1), rnn2.whole(rnn1.whole(X)).numpy(), rtol=1e-13)


def push(check: Checks) -> None:
    """The first time step of the diagram: the network saw "h", the next character is "e"."""
    logits = tg.tensor(np.array([1.0, 2.2, -3.0, 4.1]), requires_grad=True, name="logits")
    loss = ops.sparse_categorical_crossentropy(CHARS.index("e"), logits, from_logits=True)
    (gradient,) = tg.grad(loss, [logits])
    p, g = ops.softmax(logits).numpy(), gradient.numpy()
    before, after = logits.numpy(), logits.numpy() - g
    print("          logit   softmax  dL/dlogit  after one step")
    for i, char in enumerate(CHARS):
        arrow = "up" if after[i] > before[i] else "down"
        print(f"  {char:>4} {before[i]:9.1f} {p[i]:9.4f} {g[i]:10.4f} {after[i]:9.4f} {arrow}")
    check("loss", loss.item(), 2.0785167665336113, rtol=1e-15)
    check("softmax", p, [0.0376841097, 0.1251156504, 0.0006902085, 0.8365100314], rtol=1e-9)
    check("d loss / d logits", g, [0.0376841097, -0.8748843496, 0.0006902085, 0.8365100314], rtol=1e-9)
    check("pushed up", [char for char, moved in zip(CHARS, after > before, strict=True) if moved], ["e"])


def train(optimizer: Any, recurrent: bool = True) -> tuple[Any, list[float]]:
    """A network over the four characters, trained on the one sequence; and its losses."""
    tg.utils.set_random_seed(1)
    middle = layers.SimpleRNN(16, return_sequences=True) if recurrent else layers.Dense(16, activation="tanh")
    model = tg.Sequential([tg.Input((None, 4)), middle, layers.Dense(4)])
    model.compile(optimizer, loss=tg.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(X, TARGETS, epochs=200, verbose=0)
    return model, history.history["loss"]


def generate(model: Any, start: str, length: int) -> str:
    """Feed each likeliest character back as the next input, one step at a time."""
    recurrent, readout = model.layers
    recurrent.reset_state()
    text = start
    while len(text) < length:
        x = np.eye(4)[[CHARS.index(text[-1])]]
        text += CHARS[int(readout(recurrent.step(x)).numpy().argmax())]
    return text


def main(argv: Sequence[str] | None = None) -> Checks:
    """Run the story; returns the checks."""
    arguments, check = options(argv, __doc__), Checks()
    title("1. rnn.step(x)")
    streaming(check)
    title("2. The logits of the diagram")
    push(check)
    title('3. A network that learns "hello"')
    curves = {}
    for optimizer in (tg.optimizers.RMSprop(0.01), tg.optimizers.Adam(0.01)):
        model, losses = train(optimizer)
        name = type(optimizer).__name__
        curves[name] = losses
        print(f"  {name}: loss {losses[0]:.4f} -> {losses[-1]:.6f} in {len(losses)} updates")
        check(f"{name} below 0.05", losses[-1] < 0.05, True)
        predicted = "".join(CHARS[i] for i in model.predict(X)[0].argmax(axis=-1))
        check(f"{name}: after h, e, l, l", predicted, "ello")
        check(f"{name}: fed with its own output", generate(model, "h", 5), "hello")
    title('4. Why it needs the recurrence: "l" is followed by "l", then by "o"')
    model, losses = train(tg.optimizers.Adam(0.01), recurrent=False)
    p = ops.softmax(model(X)).numpy()[0]
    print(f"  without recurrence: loss {losses[-1]:.4f}, not below ln(2)/2 = {np.log(2) / 2:.4f}")
    check("the two l look the same to it", bool(np.array_equal(p[2], p[3])), True)
    check("half for l, half for o", p[2, 2:], [0.5, 0.5], rtol=0.05)
    if arguments.plot:
        plot_losses(arguments.plot, "seed_001_loss", curves)
    check.finish()
    return check


if __name__ == "__main__":
    sys.exit(1 if main().failed else 0)
