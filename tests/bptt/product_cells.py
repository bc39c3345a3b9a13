"""Cells with sums of two products, as an LSTM's cell state is."""

from __future__ import annotations

from bptt.cells import GATED4, THREE, TWO, Cell, F, H

from tinygrad_rnn import ops


def gates(w, x, h):
    """Three sigmoids and a tanh, which the pass `merge` computes together."""
    i, f, o, g = ops.split(x @ w.Wx + h @ w.Wh + w.b, 4, axis=-1)
    return ops.sigmoid(i), ops.sigmoid(f), ops.sigmoid(o), ops.tanh(g)


def difference_of_products(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] - i * g
    h = o * ops.tanh(cell)
    return h, [h, cell]


def products_under_a_choice(w, xs, s, c):
    i, f, o, g = gates(w, xs[0], s[0])
    cell = ops.where(xs[1], f * s[1] + i * g, s[1])
    h = ops.where(xs[1], o * ops.tanh(cell), s[0])
    return (h, cell), [h, cell]


def products_of_gates(w, x, s, c):
    i, f, g, k = ops.split(x @ w.Wx + s[0] @ w.Wh + w.b, 4, axis=-1)
    h = ops.sigmoid(i) * ops.tanh(g) + ops.sigmoid(f) * ops.tanh(k)
    return h, [ops.tanh(h)]


def products_and_what_reads_the_states(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    h = o * ops.tanh(cell @ w.V) + ops.sin(s[1] @ w.V) * s[1][:, :1]
    return (h, s[1], cell), [h, cell, s[1]]  # the third is the second of the step before


def products_of_a_state_kept_twice(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    return cell, [o * ops.tanh(cell), cell, cell]


def products_of_one_state_with_gates_of_it(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    j, r, k = ops.split(cell @ w.V, 3, axis=-1)
    h = o * (ops.sigmoid(r) * s[1] + ops.sigmoid(j) * ops.tanh(k))
    return h, [h, cell]


def products_of_two_layers(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    low = f * s[1] + i * g
    h = o * ops.tanh(low)
    i, f, o, g = ops.split(h @ w.V + s[2] @ w.Wh, 4, axis=-1)
    i, f, o, g = ops.sigmoid(i), ops.sigmoid(f), ops.sigmoid(o), ops.tanh(g)
    high = f * s[3] + i * g
    return o * ops.tanh(high), [h, low, o * ops.tanh(high), high]


def products_with_a_state_reshaped(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    h = o * ops.tanh(cell) * ops.sum(s[1].reshape(-1, 2, 2), axis=1)[:, :1]
    return h, [h, cell]


def products_with_a_new_state_reshaped(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = f * s[1] + i * g
    h = o * ops.tanh(ops.sum(cell.reshape(-1, 2, 2), axis=1)[:, :1])
    return h, [h, cell]


def products_of_vectors(w, x, s, c):
    z = ops.sum(x @ w.Wx + s[0] @ w.Wh + w.b, axis=0).reshape(4, H)
    i, f, g, k = ops.unstack(ops.tanh(z), axis=0)
    h = ops.tanh(s[0] * (i * g + f * k) + x[:, :1])
    return h, [h]


def products_as_output_alone(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    return f * s[1] + i * g, [o, g]


def sum_of_squares(w, x, s, c):
    i, f, o, g = gates(w, x, s[0])
    cell = g * g + s[1] * s[1]
    h = o * ops.tanh(i * f * cell)
    return h, [h, 0.3 * ops.tanh(cell)]


CELLS = {
    difference_of_products: Cell(GATED4, states=TWO),
    products_under_a_choice: Cell(GATED4, xs=((F,), "flags"), states=TWO),
    products_of_gates: Cell(GATED4),
    products_and_what_reads_the_states: Cell({**GATED4, "V": (H, H)}, states=THREE),
    products_of_a_state_kept_twice: Cell(GATED4, states=THREE),
    products_of_one_state_with_gates_of_it: Cell({**GATED4, "V": (H, 3 * H)}, states=TWO),
    products_of_two_layers: Cell({**GATED4, "V": (H, 4 * H)}, states=(*TWO, *TWO)),
    products_with_a_state_reshaped: Cell(GATED4, states=TWO),
    products_with_a_new_state_reshaped: Cell(GATED4, states=TWO),
    products_of_vectors: Cell(GATED4),
    products_as_output_alone: Cell(GATED4, states=TWO),
    sum_of_squares: Cell(GATED4, states=TWO),
}
