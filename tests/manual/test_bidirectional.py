"""The bidirectional and the deep RNN: gradients, direction of time, merging, errors."""

import numpy as np
import pytest

from tinygrad_rnn.manual import bidirectional, deep, simple_rnn

N_X, N_Y, M, T = 2, 4, 2, 4


def layer(rng, n_a, n_x):
    return {
        "Wax": rng.normal(size=(n_a, n_x)),
        "Waa": rng.normal(size=(n_a, n_a)),
        "ba": rng.normal(size=(n_a, 1)),
    }


def prefixed(prefix, params):
    return {f"{prefix}.{key}": value for key, value in params.items()}


def part(prefix, arrays):
    start = prefix + "."
    return {key[len(start) :]: value for key, value in arrays.items() if key.startswith(start)}


def torch_layer(p, x, a):
    import torch

    states = []
    for t in range(x.shape[2]):
        a = torch.tanh(p["Waa"] @ a + p["Wax"] @ x[:, :, t] + p["ba"])
        states.append(a)
    return torch.stack(states, dim=2)


def torch_output(a, A):
    import torch

    return torch.einsum("ya,amt->ymt", a["Wya"], A) + a["by"][:, :, None]


class Bi:
    """A small random problem, flattened to one dict so that every array can be perturbed."""

    def __init__(self, merge):
        rng = np.random.default_rng(0)
        self.merge, n_f, n_b = merge, 3, 2 if merge == "concat" else 3
        rows = n_f + n_b if merge == "concat" else n_f
        self.arrays = {
            **prefixed("forward", {**layer(rng, n_f, N_X), "a0": rng.normal(size=(n_f, M))}),
            **prefixed("backward", {**layer(rng, n_b, N_X), "a0": rng.normal(size=(n_b, M))}),
            "Wya": rng.normal(size=(N_Y, rows)),
            "by": rng.normal(size=(N_Y, 1)),
            "x": rng.normal(size=(N_X, M, T)),
        }
        self.Y = np.eye(N_Y)[:, rng.integers(N_Y, size=(M, T))]
        self.R = rng.normal(size=(N_Y, M, T))
        self.S = rng.normal(size=(rows, M, T))

    def params(self, a):
        return {"forward": part("forward", a), "backward": part("backward", a), **a}

    def run(self, function, a):
        return function(a["x"], self.params(a), a["forward.a0"], a["backward.a0"], merge=self.merge)

    def torch_states(self, a):
        import torch

        fwd = torch_layer(part("forward", a), a["x"], a["forward.a0"])
        bwd = torch_layer(part("backward", a), a["x"].flip(2), a["backward.a0"]).flip(2)
        return torch.cat([fwd, bwd]) if self.merge == "concat" else fwd + bwd

    def flat(self, gradients):
        flat = {}
        for key, value in gradients.items():
            if isinstance(value, dict):
                flat.update({f"{key}.{name[1:]}": array for name, array in value.items()})
            else:
                flat[key[1:]] = value
        return flat


@pytest.fixture(params=["concat", "sum"])
def bi(request):
    return Bi(request.param)


def test_gradients_of_the_loss(agree, bi):
    import torch

    _, cache = bi.run(bidirectional.forward, bi.arrays)

    def loss(a):
        return -(bi.Y * np.log(bi.run(bidirectional.forward, a)[0])).sum()

    def torch_loss(a):
        log = torch.log_softmax(torch_output(a, bi.torch_states(a)), dim=0)
        return -(torch.tensor(bi.Y) * log).sum()

    gradients = bidirectional.loss_backward(bi.Y, cache)
    assert set(gradients) == {"forward", "backward", "dWya", "dby", "dx"}
    assert set(gradients["forward"]) == {"dWax", "dWaa", "dba", "da0"} == set(gradients["backward"])
    agree(bi.arrays, loss, bi.flat(gradients), torch_loss)


def test_gradients_of_any_output(agree, bi):
    import torch

    _, cache = bi.run(bidirectional.forward, bi.arrays)
    agree(
        bi.arrays,
        lambda a: (bi.R * bi.run(bidirectional.forward, a)[0]).sum(),
        bi.flat(bidirectional.backward(bi.R, cache)),
        lambda a: (torch.tensor(bi.R) * torch.softmax(torch_output(a, bi.torch_states(a)), dim=0)).sum(),
    )


def test_gradients_of_the_merged_states(agree, bi):
    import torch

    arrays = {key: value for key, value in bi.arrays.items() if key not in ("Wya", "by")}
    _, cache = bi.run(bidirectional.merge_forward, arrays)
    agree(
        arrays,
        lambda a: (bi.S * bi.run(bidirectional.merge_forward, a)[0]).sum(),
        bi.flat(bidirectional.merge_backward(bi.S, cache)),
        lambda a: (torch.tensor(bi.S) * bi.torch_states(a)).sum(),
    )


def test_compute_loss_is_the_cross_entropy(bi):
    Y_hat, _ = bi.run(bidirectional.forward, bi.arrays)
    np.testing.assert_allclose(Y_hat.sum(axis=0), 1, rtol=1e-14)
    loss = bidirectional.compute_loss(Y_hat, bi.Y)
    assert loss == pytest.approx(-np.log(Y_hat[bi.Y == 1]).sum(), rel=1e-14)


def test_each_direction_sees_its_own_side(bi):
    A, _ = bi.run(bidirectional.merge_forward, bi.arrays)
    moved = {**bi.arrays, "x": bi.arrays["x"].copy()}
    moved["x"][:, :, 1] += 1
    changed = np.abs(bi.run(bidirectional.merge_forward, moved)[0] - A).max(axis=1) > 0
    if bi.merge == "concat":
        assert changed[:3].all(axis=0).tolist() == [False, True, True, True]
        assert changed[3:].all(axis=0).tolist() == [True, True, False, False]
        assert changed[:3].any(axis=0).tolist() == [False, True, True, True]
        assert changed[3:].any(axis=0).tolist() == [True, True, False, False]
    else:
        assert changed.all()


