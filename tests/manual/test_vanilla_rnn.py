"""The character model of seed 000 and the bare tanh cell: reference numbers, gradients, errors."""

import ast
import doctest
import importlib
import pathlib
import pkgutil

import numpy as np
import pytest

from tinygrad_rnn import manual
from tinygrad_rnn.manual import _common, dense, simple_rnn
from tinygrad_rnn.manual import vanilla_rnn as rnn

EHLO = {"e": 0, "h": 1, "l": 2, "o": 3}
HELO = {"h": 0, "e": 1, "l": 2, "o": 3}


def inverse(char_to_idx):
    return {index: char for char, index in char_to_idx.items()}


def predict(parameters, char_to_idx, a0):
    """The likeliest next character after each of "hell", fed with the true ones."""
    X, _ = rnn.preprocess_inputs("hello", char_to_idx)
    _, Y_hat, _ = rnn.forward(X, a0, parameters)
    chars = inverse(char_to_idx)
    return "".join(chars[index] for index in Y_hat[:, 0].argmax(axis=0).tolist())


@pytest.fixture
def problem():
    rng = np.random.default_rng(3)
    n_a, n_x, n_y, m, T = 3, 2, 4, 2, 5
    parameters = {
        "Wax": rng.normal(size=(n_a, n_x)),
        "Waa": rng.normal(size=(n_a, n_a)),
        "Wya": rng.normal(size=(n_y, n_a)),
        "ba": rng.normal(size=(n_a, 1)),
        "by": rng.normal(size=(n_y, 1)),
    }
    X, a0 = rng.normal(size=(n_x, m, T)), rng.normal(size=(n_a, m))
    Y = np.eye(n_y)[:, rng.integers(n_y, size=(m, T))]
    return X, Y, a0, parameters


# ---- reference numbers, seed-references.md section 4


def test_first_loss_and_gradients():
    parameters = rnn.initialize_parameters(64, 4, 4, rng=1)
    X, Y = rnn.preprocess_inputs("hello", EHLO)
    _, Y_hat, caches = rnn.forward(X, np.zeros((64, 1)), parameters)
    assert rnn.compute_loss(Y_hat, Y) == pytest.approx(5.543806547510492, rel=1e-12)
    gradients = rnn.backward(X, Y, parameters, caches)
    norms = {
        "dWax": 0.13156728915811,
        "dWaa": 0.00792780673899466,
        "dWya": 0.12334263537995,
        "dba": 0.110356827375322,
        "dby": 1.41411871445946,
    }
    for key, norm in norms.items():
        assert np.linalg.norm(gradients[key]) == pytest.approx(norm, rel=1e-12), key


def test_training_on_hello():
    parameters = rnn.initialize_parameters(64, 4, 4, rng=1)
    losses = rnn.train("hello", EHLO, parameters)  # the seed's own 100 iterations
    assert len(losses) == 100
    for index, loss in {
        1: 5.523401019307, 10: 5.357463687141, 50: 4.885343704374, 99: 4.593420223253
    }.items():  # fmt: skip
        assert losses[index] == pytest.approx(loss, rel=1e-6)
    assert predict(parameters, EHLO, np.zeros((64, 1))) == "llll"


def test_a_thousand_iterations_learn_hello():
    parameters = rnn.initialize_parameters(64, 4, 4, rng=1)
    losses = rnn.train("hello", EHLO, parameters, num_iterations=1000)
    assert losses[-1] == pytest.approx(0.0109256069838, rel=1e-6)
    assert predict(parameters, EHLO, np.zeros((64, 1))) == "ello"
    arguments = ("h", EHLO, inverse(EHLO), parameters)
    assert rnn.sample(*arguments, num_chars=5, greedy=True) == "hello"
    texts = {rnn.sample(*arguments, num_chars=5, rng=seed) for seed in range(20)}
    assert "hello" in texts


def test_small_model_with_the_vocabulary_helo():
    parameters = rnn.initialize_parameters(3, 4, 4, rng=1)
    losses = rnn.train("hello", HELO, parameters, num_iterations=2000, learning_rate=0.1)
    assert losses[0] == pytest.approx(5.54503559661152, rel=1e-12)
    assert losses[-1] == pytest.approx(0.004477607439229, rel=1e-6)
    assert predict(parameters, HELO, np.zeros((3, 1))) == "ello"


