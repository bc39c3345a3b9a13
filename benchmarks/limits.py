"""How far it goes: a million ops, 100,000 steps, a thousand updates without the cyclic collector."""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from _timing import arguments, table, versions


def megabytes() -> float:
    """Peak memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def chain() -> dict[str, float]:
    """1,000,000 ops one behind the other."""
    import numpy as np

    import tinygrad_rnn as tg

    x = tg.tensor(np.full(4, 0.5, np.float32), requires_grad=True)
    before = megabytes()

    def forward() -> Any:
        y = x
        for _ in range(250_000):
            y = tg.ops.tanh(y)
            y = y * x
            y = y + x
            y = y * 0.5
        return y

    forward_time, y = timed(forward)
    recorded = megabytes()
    backward_time, _ = timed(lambda: y.sum().backward())
    peak = megabytes()
    again = [forward()]
    free_time, _ = timed(again.clear)
    assert np.isfinite(x.grad).all()
    return {
        "forward, s": forward_time,
        "backward, s": backward_time,
        "freed without a backward pass, s": free_time,
        "memory of the graph, MB": recorded - before,
        "more in the backward pass, MB": peak - recorded,
    }


def steps() -> dict[str, float]:
    """A vanilla RNN over 100,000 steps, batch 1, 8 units."""
    import numpy as np

    import tinygrad_rnn as tg

    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 100_000, 3)).astype(np.float32)
    kernel = tg.Variable(0.3 * rng.normal(size=(3, 8)), dtype="float32")
    recurrent_kernel = tg.Variable(0.3 * rng.normal(size=(8, 8)), dtype="float32")

    def step(z: Any, states: Any, constants: Any) -> Any:
        h = tg.ops.tanh(z + states[0] @ recurrent_kernel)
        return h, [h]

    before = megabytes()
    zeros = np.zeros((1, 8), np.float32)
    forward_time, (outputs, _) = timed(lambda: tg.scan(step, x @ kernel, [zeros], derive=False))
    backward_time, _ = timed(lambda: outputs.mean().backward())
    assert np.isfinite(recurrent_kernel.grad).all()
    return {"forward, s": forward_time, "backward, s": backward_time, "memory, MB": megabytes() - before}


def updates() -> dict[str, float]:
    """1,000 updates of a small LSTM cell with the cyclic collector switched off."""
    import numpy as np

    import tinygrad_rnn as tg

    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 10, 4)).astype(np.float32)
    target = rng.normal(size=(8, 16)).astype(np.float32)
    weights = [tg.Variable(0.1 * rng.normal(size=s), dtype="float32") for s in ((4, 64), (16, 64), (64,))]
    zeros = np.zeros((8, 16), np.float32)

    def step(z: Any, states: Any, constants: Any) -> Any:
        h, c = states
        i, f, g, o = tg.ops.split(z + h @ weights[1], 4, axis=1)
        c = tg.ops.sigmoid(f) * c + tg.ops.sigmoid(i) * tg.ops.tanh(g)
        h = tg.ops.sigmoid(o) * tg.ops.tanh(c)
        return h, [h, c]

    def update() -> float:
        _, (h, _) = tg.scan(step, x @ weights[0] + weights[2], [zeros, zeros], derive=False)
        loss = tg.ops.square(h - target).mean()
        for w, g in zip(weights, tg.grad(loss, weights), strict=True):
            w.assign(w.numpy() - 0.1 * g.numpy())
        return float(loss)

    for _ in range(100):
        update()
    gc.collect()
    gc.disable()
    before = megabytes()
    total, losses = timed(lambda: [update() for _ in range(1000)])
    growth = megabytes() - before
    assert losses[-1] < losses[0]
    left = gc.collect()
    return {"per update, ms": total, "objects left to the cyclic collector": left, "growth, MB": growth}


MEASUREMENTS = {f.__name__: f for f in (chain, steps, updates)}
TARGETS = {
    ("updates", "objects left to the cyclic collector"): 0.0,
    ("updates", "growth, MB"): 2.0,
}


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in MEASUREMENTS:  # one measurement, in a process of its own
        print(json.dumps(MEASUREMENTS[sys.argv[1]]()))
        return
    arguments(__doc__ or "")
    rows = [("", "measured", "target", "")]
    for name, function in MEASUREMENTS.items():
        rows.append(((function.__doc__ or "").rstrip("."), "", "", ""))
        command = [sys.executable, __file__, name]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        for what, value in json.loads(child.stdout).items():
            target = TARGETS.get((name, what))
            wanted = "" if target is None else f"<= {target:g}"
            verdict = "" if target is None else "met" if value <= target else "missed"
            rows.append((f"  {what}", f"{value:.2f}".rstrip("0").rstrip("."), wanted, verdict))
    table("Limits (each measured in its own process)", rows)
    print(versions())


if __name__ == "__main__":
    main()
