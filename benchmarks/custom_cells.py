"""Six recurrent cells that no library has ready-made, each written once and run by tinygrad_rnn, PyTorch and JAX.

A cell is a function of the ops of a library and its weights, and returns a step. The projection of the input stands
inside the step, as in a paper. Run this file to check all gradients against PyTorch in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from hand_fast import Array

SLOTS = 8  # of the attention's memory
Program = Callable[[], tuple[float, list[Any]]]


class Ops(NamedTuple):
    """The functions that the libraries name differently; operators and indexing are the same in all."""

    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    relu: Callable[[Any], Any]
    softmax: Callable[[Any], Any]  # over the last axis
    split: Callable[[Any, int], Any]  # the last axis into equal parts
    layer_norm: Callable[[Any, Any, Any], Any]  # x, gain, shift


# --- the cells ------------------------------------------------------------------------------------------


def layer_norm_lstm(ops: Ops, w: Any) -> Any:
    """Ba, Kiros and Hinton (2016)."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, c = states
        from_x = ops.layer_norm(x @ w.kernel, w.gain_x, w.shift_x)
        from_h = ops.layer_norm(h @ w.recurrent_kernel, w.gain_h, w.shift_h)
        i, f, g, o = ops.split(from_x + from_h, 4)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(ops.layer_norm(c, w.gain_c, w.shift_c))
        return h, [h, c]

    return step


def peephole_lstm(ops: Ops, w: Any) -> Any:
    """Gers and Schmidhuber (2000): the gates see the cell state."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, c = states
        i, f, g, o = ops.split(x @ w.kernel + h @ w.recurrent_kernel + w.bias, 4)
        c = ops.sigmoid(f + w.peep_f * c) * c + ops.sigmoid(i + w.peep_i * c) * ops.tanh(g)
        h = ops.sigmoid(o + w.peep_o * c) * ops.tanh(c)
        return h, [h, c]

    return step


def coupled_lstm(ops: Ops, w: Any) -> Any:
    """Greff et al. (2017), CIFG: what is forgotten makes room for what comes in."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, c = states
        f, g, o = ops.split(x @ w.kernel + h @ w.recurrent_kernel + w.bias, 3)
        f = ops.sigmoid(f)
        c = f * c + (1.0 - f) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]

    return step


def minimal_gated_unit(ops: Ops, w: Any) -> Any:
    """Zhou et al. (2016): one gate, which resets and updates."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        f = ops.sigmoid(x @ w.kernel_f + h @ w.recurrent_kernel_f + w.bias_f)
        n = ops.tanh(x @ w.kernel_n + (f * h) @ w.recurrent_kernel_n + w.bias_n)
        h = (1.0 - f) * h + f * n
        return h, [h]

    return step


def ind_rnn(ops: Ops, w: Any) -> Any:
    """Li et al. (2018): each unit sees only itself."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        h = ops.relu(x @ w.kernel + w.recurrent_weight * h + w.bias)
        return h, [h]

    return step


