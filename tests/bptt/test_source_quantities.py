"""What a name in a printed source stands for: the user's quantity, or what it says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from bptt.test_source_names import equations, loop_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops

N, F, H = 2, 3, 4


def weight(name: str, *shape: int) -> tg.Variable:
    return tg.Variable(np.zeros(shape), name=name)


def source(step: Any, *states: tuple[int, ...], constants: Any = ()) -> str:
    """For `F` inputs, and one state of `H` units if nothing else is said."""
    return str(
        tg.bptt_source(step, np.zeros((N, F)), [np.zeros((N, *s)) for s in states or [(H,)]], constants)
    )


def test_a_part_has_its_name_if_that_of_the_whole_ends_like_it() -> None:
    W, U = weight("W", F, 2 * H), weight("U", H, 2 * H)

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        zr = ops.sigmoid(x @ W + h @ U)
        z, r = zr[:, :H], zr[:, H:]
        h = z * h + ops.tanh(r * h)
        return h, [h]

    text = source(step)
    assert equations(text)["(3)"] == "r = zr[:, 4:]" and "zr_view" not in text
    assert "multiply(r[t], h[t]," in " ".join(loop_of(text, "forward"))
