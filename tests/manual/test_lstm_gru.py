"""LSTM and GRU: the cells of seed 004, Keras's layouts, and every gradient."""

import numpy as np
import pytest

from tinygrad_rnn.manual import gru, lstm

N_X, N_H, M, T = 2, 3, 2, 4
KEYS = ("kernel", "recurrent_kernel", "bias")


def draw(gates, bias_shape, *states, seed=0):
    rng = np.random.default_rng(seed)
    arrays = {
        "kernel": rng.normal(size=(N_X, gates * N_H)),
        "recurrent_kernel": rng.normal(size=(N_H, gates * N_H)),
        "bias": rng.normal(size=bias_shape),
        "X": rng.normal(size=(N_X, M, T)),
    }
    return {**arrays, **{name: rng.normal(size=(N_H, M)) for name in states}}


# ---- oracles in torch, in Keras's own layout: rows are examples, weights stand on the right


def torch_lstm(a):
    import torch

    h, c, hs = a["h0"].T, a["c0"].T, []
    for x in a["X"].permute(2, 1, 0):  # (T, m, n_x)
        i, f, g, o = (x @ a["kernel"] + h @ a["recurrent_kernel"] + a["bias"]).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        hs.append(h)
    return torch.stack(hs).permute(2, 1, 0), c.T


def torch_gru(a):
    import torch

    h, hs, u = a["h0"].T, [], N_H
    reset_after = a["bias"].ndim == 2
    b_in = a["bias"][0] if reset_after else a["bias"]
    for x in a["X"].permute(2, 1, 0):
        xz, xr, xh = (x @ a["kernel"] + b_in).chunk(3, dim=1)
        Uz, Ur, Uh = a["recurrent_kernel"].chunk(3, dim=1)
        bz, br, bh = a["bias"][1].split(u) if reset_after else (0, 0, 0)
        z = torch.sigmoid(xz + h @ Uz + bz)
        r = torch.sigmoid(xr + h @ Ur + br)
        inner = r * (h @ Uh + bh) if reset_after else (r * h) @ Uh
        h = z * h + (1 - z) * torch.tanh(xh + inner)
        hs.append(h)
    return torch.stack(hs).permute(2, 1, 0)


# ---- seed 004, reference numbers of seed-references.md section 5


def test_lstm_cell_reference():
    rng = np.random.RandomState(0)
    W, b, x, h0, c0 = (rng.randn(*s) for s in ((12, 5), (12, 1), (2, 1), (3, 1), (3, 1)))
    h, c, _ = lstm.lstm_cell(x, h0, c0, W, b)
    want_h = [-0.02081683570047385, -0.00824974056525763, -0.0735678887226395]
    want_c = [-0.4142141069347686, -0.04281413181259774, -0.07508176807254417]
    np.testing.assert_allclose(h[:, 0], want_h, rtol=1e-12)
    np.testing.assert_allclose(c[:, 0], want_c, rtol=1e-12)


def test_gru_cell_reference():
    rng = np.random.RandomState(0)
    W, b, x, h0 = (rng.randn(*s) for s in ((9, 5), (9, 1), (2, 1), (3, 1)))
    h, _ = gru.gru_cell(x, h0, W, b)
    want = [0.2931832034476239, 0.0034418753173227346, -0.786323703501718]
    np.testing.assert_allclose(h[:, 0], want, rtol=1e-12)


def test_lstm_cell_gradients(agree):
    import torch

    rng = np.random.default_rng(1)
    shapes = {"x": (2, 2), "h_prev": (3, 2), "c_prev": (3, 2), "W": (12, 5), "b": (12, 1)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    R, S = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))

    def loss(a):
        h, c, _ = lstm.lstm_cell(a["x"], a["h_prev"], a["c_prev"], a["W"], a["b"])
        return (R * h).sum() + (S * c).sum()

    def torch_loss(a):
        gates = a["W"] @ torch.vstack((a["h_prev"], a["x"])) + a["b"]
        f, i, o, g = gates.chunk(4)
        c = torch.sigmoid(f) * a["c_prev"] + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return (torch.tensor(R) * h).sum() + (torch.tensor(S) * c).sum()

    gradients = lstm.lstm_cell_backward(R, S, lstm.lstm_cell(**arrays)[2])
    agree(arrays, loss, {name: gradients["d" + name] for name in arrays}, torch_loss)