def test_global_generator_and_int_seed_draw_the_same():
    state = np.random.get_state()
    try:
        np.random.seed(1)
        drawn = rnn.initialize_parameters(3, 4, 2)
    finally:
        np.random.set_state(state)
    stream = np.random.RandomState(1)
    Wax, Waa, Wya = (stream.randn(*shape) * 0.01 for shape in ((3, 4), (3, 3), (2, 3)))
    seeded = rnn.initialize_parameters(3, 4, 2, rng=1)
    for got in (drawn, seeded):
        assert np.array_equal(got["Wax"], Wax) and np.array_equal(got["Waa"], Waa)
        assert np.array_equal(got["Wya"], Wya) and not got["ba"].any() and not got["by"].any()
    modern = rnn.initialize_parameters(3, 4, 2, rng=np.random.default_rng(1), dtype=np.float32)
    assert {p.dtype for p in modern.values()} == {np.dtype(np.float32)}


def test_simple_rnn_cell_of_seed_004():
    rng = np.random.RandomState(0)
    Wx, Wh, x, h0 = rng.randn(3, 2), rng.randn(3, 3), rng.randn(2, 1), rng.randn(3, 1)
    h, _ = rnn.rnn_cell(x, h0, Wx, Wh, np.zeros((3, 1)))
    want = [0.7748454271523468, 0.9834603965810674, -0.8702518672807065]
    np.testing.assert_allclose(h[:, 0], want, rtol=1e-12)


# ---- shapes, the dimension table of seed 002


@pytest.mark.parametrize("m", [0, 1, 5])
def test_dimension_table(m):
    n_a, n_x, n_y = 3, 2, 4
    parameters = rnn.initialize_parameters(n_a, n_x, n_y)
    a, y_hat, cache = rnn.cell_forward(np.zeros((n_x, m)), np.zeros((n_a, m)), parameters)
    assert (a.shape, y_hat.shape) == ((n_a, m), (n_y, m))
    gradients = rnn.cell_backward(y_hat, np.zeros_like(a), cache, parameters)
    assert {key: value.shape for key, value in gradients.items()} == {
        "dWax": (n_a, n_x), "dWaa": (n_a, n_a), "dba": (n_a, 1), "dx": (n_x, m),
        "da_prev": (n_a, m), "dz": (n_a, m), "dWya": (n_y, n_a), "dby": (n_y, 1),
    }  # fmt: skip
    bare = simple_rnn.cell_backward(a, simple_rnn.cell_forward(cache.xt, a, parameters)[1])
    assert set(bare) == {"dz", "dWax", "dWaa", "dba", "dx", "da_prev"}


# ---- gradients


def torch_states(a, X, a0):
    import torch

    state, states = a0, []
    for t in range(X.shape[2]):
        state = torch.tanh(a["Waa"] @ state + a["Wax"] @ X[:, :, t] + a["ba"])
        states.append(state)
    return torch.stack(states, dim=2)


def test_gradients_of_the_model(agree, problem):
    import torch

    X, Y, a0, parameters = problem
    arrays = {**parameters, "x": X, "a0": a0}
    labels = torch.tensor(Y)

    def loss(a):
        return -(Y * np.log(rnn.forward(a["x"], a["a0"], a)[1])).sum()

    def torch_loss(a):
        A = torch_states(a, a["x"], a["a0"])
        Zy = torch.einsum("ya,amt->ymt", a["Wya"], A) + a["by"][:, :, None]
        return -(labels * torch.log_softmax(Zy, dim=0)).sum()

    _, Y_hat, caches = rnn.forward(X, a0, parameters)
    assert rnn.compute_loss(Y_hat, Y) == pytest.approx(loss(arrays), rel=1e-14)
    gradients = rnn.backward(X, Y, parameters, caches)
    assert set(gradients) == {"dWaa", "dWax", "dWya", "dba", "dby", "da0", "dx"}
    agree(arrays, loss, {name: gradients["d" + name] for name in arrays}, torch_loss)


