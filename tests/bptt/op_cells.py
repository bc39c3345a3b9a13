"""Cells that use one op or property each: indices, kinks, stopped gradients, made weights, widths of gates."""

from __future__ import annotations

import numpy as np
from bptt.cells import RNN, TWO, WH, WX, B, Cell, F, H, M

from tinygrad_rnn import ops


def softmax_inside(w, x, s, c):
    h = ops.softmax(x @ w.Wx + s[0] @ w.Wh) - ops.softmax(s[0], axis=0)
    return h, [h]


def cumulated(w, x, s, c):
    h = ops.tanh(ops.cumsum(x @ w.Wx, axis=1) + ops.cumsum(s[0], axis=-1) * 0.3)
    return h, [h]


def kinks(w, x, s, c):
    z = x @ w.Wx
    h = (
        ops.maximum(z, s[0])
        - ops.minimum(z, 0.3)
        + ops.abs(s[0]) * 0.1
        + ops.max(s[0], axis=-1, keepdims=True) * 0.2
    )
    return h, [h * 0.7]


def traced_condition(w, x, s, c):
    z = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    h = ops.where(z > s[0], z, 0.5 * s[0])
    return h, [h]


def two_conditions(w, x, s, c):
    large, high = ops.sum(s[0]) > 0.5, ops.max(x) > 1.0
    h = ops.tanh(ops.where(high, x @ w.Wx, x @ -w.Wx) + ops.where(large, 0.5 * s[0], s[0]) @ w.Wh)
    return h, [h]


def sum_of_multiples(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh) - 0.3 * ops.sum(2.0 * s[0], axis=1, keepdims=True)
    return h, [ops.tanh(h)]


def clipped(w, x, s, c):
    h = ops.clip(x @ w.Wx + s[0] @ w.Wh, -0.5, 0.8)
    return h, [h]


def clipped_by_integers(w, x, s, c):
    h = ops.clip(x @ w.Wx + s[0], -1, 1)
    return h, [h]


def sliced(w, x, s, c):
    h = s[0]
    z = ops.tanh(x @ w.Wx + h @ w.Wh)
    return z[:, 1:3], [ops.concatenate([z[:, ::2], h[:, :1] * 0.5, z[..., -1:]], axis=1)]


def indexed_by_array(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return h[:, np.array([0, 2, 2])], [h[:, np.array([3, 1, 0, 1])]]


def stopped(w, x, s, c):
    h = ops.tanh(x @ w.Wx + ops.stop_gradient(s[0]) @ w.Wh + s[0] * 0.2)
    return h * ops.stop_gradient(h), [h]


def stopped_entirely(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return h, [ops.stop_gradient(h)]


def made_weights(w, x, s, c):
    h = ops.tanh(x @ w.Wx + ops.softplus(w.raw) * s[0] + (w.A * w.A).T @ w.v)
    return h, [h]


def made_weight_matrix(w, x, s, c):
    norm = ops.sqrt(ops.sum(w.Wh * w.Wh, axis=0, keepdims=True) + 1e-6)
    h = ops.tanh(x @ (w.Wx * 2.0) + s[0] @ (w.g * w.Wh / norm))
    return h, [h]


def orthogonal_by_skew(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ (w.Wh - w.Wh.T))
    return h, [h]


def weight_twice(w, x, s, c):
    h = ops.tanh((x @ w.W) @ w.W + s[0] @ w.W.T @ w.W)
    return h @ w.W, [h]


def tied_read_out(w, x, s, c):
    h = ops.tanh(ops.take(w.E, x, axis=0) + s[0] @ w.Wh)
    return h @ w.E.T, [h]


def conditioned(w, x, s, constants):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh + constants[0] @ w.Wc + constants[1])
    return h * constants[1], [h]


def two_layers(w, x, s, c):
    a, b = s
    a = ops.tanh(x @ w.Wx + a @ w.Wh)
    b = ops.tanh(a @ w.V + b @ w.Vh)
    return b, [a, b]


def residual(w, x, s, c):
    h = s[0] + 0.1 * ops.tanh(s[0] @ w.Wh + x @ w.Wx)
    h = h + 0.1 * ops.tanh(h @ w.Wh)
    return h, [h]


def only_adds(w, x, s, c):
    h = s[0] + x + w.b
    return h, [h]


def linear(w, x, s, c):
    h = s[0] @ w.Wh + x @ w.Wx
    return h, [h]


def global_norm(w, x, s, c):
    h = x @ w.Wx + s[0]
    h = h / (1.0 + ops.norm(h))
    return h, [h]


def batch_mean(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] - ops.mean(s[0], axis=0))
    return h, [h]