def attention_rnn(ops: Ops, w: Any) -> Any:
    """Each step looks into a memory `(batch, slots, units)`; dot-product attention, Luong et al. (2015)."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,), (memory,) = states, constants
        query = (h @ w.query_kernel)[:, :, None]
        attention = ops.softmax((memory @ query)[:, :, 0])
        found = (attention[:, None, :] @ memory)[:, 0]
        h = ops.tanh(x @ w.kernel + h @ w.recurrent_kernel + found @ w.memory_kernel + w.bias)
        return h, [h]

    return step


class Cell(NamedTuple):
    make: Callable[[Ops, Any], Any]
    states: int
    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]  # of features and units
    memory: bool = False


def _gated(gates: int, **more: int) -> Callable[[int, int], dict[str, tuple[int, ...]]]:
    """Kernel, recurrent kernel and bias of so many gates, and vectors of so many times the units."""

    def shapes(D: int, H: int) -> dict[str, tuple[int, ...]]:
        found = {"kernel": (D, gates * H), "recurrent_kernel": (H, gates * H), "bias": (gates * H,)}
        return found | {name: (n * H,) for name, n in more.items()}

    return shapes


CELLS = {
    "layer_norm_lstm": Cell(
        layer_norm_lstm, 2,
        lambda D, H: {"kernel": (D, 4 * H), "recurrent_kernel": (H, 4 * H), "gain_x": (4 * H,), "shift_x": (4 * H,),
                      "gain_h": (4 * H,), "shift_h": (4 * H,), "gain_c": (H,), "shift_c": (H,)},
    ),
    "peephole_lstm": Cell(peephole_lstm, 2, _gated(4, peep_i=1, peep_f=1, peep_o=1)),
    "coupled_lstm": Cell(coupled_lstm, 2, _gated(3)),
    "minimal_gated_unit": Cell(
        minimal_gated_unit, 1,
        lambda D, H: {"kernel_f": (D, H), "recurrent_kernel_f": (H, H), "bias_f": (H,),
                      "kernel_n": (D, H), "recurrent_kernel_n": (H, H), "bias_n": (H,)},
    ),
    "ind_rnn": Cell(ind_rnn, 1, lambda D, H: {"kernel": (D, H), "recurrent_weight": (H,), "bias": (H,)}),
    "attention_rnn": Cell(
        attention_rnn, 1,
        lambda D, H: {"kernel": (D, H), "recurrent_kernel": (H, H), "query_kernel": (H, H), "memory_kernel": (H, H),
                      "bias": (H,)},
        memory=True,
    ),
}  # fmt: skip


# --- the same training step in three libraries ----------------------------------------------------------


class Problem(NamedTuple):
    cell: Cell
    X: Array  # (N, T, D)
    labels: Array  # (N, T)
    weights: dict[str, Array]  # the cell's; the memory, if there is one; out_kernel, out_bias


def random_problem(name: str, N: int, T: int, D: int, H: int, V: int, dtype: Any = np.float32) -> Problem:
    """The same numbers each time."""
    rng, cell = np.random.default_rng(0), CELLS[name]
    shapes = cell.shapes(D, H) | ({"memory": (N, SLOTS, H)} if cell.memory else {})
    weights = {}
    for key, shape in (shapes | {"out_kernel": (H, V), "out_bias": (V,)}).items():
        value = rng.normal(size=shape) * shape[0] ** -0.5 if len(shape) > 1 else rng.uniform(-0.5, 0.5, shape)
        weights[key] = (value + key.startswith("gain")).astype(dtype)
    return Problem(cell, rng.normal(size=(N, T, D)).astype(dtype), rng.integers(0, V, (N, T)), weights)


def in_tinygrad(problem: Problem) -> Program:
    import tinygrad_rnn as tg

    def layer_norm(x: Any, gain: Any, shift: Any) -> Any:
        centred = x - tg.ops.mean(x, axis=-1, keepdims=True)
        variance = tg.ops.mean(centred * centred, axis=-1, keepdims=True)
        return centred * tg.ops.rsqrt(variance + 1e-5) * gain + shift

    split = partial(tg.ops.split, axis=-1)
    ops = Ops(tg.ops.tanh, tg.ops.sigmoid, tg.ops.relu, tg.ops.softmax, split, layer_norm)
    made, X, labels, values = problem
    H, V = values["out_kernel"].shape

    class UsersCell(tg.layers.Layer):
        """What `RNN` runs: the step, and its weights as attributes."""

        def __init__(self) -> None:
            super().__init__(dtype=X.dtype)
            self.state_size = [H] * made.states
            self.w = SimpleNamespace(
                **{n: tg.Variable(v, name=n) for n, v in values.items() if n[:4] != "out_"}
            )
            self.held = vars(self.w)  # where the layer finds its weights
            self.step = made.make(ops, self.w)

        def call(self, inputs: Any, states: Any) -> Any:
            return self.step(inputs, states, (self.w.memory,) if made.memory else ())

    cell = UsersCell()
    dense = tg.layers.Dense(V, dtype=X.dtype)
    model = tg.Sequential([tg.layers.RNN(cell, return_sequences=True), dense])
    model(X[:, :1])
    dense.set_weights([values["out_kernel"], values["out_bias"]])
    model.compile("sgd", tg.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=X.dtype.name))
    weights = [*cell.held.values(), dense.kernel, dense.bias]

    def program() -> tuple[float, list[Any]]:
        with model._mode(training=True, grad=True):
            loss, _, gradients = model._loss_and_gradients(X, labels, None)
        return float(loss), [gradients[v._node] for v in weights]

    return program


def in_torch(problem: Problem) -> Program:
    import torch
    from peers_torch import loss_and_gradients

    def layer_norm(x: Any, gain: Any, shift: Any) -> Any:
        return torch.nn.functional.layer_norm(x, x.shape[-1:], gain, shift)

    softmax, split = partial(torch.softmax, dim=-1), partial(torch.chunk, dim=-1)
    ops = Ops(torch.tanh, torch.sigmoid, torch.relu, softmax, split, layer_norm)
    cell, X, labels, values = problem
    w = SimpleNamespace(**{name: torch.from_numpy(v).requires_grad_() for name, v in values.items()})
    weights = list(vars(w).values())
    step, constants = cell.make(ops, w), ((w.memory,) if cell.memory else ())

    def program() -> tuple[float, list[Any]]:
        x = torch.from_numpy(X)
        states = [x.new_zeros(x.shape[0], w.out_kernel.shape[0])] * cell.states
        outputs = []
        for x_t in torch.unbind(x, dim=1):
            output, states = step(x_t, states, constants)
            outputs.append(output)
        readout = (w.out_kernel, w.out_bias)
        return loss_and_gradients(torch.stack(outputs, dim=1), labels, readout, weights)

    return program


def in_jax(problem: Problem) -> Program:
    import jax
    import jax.numpy as jnp
    import peers_jax

    def layer_norm(x: Any, gain: Any, shift: Any) -> Any:
        return jax.nn.standardize(x, epsilon=1e-5) * gain + shift

    ops = Ops(jnp.tanh, jax.nn.sigmoid, jax.nn.relu, jax.nn.softmax, partial(jnp.split, axis=-1), layer_norm)
    cell, X, labels, values = problem

    def loss(weights: Any, X: Any, labels: Any) -> Any:
        w = SimpleNamespace(**dict(zip(values, weights, strict=True)))
        step, constants = cell.make(ops, w), ((w.memory,) if cell.memory else ())

        def body(states: Any, x_t: Any) -> Any:
            output, states = step(x_t, states, constants)
            return states, output

        zeros = jnp.zeros((X.shape[0], w.out_kernel.shape[0]), X.dtype)
        _, outputs = jax.lax.scan(body, [zeros] * cell.states, X.swapaxes(0, 1))
        return peers_jax.cross_entropy(outputs, labels, w.out_kernel, w.out_bias)

    return peers_jax.program(loss, X, labels, list(values.values()))


def check() -> None:
    """Compare with PyTorch in float64, twice."""
    for name in CELLS:
        problem = random_problem(name, 3, 9, 4, 5, 6, dtype=np.float64)
        loss, gradients = in_torch(problem)()
        program = in_tinygrad(problem)
        for _ in range(2):
            found, ours = program()
            np.testing.assert_allclose(found, loss, rtol=1e-12)
            for key, got, want in zip(problem.weights, ours, gradients, strict=True):
                got, atol, where = np.asarray(got), 1e-12 * abs(want).max(), f"{name}, {key}"
                np.testing.assert_allclose(got, want, rtol=1e-10, atol=atol, err_msg=where)
        print(f"{name:18s} loss and gradients equal PyTorch's in float64")


if __name__ == "__main__":
    check()