def test_gradients_against_central_differences_of_compute_loss(problem):
    X, Y, a0, parameters = problem
    gradients = rnn.backward(X, Y, parameters, rnn.forward(X, a0, parameters)[2])

    def loss(name, index, step):
        moved = {key: value.copy() for key, value in parameters.items()}
        moved[name][index] += step
        return rnn.compute_loss(rnn.forward(X, a0, moved)[1], Y)

    for name, array in parameters.items():
        for index in np.ndindex(array.shape):
            numeric = (loss(name, index, 1e-5) - loss(name, index, -1e-5)) / 2e-5
            assert gradients["d" + name][index] == pytest.approx(numeric, rel=1e-6, abs=1e-8)


def test_gradients_of_the_bare_recurrence(agree, problem):
    import torch

    X, _, a0, parameters = problem
    arrays = {**{key: parameters[key] for key in ("Wax", "Waa", "ba")}, "x": X, "a0": a0}
    rng = np.random.default_rng(5)
    R, r = rng.normal(size=(3, 2, 5)), rng.normal(size=(3, 2))

    def loss(a):
        A, _ = simple_rnn.forward(a["x"], a["a0"], a)
        return (R * A).sum() + (r * A[:, :, -1] ** 2).sum()

    def torch_loss(a):
        A = torch_states(a, a["x"], a["a0"])
        return (torch.tensor(R) * A).sum() + (torch.tensor(r) * A[:, :, -1] ** 2).sum()

    A, cache = simple_rnn.forward(X, a0, arrays)
    gradients = simple_rnn.backward(R, cache, da_last=2 * r * A[:, :, -1])
    agree(arrays, loss, {name: gradients["d" + name] for name in arrays}, torch_loss)


def test_gradients_of_one_cell(agree, problem):
    import torch

    X, _, a0, p = problem
    arrays = {"Wx": p["Wax"], "Wh": p["Waa"], "b": p["ba"], "x": X[:, :, 0], "h_prev": a0}
    R = np.random.default_rng(5).normal(size=(3, 2))

    def loss(a):
        return (R * rnn.rnn_cell(a["x"], a["h_prev"], a["Wx"], a["Wh"], a["b"])[0]).sum()

    def torch_loss(a):
        h = torch.tanh(a["Wx"] @ a["x"] + a["Wh"] @ a["h_prev"] + a["b"])
        return (torch.tensor(R) * h).sum()

    gradients = rnn.rnn_cell_backward(R, rnn.rnn_cell(**arrays)[1])
    agree(arrays, loss, {name: gradients["d" + name] for name in arrays}, torch_loss)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4)])
def test_gradients_of_the_dense_layer(agree, shape):
    import torch

    rng = np.random.default_rng(6)
    arrays = {
        "W": rng.normal(size=(4, 2)),
        "b": rng.normal(size=(4, 1)),
        "X": rng.normal(size=shape),
    }
    R = rng.normal(size=(4, *shape[1:]))

    def torch_loss(a):
        bias = a["b"].reshape(4, *[1] * (len(shape) - 1))
        return (torch.tensor(R) * (torch.einsum("yx,x...->y...", a["W"], a["X"]) + bias)).sum()

    gradients = dense.backward(R, dense.forward(arrays["X"], arrays)[1])
    agree(
        arrays,
        lambda a: (R * dense.forward(a["X"], a)[0]).sum(),
        {name: gradients["d" + name] for name in arrays},
        torch_loss,
    )


def test_backward_twice_and_interleaved_gives_the_same(problem):
    X, Y, a0, parameters = problem
    _, _, caches = rnn.forward(X, a0, parameters)
    first = rnn.backward(X, Y, parameters, caches)
    rnn.forward(X + 1, a0, parameters)
    second = rnn.backward(X, Y, parameters, caches)
    assert all(np.array_equal(first[key], second[key]) for key in first)


# ---- one iteration


def test_optimize_clips_updates_and_carries_the_state(problem):
    X, Y, a0, parameters = problem
    before = {key: value.copy() for key, value in parameters.items()}
    A, Y_hat, caches = rnn.forward(X, a0, parameters)
    gradients = rnn.backward(X, Y, parameters, caches)
    a_last, loss = rnn.optimize(X, Y, a0, parameters, learning_rate=0.1, clip_value=0.5)
    assert np.array_equal(a_last, A[:, :, -1]) and loss == rnn.compute_loss(Y_hat, Y)
    assert max(np.abs(gradients["d" + key]).max() for key in before) > 0.5
    for key, value in before.items():
        expected = value - 0.1 * np.clip(gradients["d" + key], -0.5, 0.5)
        np.testing.assert_array_equal(parameters[key], expected)