def reshaped(w, x, s, c):
    z = ops.reshape(x @ w.Wx + s[0], (-1, 2, H // 2))
    h = ops.reshape(ops.tanh(z * ops.flip(z, axis=1)), (-1, H))
    return h, [h]


def stacked(w, x, s, c):
    z = x @ w.Wx
    pair = ops.stack([z, s[0]], axis=1)
    h = ops.tanh(ops.sum(pair * w.mix, axis=1))
    first, second = ops.unstack(pair, axis=1)
    return first - second, [h]


def powers(w, x, s, c):
    a = ops.sigmoid(x @ w.Wx)
    h = a**2 + 2.0**a - (1 + s[0] ** 2) ** -0.5 + ops.log1p(ops.square(s[0])) * 0.1
    return h, [h * 0.3]


def swish_gelu(w, x, s, c):
    h = ops.silu(x @ w.Wx) + ops.gelu(s[0] @ w.Wh) * 0.5 + ops.elu(s[0]) * 0.1 - ops.softsign(s[0])
    return h, [h]


def rolled(w, x, s, c):
    h = ops.tanh(ops.roll(s[0], 1, axis=1) * 0.9 + ops.pad(x, ((0, 0), (0, H - F))) + w.b)
    return h, [h]


def turned(w, x, s, c):
    h = ops.tanh(ops.flip(x, axis=-1) @ w.Wx + ops.roll(s[0], 1, axis=-1))
    return ops.flip(ops.roll(x, (1, 0), axis=(-1, -2)), axis=(-1,)), [ops.flip(h, axis=-1)]


def read_after_it_was_joined(w, x, s, c):
    a = ops.hard_sigmoid(x @ w.Wx)
    return ops.concatenate([a, x], axis=1), [ops.sin(0.9 * ops.tanh(a)) + s[0]]


def joined_and_joined_again(w, x, s, c):
    a = s[0] @ w.Wh + x @ w.Wx
    b = ops.sigmoid(ops.concatenate([ops.concatenate([a, x], axis=1), s[0]], axis=1))
    return ops.tanh(a), [b[:, :H] + b[:, -H:]]


def parts_of_parts_unused(w, x, s, c):
    z = x @ w.Wx
    part = ops.split(ops.split(z, 2, axis=1)[0], 2, axis=1)[1]
    h = ops.sigmoid(z) * s[0]
    return h, [h + ops.mean(part)]


def gate_without_axes(w, x, s, c):
    gate = ops.sigmoid(ops.sum(s[0]))
    h = ops.tanh(x @ w.Wx + gate * s[0])
    return h, [h]


def numbers_added(w, x, s, c):
    h = ops.tanh(s[0] + 1.0 + 2.0 + x @ w.Wx)
    return h + 0.5 + 0.25, [h]


def reshaped_state(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0])
    return h, [h, ops.reshape(h @ w.W, (-1, 2, H))]


def products(w, x, s, c):
    h = ops.tanh(ops.prod(ops.reshape(s[0], (-1, 2, H // 2)), axis=1) @ w.P + x @ w.Wx)
    return ops.logsumexp(h, axis=-1), [h]


def overwrites(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh
    a = ops.tanh(z)
    b = ops.sigmoid(z)
    d = ops.exp(-a * a)
    h = a * b + d - z * 0.1
    return (z, a), [h * 0.5]


def factors(w, x, s, c):
    h, k = s
    g = ops.sigmoid(x @ w.Wx + h @ w.Wh)
    k = -(k * g) / (1.0 + g) + (1.0 - g) * g * k - 2.0 * k
    h = ops.tanh(k * 0.3) * g - h * 0.2
    return h - k, [h, k * 0.4]


def gates_of_unequal_width(w, x, s, c):
    a, b, d = ops.split(x @ w.Wx + s[0] @ w.Wh, [1, 3], axis=-1)
    h = ops.tanh(ops.concatenate([a, ops.sigmoid(a) * b, d], axis=-1))
    return ops.relu(d), [h]


def gates_in_disorder(w, x, s, c):
    a, b, d, e = ops.split(x @ w.Wx + s[0] @ w.Wh, 4, axis=-1)
    h = ops.sigmoid(d) * ops.tanh(a) + ops.sigmoid(b) * ops.tanh(e) + b * 0.1
    return h, [h]


def integer_output(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return (h, ops.argmax(h, axis=-1), h > 0), [h]


def counting(w, x, s, c):
    h, n = s
    h = ops.tanh(x @ w.Wx + h @ w.Wh) / (1.0 + ops.cast(n, h.dtype))
    return h, [h, n + 1]


def early_stop(w, x, s, c):
    h, done = s
    new = ops.where(done, h, ops.tanh(x @ w.Wx + h @ w.Wh))
    return new, [new, ops.logical_or(done, new[:, :1] > 0.5)]


def counted_ids(w, xs, s, c):
    h, n = s
    x, flag = xs
    n = ops.where(flag, n + 1, n)
    return ops.take(w.E, n[:, 0] % M, axis=0) * h, [ops.sin(h + x @ w.Wx), n]


def numbers_on_the_left(w, x, s, c):
    h = 2.0 - ops.tanh(x @ w.Wx) * s[0]
    return 1 / (3 + h * h), [3.5 % (2 + h * h * 0.01) - h * 0.1]


def clocked(w, x, s, c):
    a, b = s
    h = ops.tanh(x @ w.Wx + ops.concatenate([a, b], axis=1) @ w.W)
    return ops.max(h, axis=-1), [h[:, :2] * 1.0, ops.concatenate([b[:, 1:], h[:, :1]], axis=-1)]


def convolution(w, x, s, c):
    windows = ops.stack([s[0][:, i : i + 2] for i in range(H - 1)], axis=1)
    h = ops.tanh(ops.pad(windows @ w.k, ((0, 0), (1, 0))) + x @ w.Wx)
    return h, [h]


def sum_of_everything(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0])
    return h, [h * (1.0 + 0.01 * ops.sum(h) * ops.mean(w.b))]


CELLS = {
    softmax_inside: Cell(RNN),
    cumulated: Cell(WX),
    kinks: Cell(WX),
    traced_condition: Cell(RNN),
    two_conditions: Cell(RNN),
    sum_of_multiples: Cell(RNN),
    clipped: Cell(RNN),
    clipped_by_integers: Cell(WX),
    sliced: Cell(RNN),
    indexed_by_array: Cell(RNN),
    stopped: Cell(RNN),
    stopped_entirely: Cell(RNN),
    made_weights: Cell(WX | {"raw": (H,), "A": (M, H), "v": (M,)}),
    made_weight_matrix: Cell(RNN | {"g": (H,)}),
    orthogonal_by_skew: Cell(RNN),
    weight_twice: Cell({"W": (H, H)}, xs=((H,),)),
    tied_read_out: Cell(WH | {"E": (M, H)}, xs=("ids",)),
    conditioned: Cell(RNN | {"Wc": (2, H)}, constants=((2,), (H,))),
    two_layers: Cell(RNN | {"V": (H, H), "Vh": (H, H)}, states=TWO),
    residual: Cell(RNN),
    only_adds: Cell({"b": (F,)}, states=((F,),)),
    linear: Cell(RNN),
    global_norm: Cell(WX),
    batch_mean: Cell(WX),
    reshaped: Cell(WX),
    stacked: Cell(WX | {"mix": (2, 1)}),
    powers: Cell(WX),
    swish_gelu: Cell(RNN),
    rolled: Cell(B),
    turned: Cell(WX),
    parts_of_parts_unused: Cell(WX),
    gate_without_axes: Cell(WX),
    numbers_added: Cell(WX),
    reshaped_state: Cell(WX | {"W": (H, 2 * H)}, states=((H,), (2, H))),
    read_after_it_was_joined: Cell(WX),
    joined_and_joined_again: Cell(RNN),
    products: Cell(WX | {"P": (H // 2, H)}),
    overwrites: Cell(RNN),
    factors: Cell(RNN, states=TWO),
    gates_of_unequal_width: Cell(RNN),
    gates_in_disorder: Cell({"Wx": (F, 4 * H), "Wh": (H, 4 * H)}),
    integer_output: Cell(RNN),
    counting: Cell(RNN, states=((H,), "count")),
    early_stop: Cell(RNN, states=((H,), "done")),
    counted_ids: Cell(WX | {"E": (M, H)}, xs=((F,), "flags"), states=((H,), "count")),
    numbers_on_the_left: Cell(WX),
    clocked: Cell(WX | {"W": (H, H)}, states=((2,), (2,))),
    convolution: Cell(WX | {"k": (2,)}),
    sum_of_everything: Cell(WX | B),
}
