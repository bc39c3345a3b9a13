"""Known recurrent cells, from the plain one to attention: step functions and the shapes of their weights."""

from __future__ import annotations

from bptt.cells import GATED3, GATED4, RNN, TWO, WX, B, Cell, F, H, M

from tinygrad_rnn import ops


def vanilla(w, x, s, c):
    h = ops.tanh(x @ w.Wx + s[0] @ w.Wh + w.b)
    return h, [h]


def lstm(w, x, s, c):
    h, cell = s
    i, f, g, o = ops.split(x @ w.Wx + h @ w.Wh + w.b, 4, axis=-1)
    cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(cell)
    return h, [h, cell]


def gru_after(w, x, s, c):
    (h,) = s
    xz, xr, xn = ops.split(x @ w.Wx + w.b, 3, axis=-1)
    hz, hr, hn = ops.split(h @ w.Wh + w.bh, 3, axis=-1)
    z, r = ops.sigmoid(xz + hz), ops.sigmoid(xr + hr)
    h = z * h + (1 - z) * ops.tanh(xn + r * hn)
    return h, [h]


def gru_of_one_bias(w, x, s, c):
    (h,) = s
    xz, xr, xn = ops.split(x @ w.Wx + w.b, 3, axis=-1)
    hz, hr, hn = ops.split(h @ w.Wh, 3, axis=-1)
    z, r = ops.sigmoid(xz + hz), ops.sigmoid(xr + hr)
    h = z * h + (1 - z) * ops.tanh(xn + r * hn)
    return h, [h]


def gru_before(w, x, s, c):
    (h,) = s
    xz, xr, xn = ops.split(x @ w.Wx + w.b, 3, axis=-1)
    uz, ur, un = ops.split(w.Wh, 3, axis=1)
    z, r = ops.sigmoid(xz + h @ uz), ops.sigmoid(xr + h @ ur)
    h = z * h + (1 - z) * ops.tanh(xn + (r * h) @ un)
    return h, [h]


def normed(x, gain, shift):
    mean = ops.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    return gain * centred / ops.sqrt(ops.mean(centred * centred, axis=-1, keepdims=True) + 1e-3) + shift


def layer_norm_lstm(w, x, s, c):
    h, cell = s
    i, f, g, o = ops.split(normed(x @ w.Wx, w.gx, w.b) + normed(h @ w.Wh, w.gh, 0.0), 4, axis=-1)
    cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(normed(cell, w.gc, w.bc))
    return h, [h, cell]


def peephole(w, x, s, c):
    h, cell = s
    i, f, g, o = ops.split(x @ w.Wx + h @ w.Wh + w.b, 4, axis=-1)
    i, f = ops.sigmoid(i + w.pi * cell), ops.sigmoid(f + w.pf * cell)
    cell = f * cell + i * ops.tanh(g)
    h = ops.sigmoid(o + w.po * cell) * ops.tanh(cell)
    return h, [h, cell]


def coupled(w, x, s, c):
    h, cell = s
    f, g, o = ops.split(x @ w.Wx + h @ w.Wh + w.b, 3, axis=-1)
    f = ops.sigmoid(f)
    cell = f * cell + (1 - f) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(cell)
    return h, [h, cell]


def minimal_gated(w, x, s, c):
    (h,) = s
    f = ops.sigmoid(x @ w.Wf + h @ w.Uf + w.b)
    h = (1 - f) * h + f * ops.tanh(x @ w.Wx + (f * h) @ w.Wh)
    return h, [h]


def ind_rnn(w, x, s, c):
    h = ops.relu(x @ w.Wx + w.u * s[0] + w.b)
    return h, [h]


def attention(w, x, s, constants):
    (h,) = s
    (memory,) = constants
    scores = ops.einsum("nmh,nh->nm", memory, h @ w.Wq)
    read = ops.einsum("nm,nmh->nh", ops.softmax(scores), memory)
    h = ops.tanh(x @ w.Wx + read @ w.Wh + h)
    return h, [h]


def attention_by_matmul(w, x, s, constants):
    (h,) = s
    (memory,) = constants
    scores = (memory @ ops.expand_dims(h @ w.Wq, -1)).squeeze(-1)
    read = (ops.expand_dims(ops.softmax(scores, axis=-1), 1) @ memory).squeeze(1)
    h = ops.tanh(x @ w.Wx + read @ w.Wh)
    return (h, scores), [h]


CELLS = {
    vanilla: Cell(RNN | B),
    lstm: Cell(GATED4, states=TWO),
    gru_after: Cell(GATED3 | {"bh": (3 * H,)}),
    gru_of_one_bias: Cell(GATED3),
    gru_before: Cell(GATED3),
    layer_norm_lstm: Cell(GATED4 | {"gx": (4 * H,), "gh": (4 * H,), "gc": (H,), "bc": (H,)}, states=TWO),
    peephole: Cell(GATED4 | {"pi": (H,), "pf": (H,), "po": (H,)}, states=TWO),
    coupled: Cell(GATED3, states=TWO),
    minimal_gated: Cell(RNN | {"Wf": (F, H), "Uf": (H, H)} | B),
    ind_rnn: Cell(WX | {"u": (H,)} | B),
    attention: Cell(RNN | {"Wq": (H, H)}, constants=((M, H),)),
    attention_by_matmul: Cell(RNN | {"Wq": (H, H)}, constants=((M, H),)),
}