def test_clip_leaves_its_argument_alone():
    gradients = {"dby": np.array([[-7.0], [2.0], [np.nan]])}
    clipped = rnn.clip(gradients, 5)
    np.testing.assert_array_equal(clipped["dby"], [[-5.0], [2.0], [np.nan]])
    assert gradients["dby"][0, 0] == -7
    with pytest.raises(ValueError, match="max_value: expected a positive number, received 0"):
        rnn.clip(gradients, 0)


def test_a_missing_gradient_changes_no_parameter():
    parameters = {"Wax": np.ones((1, 1)), "by": np.ones((1, 1))}
    with pytest.raises(KeyError, match="missing parameters: dby; received: dWax"):
        rnn.update_parameters(parameters, {"dWax": np.ones((1, 1))}, 0.1)
    assert parameters["Wax"].item() == 1


def test_train_starts_from_a0_and_carries_on():
    X, Y = rnn.preprocess_inputs("hello", EHLO)
    one, two = (rnn.initialize_parameters(5, 4, 4, rng=2) for _ in range(2))
    a = a0 = np.full((5, 1), 0.3)
    losses = []
    for _ in range(3):
        a, loss = rnn.optimize(X, Y, a, one, 0.5, 5)
        losses.append(loss)
    assert rnn.train("hello", EHLO, two, 3, 0.5, 5, a0=a0) == losses


def test_sample_draws_from_the_predicted_distribution():
    parameters = rnn.initialize_parameters(2, 2, 2, rng=1)
    parameters["by"] = np.log([[0.25], [0.75]])
    parameters["Wya"][:] = 0
    text = rnn.sample("a", {"a": 0, "b": 1}, {0: "a", 1: "b"}, parameters, num_chars=4000, rng=1)
    assert len(text) == 4000 and text.count("b") == pytest.approx(3000, abs=120)
    again = rnn.sample("a", {"a": 0, "b": 1}, {0: "a", 1: "b"}, parameters, num_chars=4000, rng=1)
    assert text == again
    assert rnn.sample("a", {"a": 0, "b": 1}, {0: "a", 1: "b"}, parameters, num_chars=1) == "a"


# ---- numbers at the edge, dtypes, errors


def test_extremes_are_stable():
    with np.errstate(all="raise"):
        z = np.array([-1e4, -745.0, 0.0, 745.0, 1e4])
        assert _common.sigmoid(z)[[0, 2, 4]].tolist() == [0, 0.5, 1]
        assert _common.sigmoid(np.float32([-1e30, 1e30])).tolist() == [0, 1]
        assert _common.softmax(np.array([[1e4], [-1e4], [1e4]])).tolist() == [[0.5], [0.0], [0.5]]
        np.testing.assert_allclose(_common.sigmoid(np.array([-40.0])), np.exp(-40.0), rtol=1e-15)
        parameters = rnn.initialize_parameters(3, 4, 4, rng=1)
        for array in parameters.values():
            array *= 1e6
        X, Y = rnn.preprocess_inputs("hello", EHLO)
        _, Y_hat, caches = rnn.forward(1e4 * X, np.zeros((3, 1)), parameters)
        assert np.isfinite(rnn.compute_loss(Y_hat, Y))
        gradients = rnn.backward(1e4 * X, Y, parameters, caches)
        assert all(np.isfinite(g).all() for g in gradients.values())


def test_dtype_is_kept(problem):
    X, Y, a0, parameters = problem
    for dtype in (np.float32, np.float64):
        cast = {key: value.astype(dtype) for key, value in parameters.items()}
        A, Y_hat, caches = rnn.forward(X.astype(dtype), a0.astype(dtype), cast)
        gradients = rnn.backward(X.astype(dtype), Y.astype(dtype), cast, caches)
        dtypes = {A.dtype, Y_hat.dtype, *(g.dtype for g in gradients.values())}
        assert dtypes == {np.dtype(dtype)}
    small = rnn.initialize_parameters(3, 4, 4, rng=1, dtype=np.float32)
    rnn.train("hello", EHLO, small, num_iterations=2)
    assert {p.dtype for p in small.values()} == {np.dtype(np.float32)}
    assert len(rnn.sample("h", EHLO, inverse(EHLO), small, num_chars=9, rng=0)) == 9