def test_gru_cell_gradients(agree):
    import torch

    rng = np.random.default_rng(2)
    shapes = {"x": (2, 2), "h_prev": (3, 2), "W": (9, 5), "b": (9, 1)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    R = rng.normal(size=(3, 2))

    def loss(a):
        return (R * gru.gru_cell(a["x"], a["h_prev"], a["W"], a["b"])[0]).sum()

    def torch_loss(a):
        x, h, W, b = a["x"], a["h_prev"], a["W"], a["b"]
        z, r = torch.sigmoid(W[:6] @ torch.vstack((h, x)) + b[:6]).chunk(2)
        candidate = torch.tanh(W[6:] @ torch.vstack((r * h, x)) + b[6:])
        return (torch.tensor(R) * ((1 - z) * h + z * candidate)).sum()

    gradients = gru.gru_cell_backward(R, gru.gru_cell(**arrays)[1])
    agree(arrays, loss, {name: gradients["d" + name] for name in arrays}, torch_loss)


# ---- Keras's layouts, through time


def test_lstm_gradients(agree):
    import torch

    arrays = draw(4, (4 * N_H,), "h0", "c0")
    rng = np.random.default_rng(9)
    R, r, s = rng.normal(size=(N_H, M, T)), rng.normal(size=(N_H, M)), rng.normal(size=(N_H, M))

    def loss(a):
        H, cache = lstm.forward(a["X"], a["h0"], a["c0"], a)
        return (R * H).sum() + (r * H[:, :, -1]).sum() + (s * cache.C[:, :, -1]).sum()

    def torch_loss(a):
        H, c = torch_lstm(a)
        ends = (torch.tensor(r) * H[:, :, -1]).sum() + (torch.tensor(s) * c).sum()
        return (torch.tensor(R) * H).sum() + ends

    H, cache = lstm.forward(arrays["X"], arrays["h0"], arrays["c0"], arrays)
    assert H.shape == cache.C.shape == (N_H, M, T)
    gradients = lstm.backward(R, cache, dh_last=r, dc_last=s)
    assert set(gradients) == {"dkernel", "drecurrent_kernel", "dbias", "dX", "dh0", "dc0"}
    agree(arrays, loss, {name: gradients["d" + name] for name in arrays}, torch_loss)


@pytest.mark.parametrize("bias_shape", [(2, 3 * N_H), (3 * N_H,)], ids=["after", "before"])
def test_gru_gradients(agree, bias_shape):
    import torch

    arrays = draw(3, bias_shape, "h0")
    rng = np.random.default_rng(9)
    R, r = rng.normal(size=(N_H, M, T)), rng.normal(size=(N_H, M))

    def loss(a):
        H, _ = gru.forward(a["X"], a["h0"], a)
        return (R * H).sum() + (r * H[:, :, -1]).sum()

    def torch_loss(a):
        H = torch_gru(a)
        return (torch.tensor(R) * H).sum() + (torch.tensor(r) * H[:, :, -1]).sum()

    H, cache = gru.forward(arrays["X"], arrays["h0"], arrays)
    assert H.shape == (N_H, M, T)
    gradients = gru.backward(R, cache, dh_last=r)
    assert set(gradients) == {"dkernel", "drecurrent_kernel", "dbias", "dX", "dh0"}
    agree(arrays, loss, {name: gradients["d" + name] for name in arrays}, torch_loss)


def test_omitted_final_gradients_are_zero():
    arrays = draw(4, (4 * N_H,), "h0", "c0")
    R, zero = np.ones((N_H, M, T)), np.zeros((N_H, M))
    _, cache = lstm.forward(arrays["X"], arrays["h0"], arrays["c0"], arrays)
    short, full = lstm.backward(R, cache), lstm.backward(R, cache, zero, zero)
    assert all(np.array_equal(short[key], full[key]) for key in full)
    arrays = draw(3, (3 * N_H,), "h0")
    _, steps = gru.forward(arrays["X"], arrays["h0"], arrays)
    short, full = gru.backward(R, steps), gru.backward(R, steps, zero)
    assert all(np.array_equal(short[key], full[key]) for key in full)


def test_stacked_and_keras_forms_are_the_same_lstm():
    arrays = draw(4, (4 * N_H,), "h0", "c0")
    i, f, g, o = np.arange(4 * N_H).reshape(4, N_H)
    rows = np.concatenate([f, i, o, g])
    Wh, Wx = arrays["recurrent_kernel"].T[rows], arrays["kernel"].T[rows]
    h, c = arrays["h0"], arrays["c0"]
    H, cache = lstm.forward(arrays["X"], h, c, arrays)
    for t in range(T):
        bias = arrays["bias"][rows][:, None]
        h, c, _ = lstm.lstm_cell(arrays["X"][:, :, t], h, c, np.hstack([Wh, Wx]), bias)
        np.testing.assert_allclose(h, H[:, :, t], rtol=1e-12)
        np.testing.assert_allclose(c, cache.C[:, :, t], rtol=1e-12)


def test_stacked_gru_is_keras_reset_before_with_the_update_gate_reversed():
    arrays = draw(3, (3 * N_H,), "h0")
    signs = np.repeat([-1.0, 1.0, 1.0], N_H)  # 1 - sigmoid(a) = sigmoid(-a)
    Wh, Wx = (arrays["recurrent_kernel"] * signs).T, (arrays["kernel"] * signs).T
    h = arrays["h0"]
    H, _ = gru.forward(arrays["X"], h, arrays)
    for t in range(T):
        bias = (arrays["bias"] * signs)[:, None]
        h, _ = gru.gru_cell(arrays["X"][:, :, t], h, np.hstack([Wh, Wx]), bias)
        np.testing.assert_allclose(h, H[:, :, t], rtol=1e-12)


def test_reset_variants_differ():
    one = draw(3, (3 * N_H,), "h0")
    two = {**one, "bias": np.stack([one["bias"], np.zeros(3 * N_H)])}
    before, _ = gru.forward(one["X"], one["h0"], one)
    after, _ = gru.forward(two["X"], two["h0"], two)
    assert np.abs(before - after).max() > 1e-3


# ---- dtypes, extremes, sizes, errors


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype):
    for gates, bias in ((4, (4 * N_H,)), (3, (2, 3 * N_H)), (3, (3 * N_H,))):
        a = {key: value.astype(dtype) for key, value in draw(gates, bias, "h0", "c0").items()}
        if gates == 4:
            H, cache = lstm.forward(a["X"], a["h0"], a["c0"], a)
            gradients = lstm.backward(H, cache)
        else:
            H, steps = gru.forward(a["X"], a["h0"], a)
            gradients = gru.backward(H, steps)
        assert {H.dtype, *(g.dtype for g in gradients.values())} == {np.dtype(dtype)}


