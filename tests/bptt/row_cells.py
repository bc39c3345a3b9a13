"""Cells with sums of products of states and inputs, which may or may not stand in one row."""

from __future__ import annotations

from bptt.cells import RNN, TWO, WH, WX, B, Cell, F, H

from tinygrad_rnn import ops


def row(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh + w.b)
    return h, [h]


def row_without_bias(w, x, s, c):
    h = ops.tanh(s[0] @ w.Wh + x @ w.Wx)
    return h, [h]


def row_without_input(w, x, s, c):
    h = ops.tanh(s[0] @ w.Wh + w.b) * (x @ w.Wx)
    return h, [h]


def row_of_a_sum(w, x, s, c):
    h = x @ w.Wx + (w.b + s[0] @ w.Wh)  # written into the state itself
    return h, [h]


def row_with_two_biases(w, x, s, c):
    h = ops.sin((x @ w.Wx + w.b) + (s[0] @ w.Wh + w.d))
    return h, [h]


def row_of_a_sigmoid(w, x, s, c):
    h = ops.sigmoid(x @ w.Wx + s[0] @ w.Wh + w.b)
    return h, [h]


def row_of_a_softmax(w, x, s, c):
    h = ops.softmax(x @ w.Wx + s[0] @ w.Wh + w.b)
    return 2.0 * h, [h]


def row_of_a_sigmoid_and_its_argument(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh + w.b
    h = ops.sigmoid(z)
    return h * z, [h]


def row_of_two_states_and_inputs(w, xs, s, c):
    a, b = s
    z = a @ w.Wh + xs[0] @ w.Wx + w.b + b @ w.Ub + xs[1] @ w.Wy
    return z * 0.5, [ops.tanh(z), ops.sigmoid(z) * a]


def rows_of_layers(w, x, s, c):
    low = ops.tanh(x @ w.Wx + s[0] @ w.Wh + w.b)
    high = ops.tanh(low @ w.Wy + s[1] @ w.Ub + w.d)
    return high, [low, high]


def row_of_several_gates(w, x, s, c):
    z = ops.sigmoid(x @ w.Wx + s[0] @ w.Wh + w.b)
    n = ops.tanh(x @ w.Wz + s[0] @ w.Ub + w.d)
    h = z * s[0] + (1.0 - z) * n
    return h, [h]


def row_and_the_state_once_more(w, x, s, c):
    h = ops.tanh(s[0] @ w.Wh + s[0] @ w.Ub + x @ w.Wx + w.b)
    return h, [h]


def row_read_in_other_ways(w, x, s, c):
    folded = s[0].reshape(-1, 2, 2).transpose(0, 2, 1).reshape(s[0].shape)
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh + w.b) + 0.3 * folded * x.sum(axis=1, keepdims=True)
    return (h.reshape(h.shape) @ w.Ub, s[0]), [h]


def row_to_the_output_alone(w, x, s, c):
    return x @ w.Wx + s[0] @ w.Wh + w.b, [ops.tanh(s[0] * w.d)]


def no_row_product_read_twice(w, x, s, c):
    u = s[0] @ w.Wh
    h = ops.tanh(x @ w.Wx + u + w.b) * ops.sigmoid(u)
    return h, [h]


def no_row_other_term_of_the_input(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh + w.b + x[:, :1] * w.d)
    return h, [h]


def no_row_state_in_two_sums(w, x, s, c):
    h = ops.tanh(s[0] @ w.Wh + w.b) + ops.sigmoid(s[0] @ w.Ub + x @ w.Wx)
    return h, [h]


UB, WY, D = {"Ub": (H, H)}, {"Wy": (H, H)}, {"d": (H,)}
CELLS = {
    row: Cell({**RNN, **B}),
    row_without_bias: Cell(RNN),
    row_without_input: Cell({**RNN, **B}),
    row_of_a_sum: Cell({**RNN, **B}),
    row_with_two_biases: Cell({**RNN, **B, **D}),
    row_of_a_sigmoid: Cell({**RNN, **B}),
    row_of_a_softmax: Cell({**RNN, **B}),
    row_of_a_sigmoid_and_its_argument: Cell({**RNN, **B}),
    row_of_two_states_and_inputs: Cell({**RNN, **B, **UB, "Wy": (2, H)}, xs=((F,), (2,)), states=TWO),
    rows_of_layers: Cell({**RNN, **B, **UB, **WY, **D}, states=TWO),
    row_of_several_gates: Cell({**WX, **WH, **B, **UB, **D, "Wz": (F, H)}),
    row_and_the_state_once_more: Cell({**RNN, **B, **UB}),
    row_read_in_other_ways: Cell({**RNN, **B, **UB}),
    row_to_the_output_alone: Cell({**RNN, **B, **D}),
    no_row_product_read_twice: Cell({**RNN, **B}),
    no_row_other_term_of_the_input: Cell({**RNN, **B, **D}),
    no_row_state_in_two_sums: Cell({**RNN, **B, **UB}),
}