def test_errors_about_text():
    with pytest.raises(ValueError, match=r"position 3: character 'p' is not in .* 'ehlo'"):
        rnn.preprocess_inputs("help", EHLO)
    for text in ("", "h"):
        with pytest.raises(ValueError, match=f"at least 2 characters, received {len(text)}"):
            rnn.preprocess_inputs(text, EHLO)
    parameters = rnn.initialize_parameters(3, 4, 4)
    with pytest.raises(ValueError, match="start_char: character 'T' is not in the vocabulary"):
        rnn.sample("T", EHLO, inverse(EHLO), parameters)
    with pytest.raises(ValueError, match="num_chars: expected at least 1, received 0"):
        rnn.sample("h", EHLO, inverse(EHLO), parameters, num_chars=0)
    with pytest.raises(ValueError, match=r"index 4 at position 1 is outside the valid range 0..3"):
        rnn.preprocess_inputs("ho", {**EHLO, "o": 4})


def test_errors_about_shapes(problem):
    X, Y, a0, parameters = problem
    with pytest.raises(ValueError, match=r"X: expected shape \(n_x, m, T_x\) = \(2, any, any\), rec"):
        rnn.forward(X[:, :, 0], a0, parameters)
    with pytest.raises(ValueError, match=r"a0: expected shape \(n_a, m\) = \(3, 2\), rec.* \(3, 1\)"):
        rnn.forward(X, a0[:, :1], parameters)
    with pytest.raises(ValueError, match=r"X: expected at least one time step, .* \(2, 2, 0\)"):
        rnn.forward(X[:, :, :0], a0, parameters)
    with pytest.raises(ValueError, match=r"Wya: expected shape \(n_y, n_a\) = \(any, 3\)"):
        rnn.forward(X, a0, {**parameters, "Wya": np.ones((4, 2))})
    with pytest.raises(ValueError, match=r"ba: expected shape \(n_a, one\) = \(3, 1\), rec.* \(3,\)"):
        rnn.forward(X, a0, {**parameters, "ba": np.ones(3)})
    with pytest.raises(KeyError, match="missing parameters: Wya; received: Wax"):
        rnn.forward(X, a0, {key: value for key, value in parameters.items() if key != "Wya"})
    _, Y_hat, caches = rnn.forward(X, a0, parameters)
    with pytest.raises(ValueError, match=r"Y: expected shape .* = \(4, 2, 5\), received \(4, 2, 4\)"):
        rnn.backward(X, Y[:, :, :4], parameters, caches)
    with pytest.raises(ValueError, match=r"X: expected shape .* = \(2, 2, 5\)"):
        rnn.backward(X[:, :, :4], Y, parameters, caches)
    with pytest.raises(ValueError, match=r"Y: expected shape"):
        rnn.compute_loss(Y_hat, Y[:, :1])
    with pytest.raises(ValueError, match=r"da_next: expected shape \(n_a, m\) = \(3, 2\)"):
        rnn.cell_backward(Y[:, :, 0], a0[:, :1], caches[0], parameters)


# ---- the package as a textbook


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(manual.__path__)])
def test_doctests(name):
    module = importlib.import_module(f"{manual.__name__}.{name}")
    result = doctest.testmod(module)
    assert result.failed == 0 and result.attempted > 0
    for public in vars(module).values():
        if callable(public) and getattr(public, "__module__", "") == module.__name__:
            assert public.__doc__ or public.__name__.startswith("_"), public


def test_imports_numpy_and_nothing_else():
    for path in pathlib.Path(manual.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                inside = node.level == 1  # from .module import ..., never from the engine above
                names = [] if inside else ["." * node.level + (node.module or "")]
            else:
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            roots = {name.split(".")[0] for name in names}
            assert roots <= {"numpy", "collections", "typing"}, f"{path.name}: {names}"
