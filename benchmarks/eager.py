"""What an op costs: a chain of 1,000 tiny ops, forward and backward, against other eager engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _timing import arguments, import_torch, interleave, show

OPS = 1000
TARGETS = {"PyTorch eager": 0.60, "HIPS autograd": 0.25}


def chain(x: Any, tanh: Callable[[Any], Any]) -> Any:
    """tanh, multiply, add, scale: over and over."""
    y = x
    for _ in range(OPS // 4):
        y = tanh(y)
        y = y * x
        y = y + x
        y = y * 0.5
    return y


def programs(threads: int) -> dict[str, Callable[[], Any]]:
    """Each returns the gradient of the chain at 0.5, in float32."""
    import numpy as np

    import tinygrad_rnn as tg

    start = np.full(4, 0.5, np.float32)

    def ours() -> Any:
        x = tg.tensor(start, requires_grad=True)
        chain(x, tg.ops.tanh).sum().backward()
        return x.grad

    found: dict[str, Callable[[], Any]] = {"tinygrad_rnn": ours}
    torch: Any = import_torch(threads)
    if torch is not None:

        def eager() -> Any:
            x = torch.tensor(start, requires_grad=True)
            chain(x, torch.tanh).sum().backward()
            return x.grad.numpy()

        found["PyTorch eager"] = eager
    try:
        import autograd
        import autograd.numpy as anp

        found["HIPS autograd"] = lambda: autograd.grad(lambda x: anp.sum(chain(x, anp.tanh)))(start)
    except ImportError:
        pass
    try:
        import mygrad

        def mygrad_chain() -> Any:
            x = mygrad.tensor(start)
            chain(x, mygrad.tanh).sum().backward()
            return x.grad

        found["MyGrad"] = mygrad_chain
    except ImportError:
        pass
    for name, program in found.items():
        np.testing.assert_allclose(program(), ours(), rtol=1e-5, err_msg=name)
    return found


def main() -> None:
    options = arguments(__doc__ or "")
    times = interleave(programs(options.threads), options.rounds)
    show(f"{OPS} tiny ops (4 float32 numbers), forward and backward", times, "µs per op", 1e6 / OPS, TARGETS)


if __name__ == "__main__":
    main()
