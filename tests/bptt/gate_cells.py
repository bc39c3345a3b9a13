"""Cells whose gates are sums of products, written in the ways in which people write them."""

from __future__ import annotations

from bptt.cells import GATED3, GATED4, TWO, B, Cell, F, H

from tinygrad_rnn import ops


def _lstm(gates, c):
    i, f, g, o = gates
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, [h, c]


def _gru(h, r, z, x_n, h_n):
    n = ops.tanh(x_n + ops.sigmoid(r) * h_n)
    h = n + ops.sigmoid(z) * (h - n)
    return h, [h]


def gates_by_slices(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh + w.b
    return _lstm([z[:, k * H : (k + 1) * H] for k in range(4)], s[1])


def gates_by_slices_in_another_order(w, x, s, c):
    z = w.b + (s[0] @ w.Wh + x @ w.Wx)
    o, g, f, i = z[:, -H:], z[:, 2 * H : 3 * H], z[:, H : 2 * H], z[:, :H]
    return _lstm([i, f, g, o], s[1])


def gates_by_reshape(w, x, s, c):
    z = (x @ w.Wx + s[0] @ w.Wh + w.b).reshape(-1, 4, H)
    return _lstm([z[:, 0], z[:, 1], z[:, 2], z[:, -1]], s[1])


def gates_unstacked(w, x, s, c):
    z = ops.reshape(x @ w.Wx + s[0] @ w.Wh + w.b, (-1, 4, H))
    return _lstm(ops.unstack(z, axis=1), s[1])


def gates_of_two_splits(w, x, s, c):
    from_x, from_h = ops.split(x @ w.Wx + w.b, 4, axis=1), ops.split(s[0] @ w.Wh, 4, axis=-1)
    return _lstm([a + b for a, b in zip(from_h, from_x, strict=True)], s[1])


def gates_apart(w, x, s, c):
    return _lstm(
        [x @ getattr(w, f"W{k}") + s[0] @ getattr(w, f"U{k}") + getattr(w, f"b{k}") for k in "ifgo"], s[1]
    )


def gates_apart_of_joined_inputs(w, x, s, c):
    row = ops.concatenate([s[0], x], axis=1)
    return _lstm([row @ getattr(w, f"V{k}") + getattr(w, f"b{k}") for k in "ifgo"], s[1])


def gates_apart_with_peepholes(w, x, s, c):
    h, cell = s
    i = ops.sigmoid(x @ w.Wi + h @ w.Ui + cell * w.pi + w.bi)
    f = ops.sigmoid(x @ w.Wf + h @ w.Uf + cell * w.pf + w.bf)
    cell = f * cell + i * ops.tanh(x @ w.Wg + h @ w.Ug + w.bg)
    h = ops.sigmoid(x @ w.Wo + h @ w.Uo + cell * w.po + w.bo) * ops.tanh(cell)
    return h, [h, cell]


def gates_of_which_one_has_a_bias(w, x, s, c):
    i, f, g, o = (x @ getattr(w, f"W{k}") + s[0] @ getattr(w, f"U{k}") for k in "ifgo")
    return _lstm([i, f + w.bf, g, o + 1.0], s[1])


def gates_of_states_of_their_own(w, x, s, c):
    """As with recurrent dropout: each gate has the state with other elements left out."""
    of_h = [(s[0] * mask) @ w.Wh[:, k * H : (k + 1) * H] for k, mask in enumerate(c)]
    return _lstm(ops.split(x @ w.Wx + w.b + ops.concatenate(of_h, axis=-1), 4, axis=-1), s[1])


def gates_of_different_widths(w, x, s, c):
    z = ops.sigmoid(x @ w.wx + s[0] @ w.wh)  # one for all units
    n = ops.tanh(x @ w.Wx + s[0] @ w.Wh + w.b)
    h = z * s[0] + (1.0 - z) * n
    return h, [h]


def gru_apart(w, x, s, c):
    (h,) = s
    r, z = (
        x @ getattr(w, f"W{k}") + getattr(w, f"b{k}") + (h @ getattr(w, f"U{k}") + getattr(w, f"c{k}"))
        for k in "ro"
    )
    return _gru(h, r, z, x @ w.Wi + w.bi, h @ w.Ui + w.ci)


def gru_by_slices(w, x, s, c):
    (h,) = s
    a, b = x @ w.Wx + w.b, h @ w.Wh + w.bh
    r, z = (a[:, cut] + b[:, cut] for cut in (slice(H), slice(H, 2 * H)))
    return _gru(h, r, z, a[:, 2 * H :], b[:, 2 * H :])


def gru_with_the_candidate_first(w, x, s, c):
    (h,) = s
    x_n, x_r, x_z = ops.split(x @ w.Wx + w.b, 3, axis=1)
    h_n, h_r, h_z = ops.split(h @ w.Wh + w.bh, 3, axis=1)
    return _gru(h, x_r + h_r, x_z + h_z, x_n, h_n)


def gru_before(w, x, s, c):
    (h,) = s
    r, z = (
        ops.sigmoid(x @ getattr(w, f"W{k}") + h @ getattr(w, f"U{k}") + getattr(w, f"b{k}")) for k in "ro"
    )
    n = ops.tanh(x @ w.Wi + (r * h) @ w.Ui + w.bi)
    h = (1.0 - z) * n + z * h
    return h, [h]


def gates_that_are_states(w, x, s, c):
    a, b = x @ w.Wi + s[0] @ w.Ui + w.bi, x @ w.Wo + s[0] @ w.Uo + w.bo
    return a * b, [ops.tanh(a) + s[1], b]


def gates_and_what_only_the_output_reads(w, x, s, c):
    i, n, y = (s[0] @ getattr(w, f"U{k}") + getattr(w, f"b{k}") for k in "ifo")
    h = ops.sigmoid(i) * s[0] + ops.tanh(n + x @ w.Wi)
    return y * h, [h]


def gates_of_two_layers(w, x, s, c):
    low = ops.sigmoid(x @ w.Wi + s[0] @ w.Ui) * ops.tanh(x @ w.Wf + s[0] @ w.Uf + w.bf)
    high = ops.sigmoid(low @ w.Ug + s[1] @ w.Uo + w.bo) * ops.tanh(low @ w.low + s[1] @ w.high)
    return high, [low, high]


def gates_with_a_factor_twice(w, x, s, c):
    a = x @ w.Wi + s[0] @ w.Ui + s[0] @ w.Uf + w.bi
    b = x @ w.Wo + s[0] @ w.Uo + s[0] @ w.Ug + w.bo
    return _gru(s[0], a, b, a[:, :1], b)


def columns_read_twice(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh + w.b
    i, f, g, o = z[:, :H], z[:, H : 2 * H], z[:, 2 * H : 3 * H], z[:, H : 2 * H]
    return _lstm([i, f, g, o], s[1])


def columns_that_overlap(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh + w.b
    i, f, g, o = z[:, :H], z[:, 2 : H + 2], z[:, 2 * H : 3 * H], z[:, 3 * H :]
    return _lstm([i, f, g, o], s[1])


def some_columns(w, x, s, c):
    z = x @ w.Wx + s[0] @ w.Wh + w.b
    h = ops.sigmoid(z[:, 1 : H + 1]) * s[0] + ops.tanh(z[..., 2 * H : 3 * H])
    return h, [h, s[1] * 0.5 + z.shape[0] * 0.0 + h]


def gates_of_inputs_alone(w, x, s, c):
    """Sums with two biases and with one."""
    i, f = ops.sigmoid(x @ w.Wi + w.bi + w.bo), ops.sigmoid(x @ w.Wf + w.bf)
    h = i * s[0] + f * ops.tanh(x @ w.Wg + w.bg)
    return h, [h]


def gates_of_half_a_sum(w, x, s, c):
    """All their gradients are multiplied by a number."""
    return _lstm(ops.split(0.5 * (x @ w.Wx + s[0] @ w.Wh + w.b), 4, axis=1), s[1])


APART = {
    **{f"W{k}": (F, H) for k in "ifgo"},
    **{f"U{k}": (H, H) for k in "ifgo"},
    **{f"b{k}": (H,) for k in "ifgo"},
}
PEEPHOLES, SECOND = {f"p{k}": (H,) for k in "ifo"}, {f"c{k}": (H,) for k in "iro"}
ROWS = {**{f"V{k}": (H + F, H) for k in "ifgo"}, **{f"b{k}": (H,) for k in "ifgo"}}
RECURRENT = {"Wr": (F, H), "Ur": (H, H), "br": (H,)}
CELLS = {
    gates_by_slices: Cell(GATED4, states=TWO),
    gates_by_slices_in_another_order: Cell(GATED4, states=TWO),
    gates_by_reshape: Cell(GATED4, states=TWO),
    gates_unstacked: Cell(GATED4, states=TWO),
    gates_of_two_splits: Cell(GATED4, states=TWO),
    gates_apart: Cell(APART, states=TWO),
    gates_apart_of_joined_inputs: Cell(ROWS, states=TWO),
    gates_apart_with_peepholes: Cell({**APART, **PEEPHOLES}, states=TWO),
    gates_of_which_one_has_a_bias: Cell(APART, states=TWO),
    gates_of_states_of_their_own: Cell(GATED4, states=TWO, constants=((H,),) * 4),
    gates_of_different_widths: Cell({"Wx": (F, H), "Wh": (H, H), "wx": (F, 1), "wh": (H, 1), **B}),
    gru_apart: Cell({**APART, **SECOND, **RECURRENT}),
    gru_by_slices: Cell({**GATED3, "bh": (3 * H,)}),
    gru_with_the_candidate_first: Cell({**GATED3, "bh": (3 * H,)}),
    gru_before: Cell({**APART, **RECURRENT}),
    gates_that_are_states: Cell(APART, states=TWO),
    gates_and_what_only_the_output_reads: Cell(APART),
    gates_of_two_layers: Cell({**APART, "low": (H, H), "high": (H, H)}, states=TWO),
    gates_with_a_factor_twice: Cell(APART),
    columns_read_twice: Cell(GATED4, states=TWO),
    columns_that_overlap: Cell(GATED4, states=TWO),
    some_columns: Cell(GATED4, states=TWO),
    gates_of_inputs_alone: Cell(APART),
    gates_of_half_a_sum: Cell(GATED4, states=TWO),
}
