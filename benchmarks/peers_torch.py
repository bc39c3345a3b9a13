"""PyTorch's training steps: the same cells composed of ops, and `nn.RNN`, `nn.LSTM`, `nn.GRU`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hand_fast import Problem

Program = Callable[[], tuple[float, list[Any]]]  # -> loss, gradients of the weights


def loss_and_gradients(
    outputs: Any, labels: Any, readout: Sequence[Any], parameters: Sequence[Any]
) -> tuple[float, list[Any]]:
    """The read-out, cross-entropy over all steps, and the gradients of `parameters`."""
    import torch

    kernel, bias = readout
    logits = torch.nn.functional.linear(outputs, kernel.T, bias)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(labels).flatten())
    return loss.item(), [g.numpy() for g in torch.autograd.grad(loss, parameters)]


def composed(cell: str, problem: Problem) -> Program:
    """The time loop in Python, with what an expert does: inputs projected before it, `unbind`, `addmm`."""
    import torch

    weights: list[Any] = [torch.from_numpy(w).requires_grad_() for w in problem.weights]
    kernel, recurrent_kernel, bias, *readout = weights
    units = recurrent_kernel.shape[0]

    def rnn(z: Any, states: Any) -> Any:
        h = torch.tanh(torch.addmm(z, states[0], recurrent_kernel))
        return h, (h,)

    def lstm(z: Any, states: Any) -> Any:
        h, c = states
        i, f, g, o = torch.addmm(z, h, recurrent_kernel).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)

    def gru(x: Any, states: Any) -> Any:
        (h,) = states
        x_gates, x_new = x.split([2 * units, units], dim=1)
        u_gates, u_new = torch.addmm(bias[1], h, recurrent_kernel).split([2 * units, units], dim=1)
        z, r = torch.sigmoid(x_gates + u_gates).chunk(2, dim=1)
        n = torch.tanh(x_new + r * u_new)
        h = n + z * (h - n)
        return h, (h,)

    step = {"rnn": rnn, "lstm": lstm, "gru": gru}[cell]

    def program() -> tuple[float, list[Any]]:
        x = torch.from_numpy(problem.X)
        states = (x.new_zeros(x.shape[0], units),) * (2 if cell == "lstm" else 1)
        outputs = []
        for z in torch.unbind(x @ kernel + (bias[0] if cell == "gru" else bias), dim=1):
            h, states = step(z, states)
            outputs.append(h)
        return loss_and_gradients(torch.stack(outputs, dim=1), problem.labels, readout, weights)

    return program


def layer(cell: str, problem: Problem, directions: int = 1) -> Program:
    """`nn.RNN`, `nn.LSTM` (one op of oneDNN on a CPU) or `nn.GRU`, with `nn.Linear`.

    Its gradients are in PyTorch's layout; `in_keras_layout` sorts them, outside of what is timed.
    """
    import torch

    *cells, kernel, bias = problem.weights
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    units = cells[1].shape[0]
    recurrent = kind(cells[0].shape[0], units, batch_first=True, bidirectional=directions == 2)
    linear = torch.nn.Linear(*kernel.shape)
    parameters = [*recurrent.parameters(), linear.weight, linear.bias]
    with torch.no_grad():
        for parameter, value in zip(parameters, _from_keras(cell, problem.weights), strict=True):
            parameter.copy_(torch.from_numpy(value))

    def program() -> tuple[float, list[Any]]:
        outputs, _ = recurrent(torch.from_numpy(problem.X))
        return loss_and_gradients(outputs, problem.labels, (linear.weight.T, linear.bias), parameters)

    return program


def _gate_order(cell: str, a: Any) -> Any:
    """Exchange z, r, n of Keras with r, z, n of PyTorch, in the last axis; the LSTM's order is the same."""
    import numpy as np

    if cell != "gru":
        return a
    z, r, n = np.split(a, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


def _from_keras(cell: str, weights: list[Any]) -> list[Any]:
    """Per direction `weight_ih, weight_hh, bias_ih, bias_hh`; then the read-out."""
    *cells, kernel, bias = weights
    found = []
    for k in range(0, len(cells), 3):
        input_kernel, recurrent_kernel, b = (_gate_order(cell, w) for w in cells[k : k + 3])
        found += [input_kernel.T, recurrent_kernel.T, *(b if cell == "gru" else (b, 0 * b))]
    return [*found, kernel.T, bias]


def in_keras_layout(gradients: list[Any], like: list[Any]) -> list[Any]:
    """The gradients of `layer` as Keras has them; those to be compared with them tell which cell it is."""
    import numpy as np

    cell = "gru" if like[2].ndim == 2 else "rnn or lstm"
    *cells, kernel, bias = gradients
    found = []
    for k in range(0, len(cells), 4):
        wi, wh, bi, bh = cells[k : k + 4]
        b = np.stack([bi, bh]) if cell == "gru" else bi
        found += [_gate_order(cell, w) for w in (wi.T, wh.T, b)]
    return [*found, kernel.T, bias]
