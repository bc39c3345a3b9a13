"""Cells that a pass, or the plan of memory, took for something else once: flags, counts, views and twins."""

from __future__ import annotations

import numpy as np
from bptt.cells import RNN, WH, WX, B, Cell, F, H, M

from tinygrad_rnn import ops


def kept_where_zero(w, x, s, c):
    """A test of values for 0, as of padding: it looks like the guard of a gradient."""
    r = ops.relu(x @ w.Wx)
    h = ops.where(r == 0, s[0], ops.tanh(r + s[0] @ w.Wh))
    return h, [h]


def zero_where_padded(w, ids, s, c):
    h = ops.where((ids == 0)[:, None], 0.0, ops.tanh(ops.take(w.E, ids, axis=0) + s[0] @ w.Wh))
    return h, [ops.where(ops.expand_dims(ids, -1) == 0, s[0], h)]


def first_step_apart(w, x, s, c):
    t, h = s
    h = ops.where(t == 0, x @ w.Wx, ops.tanh(x @ w.Wx + h @ w.Wh))
    return h, [t * 0.0, h]


def flag_out_of_flags(w, xs, s, c):
    x, token = xs
    h, done = s
    score = x @ w.Wx + h @ w.Wh
    done = ops.where((token == 2)[:, None], score[:, :1] > 0, done)
    h = ops.where(done, h, ops.tanh(score))
    return h, [h, done]


def count_as_condition(w, xs, s, c):
    x, count = xs
    h = ops.where(count[:, None], s[0] * 0.5, ops.tanh(x @ w.Wx + s[0] @ w.Wh))
    return h, [h]


def flags_as_factors(w, xs, s, c):
    x, flag = xs
    p, q = flag * 1.0, (x[:, :1] > 0) * 1.0
    h = (s[0] * p + s[0] * q) * 0.25 + ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return h, [h]


def small_counts_as_factors(w, xs, s, c):
    x, count = xs
    k = ops.cast(count, "uint8")[:, None]
    h = s[0] * (k * 0.1) * (k * 0.2) + ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return h, [h]


def functions_of_small_counts(w, xs, s, c):
    x, count = xs
    k = ops.cast(count, "uint8")[:, None]
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh) * ops.exp(ops.sqrt(k) - 2.0) + ops.log1p(k) * 0.1
    return h, [h]


def rows_of_a_sum(w, x, s, c):
    weight = w.W + w.V
    h = ops.tanh(x @ w.Wx + s[0][:, :2] @ weight[:2])
    return h, [h]


def view_that_is_an_output(w, xs, s, c):
    x, flag = xs
    r = x @ w.Wx + s[0] @ w.Wh
    h = ops.tanh(ops.where(flag, ops.flip(r, 1), 0.1))
    return r[:, :2], [h]


def view_of_what_is_joined(w, xs, s, c):
    x, flag = xs
    q = (x @ w.Wx + s[0] @ w.Wh) * 0.5
    both = ops.concatenate([q, s[0] * w.b], axis=1)
    h = ops.tanh(ops.where(flag, ops.flip(q, 1), 0.1) + both @ w.W)
    return h, [h]


def taken_in_pairs(w, xs, s, c):
    x, flag = xs
    pairs = ops.take(ops.where(flag, s[0], 0.0), np.array([[0, 1], [2, 3]]), axis=1)
    h = ops.tanh(x @ w.Wx + ops.sum(pairs * pairs, axis=2) @ w.W)
    return h, [h]


def delay_line(w, x, s, c):
    h, buffer = s
    h = ops.tanh(buffer[:, :F] @ w.Wx + h @ w.Wh)
    return h, [h, ops.concatenate([buffer[:, F:], x], axis=1)]


def part_that_is_a_state(w, x, s, c):
    n = x @ w.Wx + s[0] @ w.Wh
    a, b = ops.split(n, 2, axis=1)
    again, other = ops.split(n, 2, axis=1)
    h = ops.tanh(ops.concatenate([b * other, a + s[1]], axis=1))
    return h, [h, again]


def twin_that_is_detached(w, x, s, c):
    p, q = ops.tanh(s[0] @ w.Wh), ops.tanh(s[0] @ w.Wh).detach()
    h = ops.tanh(x @ w.Wx + p * q)
    return h, [h]


def update_after_the_output(w, x, s, c):
    return ops.tanh(s[0] @ w.Wh), [ops.tanh(x @ w.Wx + s[0] @ w.Wh)]


CELLS = {
    kept_where_zero: Cell(RNN),
    zero_where_padded: Cell(WH | {"E": (M, H)}, xs=("ids",)),
    first_step_apart: Cell(RNN, states=((1,), (H,))),
    flag_out_of_flags: Cell(RNN, xs=((F,), "ids"), states=((H,), "done")),
    count_as_condition: Cell(RNN, xs=((F,), "ids")),
    flags_as_factors: Cell(RNN, xs=((F,), "flags")),
    small_counts_as_factors: Cell(RNN, xs=((F,), "ids")),
    functions_of_small_counts: Cell(RNN, xs=((F,), "ids")),
    rows_of_a_sum: Cell(WX | {"W": (H, H), "V": (H, H)}),
    view_that_is_an_output: Cell(RNN, xs=((F,), "flags")),
    view_of_what_is_joined: Cell(RNN | B | {"W": (2 * H, H)}, xs=((F,), "flags")),
    taken_in_pairs: Cell(WX | {"W": (2, H)}, xs=((F,), "flags")),
    delay_line: Cell(RNN, states=((H,), (2 * F,))),
    part_that_is_a_state: Cell(RNN, states=((H,), (H // 2,))),
    twin_that_is_detached: Cell(RNN),
    update_after_the_output: Cell(RNN),
}
