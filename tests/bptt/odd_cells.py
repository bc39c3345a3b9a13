"""Cells out of things that passes are not made for: flags first, counts, pieces without axes, names of their own."""

from __future__ import annotations

from bptt.cells import GATED3, GATED4, RNN, WH, WX, B, Cell, F, H, M

from tinygrad_rnn import ops


def split_twice(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh + w.b
    i, f, o, g = ops.split(z, 4, axis=1)
    again = ops.split(z, 4, axis=1)[2]
    h = ops.sigmoid(i) * ops.tanh(g) + ops.sigmoid(f) * s[0] + ops.sigmoid(o)
    return (h, again), [h]


def a_part_that_nobody_reads(w, x, s, c):
    n, r, _, z = ops.split(x @ w.Wx + w.b, 4, axis=1)
    hn, hr, hz = ops.split(s[0] @ w.Vh, 3, axis=1)
    r, z = ops.sigmoid(r + hr), ops.sigmoid(z + hz)
    h = z * s[0] + (1 - z) * ops.tanh(n + r * hn)
    return h, [h]


def flag_first(w, x, s, c):
    """The type of the first state is that of the numbers in a loop, but for flags."""
    done, h = s
    h = ops.where(done > 0.5, h * 0.5, ops.tanh(x @ w.Wx + h @ w.Wh))
    return h, [ops.logical_or(done, x[:, :1] > 0.3), h]


def cut_before_a_product(w, x, s, c):
    cut = ops.reshape(s[0], (s[0].shape[0], 2, H // 2))
    h = ops.tanh(x @ w.Wx + ops.sum(cut @ w.V, axis=1))
    return h, [h]


def broadcast_over_the_batch(w, x, s, c):
    mean = ops.mean(s[0], axis=0)
    h = ops.tanh(x @ w.Wx + (s[0] - ops.broadcast_to(mean, s[0].shape)) @ w.Wh)
    return (h, ops.broadcast_to(ops.mean(x, axis=0), x.shape)), [h]


def taken_apart_to_numbers(w, x, s, c):
    a, b, *_ = ops.unstack(ops.mean(x, axis=0))
    p, q, *_ = ops.unstack(ops.mean(s[0], axis=0))
    h = ops.tanh(x @ w.Wx * a + s[0] @ w.Wh * p + b * ops.stack([p, q, a, b]))
    return h, [h]


def countdown(w, x, s, c):
    h, left = s
    left = ops.relu(left + ops.cast(x[:, :1] > 0.2, "int64") - ops.cast(x[:, 1:2] > 0.2, "int64"))
    wrapped = (ops.cast(left, "int8") + 100) + 100  # 200 is no int8
    h = ops.tanh(x @ w.Wx + h @ w.Wh) / (1.0 + left) + 0.001 * wrapped
    return h, [h, left]


def flags_and_a_number(w, x, s, c):
    """`True + True` is `True`: what is added to flags must not be put in another order."""
    k = ((s[0] > 0) + (x @ w.Wx > 0)) + 0.5
    h = ops.tanh(x @ w.Wx + k * (s[0] @ w.Wh))
    return h, [h]


def softmax_of_counts(w, xs, s, c):
    x, ids = xs
    n = ops.stack([ids, 2 * ids, ids * 0, 3 - ids], axis=1)
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh) * ops.softmax(n) + 0.1 * ops.logsumexp(n, keepdims=True)
    return h, [ops.tanh(h)]


def small_counts_below_zero(w, xs, s, c):
    x, ids = xs
    k = -ops.cast(ids, "uint8")[:, None]
    low = -ops.cast(ids - 128, "int8")[:, None]
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh + 0.01 * k + 0.01 * ops.sum(low, axis=1, keepdims=True))
    return h, [h]


def loss_in_the_step(w, xs, s, c):
    x, label = xs
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    loss = ops.sparse_categorical_crossentropy(label, h @ w.V, from_logits=True)
    p = ops.softmax(h @ w.V)
    return (loss, ops.sparse_categorical_crossentropy(label, p)), [h]


def picked_along_an_axis(w, xs, s, c):
    x, ids = xs
    table = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    place = ops.stack([ids - 1, -ids], axis=1)
    place = ops.clip(place, -H, H - 1)
    one = ops.take_along_axis(table, place, axis=1)
    best = ops.take_along_axis(table, ops.expand_dims(ops.argmax(table, axis=1), 1), axis=1)
    h = ops.tanh(table + ops.concatenate([one, one], axis=1) * best)
    return h, [h]


def one_element_of_a_vector(w, x, s, c):
    """A view without axes, made once: of what no later step needs, NumPy would give a number."""
    n = ops.tanh(ops.mean(x, axis=0)) @ w.Wx
    h = ops.tanh(0.5 * s[0] @ w.Wh + n[2] - ops.split(n, 4)[1])
    return h, [h]


def one_column_times_a_number(w, x, s, c):
    """A product of columns with a vector of one element, and the other way round: neither keeps the axis."""
    column = ops.expand_dims(s[0], (2, 3)) * x[:, :1, None, None]
    h = ops.tanh(s[0] + ops.squeeze(column @ w.v + w.u @ ops.sin(column), 2))
    return h, [h]


def names_of_loops(w, x, s, c):
    h = ops.tanh(x @ w.h_at + s[0] @ w.view_0 + w.h_at_next)
    return h, [h]


def of_the_example_before(w, x, s, c):
    """A slice of rows, as of columns of joined gradients."""
    n, r, z = ops.split(x @ w.Wx + w.b, 3, axis=1)
    hn, hr, hz = ops.split(s[0] @ w.Wh, 3, axis=1)
    before = ops.pad(n, ((1, 0), (0, 0)))[:-1]
    z = ops.sigmoid(z + hz)
    h = z * s[0] + (1 - z) * ops.tanh(before + ops.sigmoid(r + hr) * hn)
    return h, [h]


def same_order_of_axes(w, x, s, c):
    h = ops.tanh(x @ w.Wx + ops.transpose(s[0], (0, 1)) @ w.Wh)
    return h, [h]


def the_same_at_every_step(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return (h, ops.broadcast_to(ops.tanh(w.b), h.shape), ops.ones_like(h)), [h]


CELLS = {
    split_twice: Cell(GATED4),
    a_part_that_nobody_reads: Cell({"Wx": (F, 4 * H), "b": (4 * H,), "Vh": (H, 3 * H)}),
    flag_first: Cell(RNN, states=("done", (H,))),
    cut_before_a_product: Cell(WX | {"V": (H // 2, H)}),
    broadcast_over_the_batch: Cell(RNN),
    taken_apart_to_numbers: Cell(RNN),
    countdown: Cell(RNN, states=((H,), "count")),
    flags_and_a_number: Cell(RNN),
    softmax_of_counts: Cell(RNN, xs=((F,), "ids")),
    small_counts_below_zero: Cell(RNN, xs=((F,), "ids")),
    loss_in_the_step: Cell(RNN | {"V": (H, M)}, xs=((F,), "ids")),
    picked_along_an_axis: Cell(RNN, xs=((F,), "ids")),
    one_element_of_a_vector: Cell(RNN),
    one_column_times_a_number: Cell({"v": (1,), "u": (1,)}),
    names_of_loops: Cell({"h_at": (F, H), "view_0": (H, H), "h_at_next": (H,)}),
    of_the_example_before: Cell(GATED3),
    same_order_of_axes: Cell(WX | WH),
    the_same_at_every_step: Cell(RNN | B),
}
