"""Cells whose inputs, states and outputs are wired unusually: joined, swapped, shared, unread, integers, flags."""

from __future__ import annotations

from bptt.cells import RNN, THREE, TWO, WH, WX, B, Cell, F, H, M

from tinygrad_rnn import ops


def joined(w, x, s, c):
    h = ops.tanh(ops.concatenate([s[0], x], axis=-1) @ w.W + w.b)
    return h, [h]


def joined_x_first(w, x, s, c):
    h = ops.tanh(ops.concatenate([x, s[0], x * 2.0], axis=1) @ w.W)
    return h, [h]


def joined_of_one(w, x, s, c):
    h = ops.tanh(ops.concatenate([x], axis=1) @ w.Wx + s[0] @ w.Wh)
    return h, [h]


def joined_states_only(w, x, s, c):
    both = ops.concatenate([s[0], s[1]], axis=-1) @ w.W
    h = ops.tanh(both + x @ w.Wx)
    return h, [h, s[0] * 0.5 + h]


def read_out(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return ops.log_softmax(h @ w.Wy + w.b), [h]


def feedback(w, x, s, c):
    y = ops.softmax(s[0] @ w.Wy)
    h = ops.tanh(x @ w.Wx + y @ w.Wh)
    return y, [h]


def several_outputs(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return (h, x * 2.0, h.sum(axis=-1, keepdims=True), s[0], x), [h]


def one_output_in_a_tuple(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0])
    return (h * h,), [h]


def same_output_twice(w, x, s, c):
    h = ops.sin(x @ w.Wx + s[0] @ w.Wh)
    return (h, h, s[0]), [h]


def several_inputs(w, xs, s, c):
    a, b = xs
    h = ops.tanh(a @ w.Wx + s[0] @ w.Wh) * ops.sigmoid(b)
    return h + b, [h]


def swapped(w, x, s, c):
    a, b = s
    h = ops.tanh(x @ w.Wx + a @ w.Wh)
    return h + b, [b, h]


def rotated(w, x, s, c):
    a, b, d = s
    return a * b + d, [b, d, ops.tanh(x @ w.Wx + a * d)]


def swap_only(w, x, s, c):
    a, b = s
    return x @ w.Wx + a * b, [b, a]


def passed_through(w, x, s, c):
    a, b = s
    h = ops.tanh(x @ w.Wx + a @ w.Wh + b)
    return h, [h, b]


def unused_state(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return h, [h, h * 2.0]


def unused_states_all(w, x, s, c):
    h = ops.tanh(x @ w.Wx)
    return h, [h, h + 1.0]


def output_of_the_step_before(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return s[0], [h]


def twin_states(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh - s[1])
    return h, [h, h]


def delayed_input(w, x, s, c):
    h, before = s
    h = ops.tanh(h @ w.Wh + before @ w.Wx)
    return h, [h, x]


def output_is_input(w, x, s, c):
    h = ops.tanh(s[0] + x @ w.Wx)
    return x, [h]


def state_is_view(w, x, s, c):
    a, b = ops.split(ops.tanh(ops.concatenate(s, axis=-1) @ w.W + x @ w.Wx), 2, axis=-1)
    return a, [b, a]


def state_is_transpose(w, x, s, c):
    h = ops.tanh(ops.swapaxes(s[0], 1, 2) * x + w.b)
    return h, [ops.swapaxes(h, 1, 2)]


def no_states(w, x, s, c):
    return ops.tanh(x @ w.Wx) + w.b, []


def token_ids(w, x, s, c):
    h = ops.tanh(ops.take(w.E, x, axis=0) + s[0] @ w.Wh)
    return h, [h]


def token_ids_shifted(w, x, s, c):
    h = ops.tanh(ops.take(w.E, (x + 1) % M, axis=0) + s[0] @ w.Wh)
    return h, [h]


def one_hot_ids(w, x, s, c):
    h = ops.tanh(ops.one_hot(x, M, dtype=w.E.dtype) @ w.E + s[0] @ w.Wh)
    return h, [h]


def flags(w, xs, s, c):
    x, flag = xs
    h = ops.where(flag, ops.tanh(x @ w.Wx + s[0] @ w.Wh), s[0] * 0.9)
    return h, [h]


def flags_joined(w, xs, s, c):
    x, flag = xs
    h = ops.tanh(x @ w.Wx + s[0])
    return h, [ops.where(ops.logical_and(flag, h > 0), h, ops.where(~flag, s[0], h * 0.5))]


def scalar_weight(w, x, s, c):
    h = ops.tanh(w.a * (x @ w.Wx) + (1 - w.a) * s[0])
    return h * w.a, [h]


def states_of_3_axes(w, x, s, c):
    h = ops.tanh(s[0] @ w.Wh + ops.expand_dims(x @ w.Wx, 1))
    return h.sum(axis=1), [h]


def inputs_of_3_axes(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh)
    return h, [h]


def flat_state(w, x, s, c):
    level = 0.8 * s[0] + 0.2 * ops.sum(x * w.b, axis=-1)
    return level, [level]


def outer_product_memory(w, x, s, c):
    (memory,) = s
    key, value, query = ops.split(ops.tanh(x @ w.W), 3, axis=-1)
    memory = 0.9 * memory + ops.einsum("ni,nj->nij", key, value)
    return ops.einsum("nij,nj->ni", memory, query), [memory]


def outer_product_by_broadcasting(w, x, s, c):
    (memory,) = s
    key, value, query = ops.split(ops.tanh(x @ w.W), 3, axis=-1)
    memory = 0.9 * memory + key[:, :, None] * value[:, None, :]
    return (memory * query[:, None, :]).sum(axis=2), [memory]


def wide_layer(w, x, s, c):
    h = ops.tanh(x @ w.Wx + ops.tanh(s[0] @ w.Wide) @ w.Back)
    return h, [h]


def memory_times_weight(w, x, s, constants):
    (h,), (memory,) = s, constants
    scores = ops.einsum("nmk,nk->nm", memory @ w.Wm, h)
    h = ops.tanh(x @ w.Wx + ops.sum(scores, axis=-1, keepdims=True))
    return h, [h]


def read_through_two_weights(w, x, s, constants):
    (h,), (memory,) = s, constants
    scores = ops.softmax((memory @ ops.expand_dims(h, -1)).squeeze(-1), axis=-1)
    read = (ops.expand_dims(scores, 1) @ memory).squeeze(1)
    h = ops.tanh(x @ w.Wx + read @ w.Wv @ w.Wo + h @ w.Wh)
    return h, [h]


def query_and_more(w, x, s, constants):
    (h,), (memory, more) = s, constants
    query = h @ w.Wq + more
    scores = ops.softmax((memory @ ops.expand_dims(query, -1)).squeeze(-1), axis=-1)
    h = ops.tanh((ops.expand_dims(scores, 1) @ memory).squeeze(1) @ w.Wh + x @ w.Wx)
    return h, [h]


def last_part_of_a_normed_sum(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh
    z = z / ops.sqrt(ops.mean(z * z, axis=-1, keepdims=True) + 0.1)
    h = ops.tanh(ops.split(z, 4, axis=-1)[3])
    return h, [h]


def interleaved_gates(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh
    g = [z[:, i::4] for i in range(4)]
    h = ops.sigmoid(g[0]) * s[0] + ops.tanh(g[1]) * (1.0 - ops.sigmoid(g[2])) - g[3] * 0.1
    return h, [h]


def bias_twice(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh + w.b + w.b)
    return h, [h]


CELLS = {
    memory_times_weight: Cell(WX | {"Wm": (H, H)}, constants=((M, H),)),
    read_through_two_weights: Cell(RNN | {"Wv": (H, H), "Wo": (H, H)}, constants=((M, H),)),
    query_and_more: Cell(RNN | {"Wq": (H, H)}, constants=((M, H), (H,))),
    last_part_of_a_normed_sum: Cell({"Wx": (F, 4 * H), "Wh": (H, 4 * H)}),
    interleaved_gates: Cell({"Wx": (F, 4 * H), "Wh": (H, 4 * H)}),
    bias_twice: Cell(RNN | B),
    wide_layer: Cell({**WX, "Wide": (H, 12 * H), "Back": (12 * H, H)}),
    joined: Cell({"W": (H + F, H)} | B),
    joined_x_first: Cell({"W": (H + 2 * F, H)}),
    joined_of_one: Cell(RNN),
    joined_states_only: Cell(WX | {"W": (2 * H, H)}, states=TWO),
    read_out: Cell(RNN | {"Wy": (H, M), "b": (M,)}),
    feedback: Cell(WX | {"Wy": (H, M), "Wh": (M, H)}),
    several_outputs: Cell(RNN),
    one_output_in_a_tuple: Cell(WX),
    same_output_twice: Cell(RNN),
    several_inputs: Cell(RNN, xs=((F,), (H,))),
    swapped: Cell(RNN, states=TWO),
    rotated: Cell(WX, states=THREE),
    swap_only: Cell(WX, states=TWO),
    passed_through: Cell(RNN, states=TWO),
    unused_state: Cell(RNN, states=TWO),
    unused_states_all: Cell(WX, states=TWO),
    output_of_the_step_before: Cell(RNN),
    twin_states: Cell(RNN, states=TWO),
    delayed_input: Cell(RNN, states=((H,), (F,))),
    output_is_input: Cell(WX),
    state_is_view: Cell({"W": (2 * H, 2 * H), "Wx": (F, 2 * H)}, states=TWO),
    state_is_transpose: Cell(B | {"b": (2, 2)}, xs=((2, 2),), states=((2, 2),)),
    no_states: Cell(WX | B, states=()),
    token_ids: Cell(WH | {"E": (M, H)}, xs=("ids",)),
    token_ids_shifted: Cell(WH | {"E": (M, H)}, xs=("ids",)),
    one_hot_ids: Cell(WH | {"E": (M, H)}, xs=("ids",)),
    flags: Cell(RNN, xs=((F,), "flags")),
    flags_joined: Cell(WX, xs=((F,), "flags")),
    scalar_weight: Cell(WX | {"a": ()}),
    states_of_3_axes: Cell(RNN, states=((2, H),)),
    inputs_of_3_axes: Cell(RNN, xs=((2, F),), states=((2, H),)),
    flat_state: Cell({"b": (F,)}, states=((),)),
    outer_product_memory: Cell({"W": (F, 3 * H)}, states=((H, H),)),
    outer_product_by_broadcasting: Cell({"W": (F, 3 * H)}, states=((H, H),)),
}
