"""What `tg.trace()` costs: at most 3 µs per op when it is on, and 2 % of an op's time when it is off."""

from __future__ import annotations

import timeit
from statistics import median
from typing import Any

from _timing import arguments, interleave, table, versions
from eager import OPS, chain

ON, OFF = 3.0, 0.02  # µs per op; share of an op
CHECKS = 1  # how often an op asks whether somebody listens


def main() -> None:
    options = arguments(__doc__ or "")
    import numpy as np

    import tinygrad_rnn as tg
    from tinygrad_rnn.config import mode

    x = tg.tensor(np.full(4, 0.5, np.float32), requires_grad=True)

    def off() -> Any:
        return chain(x, tg.ops.tanh)

    def on() -> Any:
        with tg.trace():
            return chain(x, tg.ops.tanh)

    assert on().numpy().tobytes() == off().numpy().tobytes()
    times = interleave({"trace off": off, "trace on": on}, options.rounds)
    plain = median(times.seconds["trace off"])
    added = median(b - a for a, b in zip(*times.seconds.values(), strict=True)) / OPS * 1e6
    names = {"state": mode()}
    check, nothing = (
        min(timeit.repeat(code, globals=names, number=100_000, repeat=7)) / 100_000
        for code in ("if state.monitor is not None: pass", "pass")
    )
    share = CHECKS * (check - nothing) / (plain / OPS)
    table(
        f"{OPS} tiny ops, forward",
        [
            ("", "measured", "target", ""),
            ("an op", f"{plain / OPS * 1e6:.2f} µs", "", ""),
            ("trace on adds", f"{added:.2f} µs", f"<= {ON:.0f} µs", "met" if added <= ON else "missed"),
            ("trace off adds", f"{share:.2%}", f"<= {OFF:.0%}", "met" if share <= OFF else "missed"),
        ],
    )
    print(
        f"medians of {options.rounds} interleaved rounds, {times.disturbed} disturbed repeated; {versions()}"
    )


if __name__ == "__main__":
    main()
