"""An LSTM composed of ops and unrolled: forward and backward of all parameters, against PyTorch eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _timing import arguments, import_torch, interleave, show

BATCH, STEPS, FEATURES, UNITS = 16, 50, 65, 128
TARGETS = {"PyTorch composed, z[:, t]": 0.90, "PyTorch composed, z.unbind()": 0.90}


def programs(threads: int) -> dict[str, Callable[[], Any]]:
    """Each returns the gradients of kernel, recurrent kernel and bias for one batch."""
    import numpy as np

    import tinygrad_rnn as tg

    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, STEPS, FEATURES)).astype(np.float32)
    cotangent = rng.normal(size=(BATCH, STEPS, UNITS)).astype(np.float32)
    shapes = ((FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,))
    values = [(0.1 * rng.normal(size=shape)).astype(np.float32) for shape in shapes]
    zeros = np.zeros((BATCH, UNITS), np.float32)

    weights = [tg.Variable(v) for v in values]
    kernel, recurrent_kernel, bias = weights
    sigmoid, tanh = tg.ops.sigmoid, tg.ops.tanh

    def step(z: Any, states: Any, constants: Any) -> Any:
        h, c = states
        i, f, g, o = tg.ops.split(z + h @ recurrent_kernel, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return h, [h, c]

    def ours(hoisted: bool) -> Any:
        if hoisted:
            outputs, _ = tg.scan(step, x @ kernel + bias, [zeros, zeros], derive=False)
        else:
            outputs, _ = tg.scan(
                lambda x_t, states, _: step(x_t @ kernel + bias, states, _), x, [zeros, zeros], derive=False
            )
        return tg.grad((outputs * cotangent).sum(), weights)

    found: dict[str, Callable[[], Any]] = {
        "tinygrad_rnn": lambda: ours(True),
        "tinygrad_rnn, projection per step": lambda: ours(False),
    }
    torch: Any = import_torch(threads)
    if torch is not None:
        tensors = [torch.tensor(v, requires_grad=True) for v in values]
        tx, tc, t0 = torch.tensor(x), torch.tensor(cotangent), torch.tensor(zeros)

        def composed(hoisted: bool, sliced: bool = False) -> Any:
            kernel, recurrent_kernel, bias = tensors
            z = tx @ kernel + bias if hoisted else tx
            zs = [z[:, t] for t in range(STEPS)] if sliced else torch.unbind(z, dim=1)
            h = c = t0
            outputs = []
            for z in zs:
                z = z if hoisted else z @ kernel + bias
                i, f, g, o = torch.chunk(z + h @ recurrent_kernel, 4, dim=1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                outputs.append(h)
            return torch.autograd.grad((torch.stack(outputs, 1) * tc).sum(), tensors)

        lstm = torch.nn.LSTM(FEATURES, UNITS, batch_first=True)
        with torch.no_grad():
            lstm.weight_ih_l0.copy_(tensors[0].T)
            lstm.weight_hh_l0.copy_(tensors[1].T)
            lstm.bias_ih_l0.copy_(tensors[2])
            lstm.bias_hh_l0.zero_()

        def fused() -> Any:
            parameters = (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0)
            wi, wh, b = torch.autograd.grad((lstm(tx)[0] * tc).sum(), parameters)
            return wi.T, wh.T, b

        found["PyTorch composed, z[:, t]"] = lambda: composed(True, sliced=True)
        found["PyTorch composed, z.unbind()"] = lambda: composed(True)
        found["PyTorch composed, projection per step"] = lambda: composed(False)
        found["PyTorch nn.LSTM (one fused op)"] = fused
    expected = ours(True)
    for name, program in found.items():
        for got, want in zip(program(), expected, strict=True):
            np.testing.assert_allclose(np.asarray(got), want, rtol=1e-3, atol=1e-3, err_msg=name)
    return found


def main() -> None:
    options = arguments(__doc__ or "", rounds=31)
    times = interleave(programs(options.threads), options.rounds)
    title = f"Unrolled LSTM, batch {BATCH}, {STEPS} steps, {FEATURES} features, {UNITS} units, float32"
    show(title, times, "ms", 1e3, TARGETS)


if __name__ == "__main__":
    main()
