"""JAX's training steps: `jit` of `value_and_grad` of a `lax.scan`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from hand_fast import Problem

Program = Callable[[], tuple[float, list[Any]]]


def available(threads: int) -> bool:
    """Import JAX with that many threads; XLA reads both variables when it is first imported."""
    if "jax" not in sys.modules:
        os.environ["NPROC"] = str(threads)
        os.environ["JAX_PLATFORMS"] = "cpu"
        if threads == 1:
            os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    try:
        import jax  # noqa: F401
    except ImportError:
        return False
    return True


def cross_entropy(outputs: Any, labels: Any, kernel: Any, bias: Any) -> Any:
    """The mean over all steps, after a read-out of `outputs` `(T, N, H)`."""
    import jax

    scores = jax.nn.log_softmax(outputs @ kernel + bias)
    return -jax.numpy.take_along_axis(scores, labels.T[..., None], axis=2).mean()


def program(loss: Callable[[Any, Any, Any], Any], X: Any, labels: Any, weights: Any) -> Program:
    """Compile `loss(weights, X, labels)` with its gradients; inputs and labels are handed over at each call."""
    import jax

    step = jax.jit(jax.value_and_grad(loss))
    weights = jax.device_put(weights)

    def run() -> tuple[float, list[Any]]:
        value, gradients = jax.block_until_ready(step(weights, X, labels))
        return float(value), gradients

    return run


def scanned(cell: str, problem: Problem) -> Program:
    """The inputs projected before the scan, as an expert writes it."""
    import jax
    import jax.numpy as jnp

    sigmoid, tanh = jax.nn.sigmoid, jnp.tanh

    def loss(weights: Any, X: Any, labels: Any) -> Any:
        kernel, recurrent_kernel, bias, *readout = weights
        zero = jnp.zeros((X.shape[0], recurrent_kernel.shape[0]), X.dtype)

        def rnn(states: Any, z: Any) -> Any:
            h = tanh(z + states[0] @ recurrent_kernel)
            return (h,), h

        def lstm(states: Any, z: Any) -> Any:
            h, c = states
            i, f, g, o = jnp.split(z + h @ recurrent_kernel, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * tanh(g)
            h = sigmoid(o) * tanh(c)
            return (h, c), h

        def gru(states: Any, x: Any) -> Any:
            (h,) = states
            x_z, x_r, x_n = jnp.split(x, 3, axis=1)
            u_z, u_r, u_n = jnp.split(h @ recurrent_kernel + bias[1], 3, axis=1)
            z, r = sigmoid(x_z + u_z), sigmoid(x_r + u_r)
            n = tanh(x_n + r * u_n)
            h = n + z * (h - n)
            return (h,), h

        step = {"rnn": rnn, "lstm": lstm, "gru": gru}[cell]
        projected = X @ kernel + (bias[0] if cell == "gru" else bias)
        states = (zero,) * (2 if cell == "lstm" else 1)
        _, outputs = jax.lax.scan(step, states, projected.swapaxes(0, 1))
        return cross_entropy(outputs, labels, *readout)

    return program(loss, *problem)