def test_extremes_are_stable():
    with np.errstate(all="raise"):
        a = draw(4, (4 * N_H,), "h0", "c0")
        H, cache = lstm.forward(1e4 * a["X"], a["h0"], a["c0"], a)
        gradients = lstm.backward(H, cache)
        assert all(np.isfinite(g).all() for g in gradients.values())
        a = draw(3, (2, 3 * N_H), "h0")
        H, steps = gru.forward(1e4 * a["X"], a["h0"], a)
        gradients = gru.backward(H, steps)
        assert all(np.isfinite(g).all() for g in gradients.values())


def test_an_empty_batch_has_zero_gradients():
    a = draw(4, (4 * N_H,), "h0", "c0")
    X, h0 = a["X"][:, :0], a["h0"][:, :0]
    H, cache = lstm.forward(X, h0, h0, a)
    assert H.shape == (N_H, 0, T)
    assert not any(g.any() for g in lstm.backward(H, cache).values())
    a = draw(3, (2, 3 * N_H), "h0")
    H, steps = gru.forward(X, h0, a)
    assert not any(g.any() for g in gru.backward(H, steps).values())


def test_errors_name_the_shapes():
    a = draw(4, (4 * N_H,), "h0", "c0")
    forward = lstm.forward
    with pytest.raises(ValueError, match=r"X: expected shape \(n_x, m, T\) = \(2, any, any\)"):
        forward(a["X"][:1], a["h0"], a["c0"], a)
    with pytest.raises(ValueError, match=r"X: expected at least one time step"):
        forward(a["X"][:, :, :0], a["h0"], a["c0"], a)
    with pytest.raises(ValueError, match=r"c0: expected shape \(n_h, m\) = \(3, 2\), .* \(2, 2\)"):
        forward(a["X"], a["h0"], a["c0"][:2], a)
    with pytest.raises(ValueError, match=r"bias: expected shape \(four_n_h,\) = \(12,\)"):
        forward(a["X"], a["h0"], a["c0"], {**a, "bias": np.zeros(9)})
    with pytest.raises(ValueError, match=r"kernel: .* \(any, 12\), received \(2, 9\)"):
        forward(a["X"], a["h0"], a["c0"], {**a, "kernel": np.zeros((2, 9))})
    with pytest.raises(KeyError, match="missing parameters: bias; received: kernel"):
        forward(a["X"], a["h0"], a["c0"], {"kernel": 0, "recurrent_kernel": 0})
    _, cache = forward(a["X"], a["h0"], a["c0"], a)
    with pytest.raises(ValueError, match=r"dH: expected shape \(n_h, m, T\) = \(3, 2, 4\)"):
        lstm.backward(np.zeros((3, 2, 5)), cache)
    with pytest.raises(ValueError, match=r"dc_last: expected shape \(n_h, m\) = \(3, 2\)"):
        lstm.backward(np.zeros((3, 2, 4)), cache, dc_last=np.zeros((3, 1)))
    g = draw(3, (2, 3 * N_H), "h0")
    with pytest.raises(ValueError, match=r"bias: expected shape \(two, three_n_h\) = \(2, 9\)"):
        gru.forward(g["X"], g["h0"], {**g, "bias": np.zeros((3, 9))})
    with pytest.raises(ValueError, match=r"W: expected shape .* = \(9, 5\), received \(12, 5\)"):
        gru.gru_cell(np.zeros((2, 1)), np.zeros((3, 1)), np.zeros((12, 5)), np.zeros((9, 1)))
    with pytest.raises(ValueError, match=r"W: expected shape .* = \(12, 5\), received \(9, 5\)"):
        zeros = np.zeros((3, 1))
        lstm.lstm_cell(np.zeros((2, 1)), zeros, zeros, np.zeros((9, 5)), np.zeros((12, 1)))