def test_initial_states_are_zero_unless_given():
    one = Bi("concat")
    zeros = {**one.arrays, "forward.a0": np.zeros((3, M)), "backward.a0": np.zeros((2, M))}
    explicit, _ = one.run(bidirectional.forward, zeros)
    implicit, _ = bidirectional.forward(zeros["x"], one.params(zeros))
    assert np.array_equal(explicit, implicit)


def test_bidirectional_dtype_and_errors():
    one = Bi("sum")
    a = {key: value.astype(np.float32) for key, value in one.arrays.items()}
    Y_hat, cache = one.run(bidirectional.forward, a)
    gradients = one.flat(bidirectional.backward(Y_hat, cache))
    assert {Y_hat.dtype, *(g.dtype for g in gradients.values())} == {np.dtype(np.float32)}
    params = one.params(one.arrays)
    x = one.arrays["x"]
    with pytest.raises(ValueError, match="merge: expected 'concat' or 'sum', received 'mul'"):
        bidirectional.forward(x, params, merge="mul")
    with pytest.raises(ValueError, match=r"Wya: expected|X: expected shape .* received \(6, 2, 4\)"):
        bidirectional.forward(x, params)
    with pytest.raises(KeyError, match="missing parameters: backward; received: forward"):
        bidirectional.merge_forward(x, {"forward": params["forward"]})
    with pytest.raises(ValueError, match="states of the backward direction: expected shape"):
        other = {**params, "backward": layer(np.random.default_rng(0), 2, N_X)}
        bidirectional.merge_forward(x, other, merge="sum")
    with pytest.raises(ValueError, match=r"X: expected at least one time step"):
        bidirectional.forward(x[:, :, :0], params, merge="sum")
    with pytest.raises(ValueError, match=r"Y: expected shape .* = \(4, 2, 4\), received \(4, 2, 3\)"):
        bidirectional.loss_backward(one.Y[:, :, :3], cache)
    with pytest.raises(ValueError, match=r"dA: expected shape .* = \(3, 2, 4\)"):
        bidirectional.merge_backward(np.zeros((6, 2, 4)), cache.states)


# ---- the deep RNN of seed 002

SIZES = (3, 2, 4)


def deep_arrays():
    rng = np.random.default_rng(1)
    arrays, n_in = {}, N_X
    for index, n in enumerate(SIZES):
        arrays |= prefixed(str(index), {**layer(rng, n, n_in), "a0": rng.normal(size=(n, M))})
        n_in = n
    arrays |= {"Wya": rng.normal(size=(N_Y, n_in)), "by": rng.normal(size=(N_Y, 1))}
    arrays["x"] = rng.normal(size=(N_X, M, T))
    return arrays, np.eye(N_Y)[:, rng.integers(N_Y, size=(M, T))], rng.normal(size=(N_Y, M, T))


def run_deep(a):
    layers = [part(str(index), a) for index in range(len(SIZES))]
    return deep.forward(a["x"], {"layers": layers, **a}, [p["a0"] for p in layers])


def torch_deep(a):
    A = a["x"]
    for index in range(len(SIZES)):
        p = part(str(index), a)
        A = torch_layer(p, A, p["a0"])
    return torch_output(a, A)


def flat_deep(gradients):
    flat = {key[1:]: value for key, value in gradients.items() if key != "layers"}
    for index, p in enumerate(gradients["layers"]):
        flat |= {f"{index}.{key[1:]}": value for key, value in p.items()}
    return flat


@pytest.mark.parametrize("kind", ["loss", "output"])
def test_gradients_of_the_deep_rnn(agree, kind):
    import torch

    arrays, Y, R = deep_arrays()
    _, cache = run_deep(arrays)
    if kind == "loss":
        gradients = deep.loss_backward(Y, cache)

        def loss(a):
            return -(Y * np.log(run_deep(a)[0])).sum()

        def torch_loss(a):
            return -(torch.tensor(Y) * torch.log_softmax(torch_deep(a), dim=0)).sum()
    else:
        gradients = deep.backward(R, cache)

        def loss(a):
            return (R * run_deep(a)[0]).sum()

        def torch_loss(a):
            return (torch.tensor(R) * torch.softmax(torch_deep(a), dim=0)).sum()

    agree(arrays, loss, flat_deep(gradients), torch_loss)


def test_deep_rnn_feeds_each_layer_with_the_one_below():
    arrays, _, _ = deep_arrays()
    _, cache = run_deep(arrays)
    A = arrays["x"]
    for index, steps in enumerate(cache.layers):
        p = part(str(index), arrays)
        A, _ = simple_rnn.forward(A, p["a0"], p)
        assert np.array_equal(A, np.stack([step.a for step in steps], axis=2))


def test_deep_rnn_errors():
    arrays, _, _ = deep_arrays()
    layers = [part(str(index), arrays) for index in range(3)]
    with pytest.raises(ValueError, match="received 3 layers and 1 states"):
        deep.forward(arrays["x"], {"layers": layers, **arrays}, [np.zeros((3, M))])
    with pytest.raises(ValueError, match="at least one layer"):
        deep.forward(arrays["x"], {"layers": [], **arrays})
    with pytest.raises(KeyError, match="missing parameters: layers"):
        deep.forward(arrays["x"], {"Wya": arrays["Wya"]})
    with pytest.raises(ValueError, match=r"X: expected shape .* = \(3, any, any\), received \(2, "):
        deep.forward(arrays["x"], {"layers": layers[1:], **arrays})
