"""Cells with sums of two products, whose factors may or may not be neighbours in memory."""

from __future__ import annotations

from bptt.cells import GATED4, THREE, TWO, Cell, F, H

from tinygrad_rnn import ops


def gates(w, x, h):
    """Three sigmoids and a tanh, which the pass `merge` computes together."""
    i, f, o, g = ops.split(x @ w.Wx + h @ w.Wh + w.b, 4, axis=-1)
    return ops.sigmoid(i), ops.sigmoid(f), ops.sigmoid(o), ops.tanh(g)


def pair_of_a_product_turned_round(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + g * i
    h = o * ops.tanh(cell)
    return h, [h, cell]


def pair_difference(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] - i * g
    h = o * ops.tanh(cell)
    return h, [h, cell]


def pair_under_a_choice(w, xs, s, c):
    i, f, o, g = gates(w, xs[0], s[0])
    cell = ops.where(xs[1], f * s[1] + i * g, s[1])
    h = ops.where(xs[1], o * ops.tanh(cell), s[0])
    return (h, cell), [h, cell]


def pair_of_gates(w, x, s, c):
    i, f, g, k = ops.split(x @ w.Wx + s[0] @ w.Wh + w.b, 4, axis=-1)
    h = ops.sigmoid(i) * ops.tanh(g) + ops.sigmoid(f) * ops.tanh(k)
    return h, [ops.tanh(h)]


def pair_and_what_reads_the_states(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    h = o * ops.tanh(cell @ w.V) + ops.sin(s[1] @ w.V) * s[1][:, :1]
    return (h, s[1], cell), [h, cell, s[1]]  # the third is the second of the step before


def pair_of_a_state_kept_twice(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    return cell, [o * ops.tanh(cell), cell, cell]


def pair_of_the_last_gate(w, x, s, c):
    i, f, k, g = ops.split(x @ w.Wx + s[0] @ w.Wh + w.b, 4, axis=-1)
    i, f, k, g = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(k), ops.tanh(g)
    first = f * s[1] + i * k  # k is not the last
    second = f * s[2] + i * g
    return first, [ops.tanh(first + second), first, second]


def pair_of_one_state_with_one_gate(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    j, r, k = ops.split(cell @ w.V, 3, axis=-1)
    h = o * (ops.sigmoid(r) * s[1] + ops.sigmoid(j) * ops.tanh(k))  # the state lies behind g
    return h, [h, cell]


def pairs_of_two_layers(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    low = f * s[1] + i * g
    h = o * ops.tanh(low)
    i, f, o, g = ops.split(h @ w.V + s[2] @ w.Wh, 4, axis=-1)
    i, f, o, g = ops.sigmoid(i), ops.sigmoid(f), ops.sigmoid(o), ops.tanh(g)
    high = f * s[3] + i * g
    return o * ops.tanh(high), [h, low, o * ops.tanh(high), high]


def no_pair_of_gates_apart(w, x, s, c):
    i, o, f, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    h = o * ops.tanh(cell)
    return h, [h, cell]


def no_pair_product_read_twice(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    kept = f * s[1]
    cell = kept + i * g
    h = o * ops.tanh(cell) + ops.sin(kept)
    return h, [h, cell]


def no_pair_state_in_a_row(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    h = f * s[0] + i * g
    return o * h, [h]


def no_pair_state_reshaped(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    h = o * ops.tanh(cell) * ops.sum(s[1].reshape(-1, 2, 2), axis=1)[:, :1]
    return h, [h, cell]


def no_pair_new_state_reshaped(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    h = o * ops.tanh(ops.sum(cell.reshape(-1, 2, 2), axis=1)[:, :1])
    return h, [h, cell]


def no_pair_not_of_one_shape(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    h = f * s[1] + i * g
    return o * h, [h, s[1] + 0.1 * ops.sum(o, axis=1, keepdims=True)]


def no_pair_of_vectors(w, x, s, c):
    z = ops.sum(x @ w.Wx + s[0] @ w.Wh + w.b, axis=0).reshape(4, H)
    i, f, g, k = ops.unstack(ops.tanh(z), axis=0)
    h = ops.tanh(s[0] * (i * g + f * k) + x[:, :1])
    return h, [h]


def no_pair_only_the_output(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    return f * s[1] + i * g, [o, g]


def no_pair_of_squares(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = g * g + s[1] * s[1]  # both would be the pair of g and the state
    h = o * ops.tanh(i * f * cell)
    return h, [h, 0.3 * ops.tanh(cell)]


def no_pair_along_another_axis(w, x, s, c):
    i, f, g, k = ops.unstack((x @ w.Wx + s[0] @ w.Wh + w.b).reshape(-1, 4, H), axis=1)
    h = i * g + f * k
    return h, [ops.tanh(h)]


def no_pair_in_memory_of_something_else(w, x, s, c):
    z = (x @ w.Wx + s[0] @ w.Wh + w.b).reshape(-1, 4, H).transpose(1, 0, 2)
    i, f, o, g = ops.unstack(ops.tanh(z), axis=0)
    cell = f * s[1] + i * g
    h = o * ops.tanh(cell)
    return h, [h, cell]


CELLS = {
    pair_of_a_product_turned_round: Cell(GATED4, states=TWO),
    pair_difference: Cell(GATED4, states=TWO),
    pair_under_a_choice: Cell(GATED4, xs=((F,), "flags"), states=TWO),
    pair_of_gates: Cell(GATED4),
    pair_and_what_reads_the_states: Cell({**GATED4, "V": (H, H)}, states=THREE),
    pair_of_a_state_kept_twice: Cell(GATED4, states=THREE),
    pair_of_the_last_gate: Cell(GATED4, states=THREE),
    pair_of_one_state_with_one_gate: Cell({**GATED4, "V": (H, 3 * H)}, states=TWO),
    pairs_of_two_layers: Cell({**GATED4, "V": (H, 4 * H)}, states=(*TWO, *TWO)),
    no_pair_of_gates_apart: Cell(GATED4, states=TWO),
    no_pair_product_read_twice: Cell(GATED4, states=TWO),
    no_pair_state_in_a_row: Cell(GATED4),
    no_pair_state_reshaped: Cell(GATED4, states=TWO),
    no_pair_new_state_reshaped: Cell(GATED4, states=TWO),
    no_pair_not_of_one_shape: Cell(GATED4, states=((H,), (1,))),
    no_pair_of_vectors: Cell(GATED4),
    no_pair_only_the_output: Cell(GATED4, states=TWO),
    no_pair_of_squares: Cell(GATED4, states=TWO),
    no_pair_along_another_axis: Cell(GATED4),
    no_pair_in_memory_of_something_else: Cell(GATED4, states=TWO),
}
