"""The numbers behind the plots against gradients found another way, and every plot on the Agg backend."""

from __future__ import annotations

import io
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from viz.nets import vanilla

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.datasets.text import Vocabulary
from tinygrad_rnn.manual import linear_rnn
from tinygrad_rnn.models.characters import character_model
from tinygrad_rnn.viz import curve
from tinygrad_rnn.viz.figure import THEMES, _number
from tinygrad_rnn.viz.flows import Flow, growth_factor


@pytest.fixture(autouse=True)
def figures():
    backend = matplotlib.get_backend()
    matplotlib.use("agg")
    yield
    if plt.get_fignums():
        plt.gcf().savefig(io.BytesIO(), dpi=40)  # whatever was plotted can be written, without a warning
    plt.close("all")
    matplotlib.use(backend)


def linear(w: float, steps: int = 12, marked: bool = True):
    """`h_t = w·h_{t−1} + x_t`, and the sum of the last h."""
    h, weight = tg.tensor(np.zeros((3, 1)), requires_grad=True), tg.Variable(np.float64(w))
    with tg.trace():
        for t in range(steps):
            if marked:
                with tg.step(t):
                    h = h * weight + np.ones((3, 1))
            else:
                h = h * weight + np.ones((3, 1))
        return h.sum()


def words(result, key: str) -> str:
    return next(t.get_text() for t in result.axes.get_legend().get_texts() if t.get_text().startswith(key))


# --- gradient flow --------------------------------------------------------------------------------------


@pytest.mark.parametrize("marked", [True, False], ids=["step(t)", "bare loop"])
@pytest.mark.parametrize(
    ("w", "text"),
    [(0.83, "vanishing 0.83×"), (-0.5, "vanishing 0.50×"), (1.0, "steady 1.00×"), (1.9, "exploding 1.90×")],
)
def test_the_growth_factor_of_a_linear_recurrence_is_its_weight(w, text, marked):
    loss = linear(w, marked=marked)
    for _ in range(2):  # the graph is kept
        result = tg.plot_gradient_flow(loss)
        assert result.t["h"].tolist() == list(range(12))
        np.testing.assert_allclose(result.gradients["h"], np.sqrt(3) * np.abs(w) ** np.arange(11, -1, -1.0))
        assert result.growth["h"] == pytest.approx(abs(w), rel=1e-12)
        assert text in words(result, "h")
        plt.close("all")
    loss.backward()


def test_a_slope_within_the_scatter_of_the_steps_is_steady():
    noise = np.exp(0.5 * np.random.default_rng(0).normal(size=20))
    cases = ((1.0, noise, "steady 1.01×"), (0.8, noise, "vanishing 0.81×"), (1.01, 1.0, "exploding 1.01×"))
    for growth, scatter, kind in cases:
        sizes = growth ** np.arange(20.0)[::-1] * scatter
        assert Flow(np.arange(20), sizes, growth_factor(sizes)).words.startswith(kind)


@pytest.mark.parametrize("wx, wRec", [(2, 1), (1, 2), (1, -2), (1, 0), (1, 0.5), (1, -0.5)])
def test_the_gradient_over_time_is_that_of_the_hand_derivation(wx, wRec):
    X, T = linear_rnn.make_data()
    w, r = tg.Variable(np.float64(wx)), tg.Variable(np.float64(wRec))
    S = X[:, 0] * w
    with tg.trace():
        for k in range(1, 10):
            with tg.step(k + 1):
                S = X[:, k] * w + S * r
        loss = ops.square(S - T).sum() / len(X)
    result = tg.plot_gradient_flow({"here": loss}, quantity="S", measure="sum", reverse=True)
    expected = linear_rnn.gradient_over_time(X, T, wx, wRec)[2:]
    np.testing.assert_allclose(result.gradients["here"], expected, rtol=1e-13)
    assert result.growth["here"] == pytest.approx(abs(wRec), rel=1e-12)
    assert ("alternating" in words(result, "here")) == (wRec < 0)
    assert result.axes.get_xlim()[0] > result.axes.get_xlim()[1]


def test_the_lines_of_an_lstm_are_the_gradients_of_what_follows(rng):
    layer = layers.LSTM(4, return_sequences=True, name="lstm", dtype="float64")
    x = rng.normal(size=(2, 7, 3))
    with tg.trace():
        loss = (layer(x)[:, -1] ** 2).sum()
    found = tg.plot_gradient_flow(loss, quantity="lstm.h").gradients["lstm.h"]
    h = c = np.zeros((2, 4))
    for t in range(7):  # run on from step t, with a leaf in place of h_t
        _, states = layer.step(x[:, t], [h, c])
        h, c = (s.numpy() for s in states)
        leaf = tg.tensor(h, requires_grad=True)
        last: list = [leaf, tg.tensor(c)]
        for k in range(t + 1, 7):
            _, last = layer.step(x[:, k], last)
        g = tg.grad((last[0] ** 2).sum(), leaf).numpy()
        assert found[t] == pytest.approx(np.linalg.norm(g), rel=1e-12)


def test_layers_and_directions_get_lines_of_their_own(rng):
    first = layers.LSTM(4, return_sequences=True, name="low")
    second = layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True, name="top"), name="both")
    with tg.trace():
        loss = (second(first(rng.normal(size=(2, 6, 3)).astype("float32"))) ** 2).sum()
    result = tg.plot_gradient_flow(loss)
    assert list(result.t) == ["low.h", "both/forward_top.h", "both/backward_top.h"]
    assert result.t["both/backward_top.h"].tolist() == [5, 4, 3, 2, 1, 0]
    assert list(tg.plot_gradient_flow(loss, quantity="low.c").t) == ["low.c"]
    assert list(tg.plot_gradient_flow(loss, quantity="forward_top.h").t) == ["both/forward_top.h"]
    assert len(result.axes.lines) == 6  # each with its fit


def test_a_model_brings_its_loss_and_its_modes_stay(rng):
    model = tg.Sequential([tg.Input((None, 3)), layers.GRU(4, name="gru"), layers.Dense(1)])
    x, y = rng.normal(size=(2, 5, 3)).astype("float32"), np.ones((2, 1), "float32")
    with pytest.raises(ValueError, match="has no loss: compile it"):
        tg.plot_gradient_flow(model, x, y)
    model.compile("sgd", loss="mse")
    found = tg.plot_gradient_flow(model, x, y)
    with tg.trace():
        loss = tg.losses.MeanSquaredError()(y, model(x))
    np.testing.assert_array_equal(found.gradients["gru.h"], tg.plot_gradient_flow(loss).gradients["gru.h"])
    with pytest.raises(ValueError, match="received no targets"):
        tg.plot_gradient_flow(model, x)
    with pytest.raises(ValueError, match="needs inputs"):
        tg.plot_gradient_flow(model, None, y)


def test_growth_ignores_what_is_zero_or_not_finite():
    assert growth_factor([0.0, 0.0, 4.0, 2.0, 1.0]) == pytest.approx(2)
    assert growth_factor([np.nan, 4.0, np.inf, 1.0]) == pytest.approx(2)
    assert growth_factor([0.0, 0.0, 3.0]) == 0
    assert (
        np.isnan(growth_factor([3.0]))
        and np.isnan(growth_factor([np.nan, 3.0]))
        and np.isnan(growth_factor([]))
    )
    assert np.isnan(growth_factor([3.0, 0.0]))  # the loss reads only the first step: nothing flows


@pytest.mark.parametrize("w", [1e35, 1e-35])
def test_what_no_axis_can_hold_is_drawn_at_its_border(w):
    result = tg.plot_gradient_flow(linear(np.float64(w), steps=4))
    assert result.gradients["h"][0] == pytest.approx(np.sqrt(3) * w**3) and result.growth[
        "h"
    ] == pytest.approx(w)
    assert "drawn within 1e±100" in words(result, "h") and result.axes.get_lines()[0].get_ydata()[0] in (
        1e100,
        1e-100,
    )


@pytest.mark.parametrize("w", [np.inf, np.nan])
def test_what_is_not_finite_is_said_and_drawn(w):
    result = tg.plot_gradient_flow(linear(w, steps=6))
    assert "not finite at t = 0" in words(result, "h")


def test_masked_steps_have_no_gradient(rng):
    layer = layers.SimpleRNN(3, name="rnn")
    mask = np.array([[True, True, True, False, False]])
    with tg.trace():
        loss = layer(rng.normal(size=(1, 5, 2)).astype("float32"), mask=mask).sum()
    found = tg.plot_gradient_flow(loss)
    assert (found.gradients["rnn.h"][3:] == 0).all() and (found.gradients["rnn.h"][:3] > 0).all()
    assert found.axes.get_yscale() == "symlog"


def untraced():
    return (layers.LSTM(2, name="lstm")(np.ones((1, 3, 2), "float32")) ** 2).sum()


def traced_layer():
    with tg.trace():
        return untraced()


def no_loop():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.trace():
        return (x * x).sum()


def freed():
    loss = traced_layer()
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("make", "options", "error", "text"),
    [
        (lambda: np.ones(3), {}, TypeError, "the loss as a Tensor, received ndarray"),
        (lambda: traced_layer() * np.ones(2), {}, ValueError, r"one element, received shape \(2,\)"),
        (untraced, {}, ValueError, "inside `with tg.trace\\(\\):`"),
        (lambda: tg.tensor(1.0), {}, ValueError, "was not recorded"),
        (no_loop, {}, ValueError, "there are no time steps"),
        (freed, {}, RuntimeError, "freed by an earlier backward pass"),
        (traced_layer, {"quantity": "lstn.h"}, ValueError, "Did you mean 'lstm.h'"),
        (traced_layer, {"quantity": "hh"}, ValueError, "Did you mean 'h'"),
        (traced_layer, {"quantity": "gru.h"}, ValueError, "Known: .*lstm.h"),
        (traced_layer, {"measure": "mean"}, ValueError, "'norm' or 'sum', received 'mean'"),
        (traced_layer, {"scale": "lg"}, ValueError, "received 'lg'"),
        (traced_layer, {"ax": 3}, TypeError, "must be matplotlib Axes, received int"),
        (traced_layer, {"inputs": np.ones(3)}, TypeError, "are for a model"),
        (dict, {}, ValueError, "at least one loss"),
    ],
)
def test_bad_input_of_the_gradient_flow(make, options, error, text):
    with pytest.raises(error, match=text):
        tg.plot_gradient_flow(make(), **options)


# --- activations ----------------------------------------------------------------------------------------


def test_gates_are_shown_after_their_activation(rng):
    layer = layers.LSTM(4, return_sequences=True, name="lstm", dtype="float64")
    x = rng.normal(size=(2, 5, 3))
    names = ["lstm.i", "lstm.f", "lstm.g", "lstm.o", "lstm.c", "lstm.h"]
    result = tg.plot_activations(layer, names, x, text="hello", example=1)
    W, U, b = (v.numpy() for v in layer.weights)
    h = c = np.zeros((1, 4))
    for t in range(5):
        i, f, g, o = np.split(x[1:, t] @ W + h @ U + b, 4, axis=1)
        i, f, o, g = (*(1 / (1 + np.exp(-z)) for z in (i, f, o)), np.tanh(g))
        c = f * c + i * g
        h = o * np.tanh(c)
        for name, value in zip(names, (i, f, g, o, c, h), strict=True):
            np.testing.assert_allclose(result.values[name][:, t], value[0], rtol=1e-12)
    assert [label.get_text() for label in result.axes[0].get_xticklabels()] == list("hello")
    assert len(result.axes) == 6 and result.axes[1].images[0].get_clim() == (0, 1)


def test_the_gates_of_a_gru_and_a_layer_that_runs_backwards(rng):
    x = rng.normal(size=(1, 5, 3)).astype("float32")
    layer = layers.GRU(3, name="gru")
    z = tg.plot_activations(layer, "z", x).values["gru.z"]
    assert z.shape == (3, 5) and (z > 0).all() and (z < 1).all()
    layer = layers.SimpleRNN(2, go_backwards=True, name="back")
    h = tg.plot_activations(layer, "h", x)
    assert h.t["back.h"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(h.values["back.h"][:, 0], layer(x).numpy()[0])


def test_a_character_model_reads_the_text():
    model = character_model(Vocabulary("héllo $x$\n"), "lstm", units=3, embedding=2)
    text = "héllo $x$\n"
    result = tg.plot_activations(model, "f", text=text)
    ids = Vocabulary(text).encode(text)[None]
    np.testing.assert_array_equal(
        result.values["lstm.f"], tg.plot_activations(model, "f", ids).values["lstm.f"]
    )
    assert [label.get_text() for label in result.axes.get_xticklabels()] == [
        *"héllo␣",
        r"\$",
        "x",
        r"\$",
        "↵",
    ]
    tg.plot_activations(model, "f", text="l" * 100)
    with pytest.raises(ValueError, match="does not know the character 'z'"):
        tg.plot_activations(model, "f", text="z")


def test_a_value_that_is_not_finite_is_grey_and_named():
    layer = layers.SimpleRNN(2, activation="linear", name="rnn")
    x = np.array([[[1.0], [np.inf], [np.nan]]], "float32")
    result = tg.plot_activations(layer, "h", x)
    assert result.axes.images[0].get_array().mask[:, 1:].all()
    assert {"NaN", "−∞"} & {text.get_text() for text in result.axes.texts}


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: tg.plot_activations(traced_layer(), "lstm.f", text="hello"), ValueError, "5 characters"),
        (lambda x: tg.plot_activations(traced_layer(), "lstm.f", example=1), ValueError, "no example 1"),
        (lambda x: tg.plot_activations(traced_layer(), "lstm.f", x), TypeError, "inputs are for a layer or model"),
        (lambda x: tg.plot_activations(layers.LSTM(2), "f"), ValueError, "needs inputs"),
        (lambda x: tg.plot_activations(layers.LSTM(2), "f", text="abc"), ValueError, "holds no vocabulary"),
        (lambda x: tg.plot_activations(layers.LSTM(2, name="lstm"), "lstm.ff", x), ValueError, "mean 'lstm.f'"),
        (lambda x: tg.plot_activations(layers.LSTM(2), ["f", "i"], x, ax=plt.gca()), ValueError, "takes one heat map"),
        (lambda x: tg.plot_activations(3, "f"), TypeError, "expected a Tensor"),
        (lambda x: tg.plot_input_gradients(layers.LSTM(2)), ValueError, r"expected inputs \(1, time"),
        (lambda x: tg.plot_input_gradients(layers.LSTM(2), x[0]), ValueError, "one sequence"),
        (lambda x: tg.plot_input_gradients(layers.LSTM(2), x, unit=2), ValueError, "unit must be from 0 to 1"),
        (lambda x: tg.plot_input_gradients(layers.LSTM(2), x, text="ab"), ValueError, "2 characters, but there are 5"),
        (lambda x: tg.plot_input_gradients(lambda x: x.sum(), x), ValueError, r"received shape \(\)"),
        (lambda x: tg.plot_input_gradients(traced_layer(), x), TypeError, "received Tensor"),
    ],
)  # fmt: skip
def test_bad_input_of_the_heat_maps(call, error, text):
    with pytest.raises(error, match=text):
        call(np.ones((1, 5, 3), "float32"))
    assert tg.config.mode() == tg.config.Mode()


# --- input gradients ------------------------------------------------------------------------------------


def test_input_gradients_are_the_blocks_of_the_jacobian(rng):
    layer = layers.SimpleRNN(4, return_sequences=True, dtype="float64")
    x = rng.normal(size=(1, 6, 3))
    found = tg.plot_input_gradients(layer, x, text="abcdef").gradients
    blocks = np.asarray(tg.jacobian(layer)(x))[0, :, :, 0]  # (T, units, T, features)
    np.testing.assert_allclose(found, np.sqrt((blocks**2).sum(axis=(1, 3))), rtol=1e-12)
    assert (np.triu(found, 1) == 0).all() and (found[np.tril_indices(6)] > 0).all()
    one = tg.plot_input_gradients(layer, x, unit=2).gradients
    np.testing.assert_allclose(one, np.sqrt((blocks[:, 2] ** 2).sum(axis=2)), rtol=1e-12)
    last = layers.SimpleRNN(4, dtype="float64")
    last(x)
    last.set_weights(layer.get_weights())
    np.testing.assert_allclose(tg.plot_input_gradients(last, x).gradients, found[-1:], rtol=1e-12)


def test_ids_stand_for_what_is_looked_up():
    model = character_model(Vocabulary("hello"), "gru", units=3, embedding=2)
    found = tg.plot_input_gradients(model, text="hello").gradients
    embedding, *rest = model.layers
    vectors = embedding(Vocabulary("hello").encode("hello")[None]).numpy()
    np.testing.assert_allclose(
        found, tg.plot_input_gradients(tg.Sequential(rest), vectors).gradients, rtol=1e-5
    )


# --- cost surface, history --------------------------------------------------------------------------------


def test_the_cost_surface_of_the_seed():
    X, T = linear_rnn.make_data()

    def cost(wx, wRec):
        return linear_rnn.cost(linear_rnn.forward_states(X, wx, wRec)[:, -1], T)

    path = linear_rnn.rprop(X, T)
    points = {"(1, 2)": (1, 2), "$": (1, -2)}
    levels = np.logspace(-0.2, 8, 30) - 1
    wide = tg.plot_cost_surface(cost, points=points, path=path, levels=levels)
    assert wide.cost.max() == pytest.approx(2197372450.2) and wide.cost.shape == (100, 100)
    j, i = np.unravel_index(wide.cost.argmin(), wide.cost.shape)
    assert (wide.cost.min(), wide.x[i], wide.y[j]) == (0, pytest.approx(1), pytest.approx(1))
    np.testing.assert_array_equal(wide.path, path)
    assert wide.path[-1].tolist() == [1.001355547207059, 0.9996744737846419]
    near = tg.plot_cost_surface(cost, (0, 2), (0, 2), points=[(1, 2)])
    assert near.cost.min() == pytest.approx(0.003534625040854936, rel=1e-12)
    assert near.cost.max() == pytest.approx(1071844.95)


def test_surfaces_below_zero_and_beyond_infinity():
    def f(x, y):
        return tg.tensor(np.log(x) * y)

    result = tg.plot_cost_surface(f, (-1, 3), (-2, 2), n=9)
    assert np.isnan(result.cost[:, 0]).all() and result.cost[4, 4] == 0
    assert result.cost[0, -1] == pytest.approx(-2 * np.log(3))  # rows are y
    tg.plot_cost_surface(lambda x, y: 5.0, n=3)
    figure, ax = plt.subplots()
    assert tg.plot_cost_surface(lambda x, y: x * y, n=3, ax=ax).axes is ax


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"f": 3}, TypeError, "a function of two numbers"),
        ({"f": lambda x, y: np.nan}, ValueError, "not finite at any"),
        ({"x": (1, 1)}, ValueError, "x must be an interval"),
        ({"y": (0, np.inf)}, ValueError, "y holds NaN or infinity"),
        ({"x": 3}, ValueError, "x must be given as pairs"),
        ({"n": 1}, ValueError, "n must be"),
        ({"path": [1, 2, 3]}, ValueError, "path must be given as pairs"),
        ({"path": [(0, 1), (np.nan, 1)]}, ValueError, "path holds NaN or infinity, at position 1"),
        ({"points": [(1, 2, 3)]}, ValueError, "a point must be given as pairs"),
        ({"levels": [3, 2, 1]}, ValueError, "increasing"),
        ({"scale": "log", "f": lambda x, y: x}, ValueError, "needs f > −1"),
        ({"scale": "lin"}, ValueError, "received 'lin'"),
    ],
)
def test_bad_input_of_the_cost_surface(options, error, text):
    with pytest.raises(error, match=text):
        tg.plot_cost_surface(**{"f": lambda x, y: x * x + y * y, "n": 3, **options})


def test_a_history_by_epoch():
    model = tg.Sequential([tg.Input((2,)), layers.Dense(1)])
    model.compile("sgd", loss="mse", metrics=["mae"])
    history = model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=3, validation_split=0.5, verbose=0)
    for source in (history, history.history, model):
        result = tg.plot_history(source)
        assert result.epochs.tolist() == [1, 2, 3] and len(result.axes) == 2
        assert {k: v.tolist() for k, v in result.values.items()} == history.history
    best = int(np.argmin(history.history["val_loss"])) + 1
    assert f"at epoch {best}" in result.axes[0].get_legend().get_texts()[-1].get_text()
    broken = tg.plot_history({"loss": [2.0, np.nan, 1.0, np.inf]})
    assert "(2 not finite)" in broken.axes.get_legend().get_texts()[0].get_text()
    tg.plot_history({"loss": [np.nan]}, ax=plt.figure().gca())


@pytest.mark.parametrize(
    ("history", "error", "text"),
    [
        (3, TypeError, "what fit returned"),
        ({}, ValueError, "no epochs"),
        ({"loss": []}, ValueError, "no epochs"),
        ({"loss": [1, 2], "acc": [1]}, ValueError, "equal length"),
    ],
)
def test_bad_input_of_a_history(history, error, text):
    with pytest.raises(error, match=text):
        tg.plot_history(history)


# --- around -----------------------------------------------------------------------------------------------


def test_without_matplotlib_the_pip_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    loss = traced_layer()
    calls = [
        lambda: tg.plot_gradient_flow(loss),
        lambda: tg.plot_activations(loss, "f"),
        lambda: tg.plot_input_gradients(layers.LSTM(2), np.ones((1, 2, 1), "float32")),
        lambda: tg.plot_cost_surface(lambda x, y: 1.0, n=2),
        lambda: tg.plot_history({"loss": [1.0]}),
    ]
    for call in calls:
        with pytest.raises(ImportError, match=r"pip install 'tinygrad-rnn\[plot\]'"):
            call()


def test_a_graph_tells_the_same_as_its_loss():
    with tg.trace():
        loss = untraced()
        early = tg.graph(loss)
        loss.backward(retain_graph=True)
    found = tg.plot_gradient_flow(tg.graph(loss))
    np.testing.assert_array_equal(found.gradients["lstm.h"], tg.plot_gradient_flow(loss).gradients["lstm.h"])
    tg.plot_activations(early, "lstm.f")
    fresh = tg.graph(traced_layer())
    with pytest.raises(ValueError, match="holds no gradients"):
        tg.plot_gradient_flow(fresh)


def test_plotting_leaves_the_gradients_of_leaves_alone():
    h = tg.tensor(np.zeros((3, 1)), requires_grad=True)
    with tg.trace():
        for _ in range(3):
            h = h * 0.5 + h
        loss = h.sum()
    leaf = tg.Variable(1.0)
    tg.plot_gradient_flow(loss * leaf)
    assert leaf.grad is None


def test_the_last_value_of_a_step_counts_also_if_a_function_returned_it():
    def cell(z):
        return ops.tanh(z)

    def pair(z):
        return ops.sin(z), 1

    h = k = tg.tensor(np.ones((1, 2)), requires_grad=True)
    with tg.trace():
        for _ in range(3):
            h = h * 2.0
            h = cell(h)
            k, _ = pair(k)
        loss = (h + k).sum()
    values = tg.plot_activations(loss, ["h", "k"]).values
    expected = np.ones(2)
    for t in range(3):
        expected = np.tanh(2 * expected)
        np.testing.assert_allclose(values["h"][:, t], expected)
    np.testing.assert_allclose(values["k"][0, 0], np.sin(1.0))


def test_numbers_in_cells_are_short():
    numbers = [0.0, 0.5, -0.126, -1.74, 12.3456, 3e-5, -2e7, np.nan, np.inf, -np.inf]
    assert [_number(v) for v in numbers] == [
        "0",
        ".50",
        "−.13",
        "−1.74",
        "12.35",
        "3e-5",
        "−2e7",
        "NaN",
        "∞",
        "−∞",
    ]


def test_a_loop_inside_layers_of_the_drawings():
    with tg.trace():
        loss = vanilla(steps=4)
    assert tg.plot_gradient_flow(loss, quantity="a").gradients["rnn.a"].shape == (4,)


# --- themes ---------------------------------------------------------------------------------------------


def contrast(one, other) -> float:
    """WCAG's contrast ratio of two colours."""
    from matplotlib.colors import to_rgb

    light = []
    for color in (one, other):
        channels = np.array(to_rgb(color))
        channels = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        light.append(channels @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(light) / min(light)


def plotted(theme: str, **options):
    layer = layers.LSTM(4, return_sequences=True, name="lstm", seed=0)
    x = np.random.default_rng(0).normal(size=(1, 6, 3)).astype("float32")
    yield tg.plot_gradient_flow(linear(0.8), theme=theme, **options)
    yield tg.plot_activations(layer, "lstm.f", x, theme=theme, **options)
    yield tg.plot_input_gradients(layer, x, theme=theme, **options)
    points, path = {"a": (0, 0), "b": (1, 1)}, [(2, 2), (1, 1), (0, 0)]
    yield tg.plot_cost_surface(
        lambda a, b: a * a + b * b, n=9, points=points, path=path, theme=theme, **options
    )
    yield tg.plot_history({"loss": [3.0, 2.0, 1.5], "val_loss": [3.1, 2.5, 2.6]}, theme=theme, **options)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read_in_both_themes(theme):
    page = THEMES[theme].page
    assert min(contrast(color, page) for color in THEMES[theme].lines) >= 3
    before = dict(plt.rcParams)
    for result in plotted(theme):
        drawn = result.axes.get_figure()
        drawn.canvas.draw()
        assert contrast(drawn.get_facecolor(), page) == 1
        for ax in drawn.axes:
            words = [ax.xaxis.label, ax.yaxis.label, ax.title, *ax.get_xticklabels(), *ax.get_yticklabels()]
            words += ax.get_legend().get_texts() if ax.get_legend() else []
            assert all(contrast(text.get_color(), page) >= 4.5 for text in words)
            assert all(
                contrast(line.get_color(), page) >= 3 for line in ax.get_xticklines() + ax.get_yticklines()
            )
            for image in ax.images:
                for text in ax.texts:  # the numbers in the cells
                    k, i = text.get_position()
                    cell = image.cmap(image.norm(image.get_array()))[i, k]
                    assert contrast(text.get_color(), cell[:3]) >= 4.5
            if not ax.images and not ax.collections:
                assert all(contrast(line.get_color(), page) >= 3 for line in ax.lines)
    assert dict(plt.rcParams) == before


def test_a_plot_follows_the_style_and_the_axes_that_it_is_given():
    with plt.style.context("dark_background"):
        for result in plotted("auto"):
            lines = [line.get_color() for line in result.axes.lines if not result.axes.collections]
            assert all(contrast(color, "black") >= 3 for color in lines)
    for theme in ("auto", "dark"):
        _, ax = plt.subplots()
        ax.set_facecolor("#101010")
        line = tg.plot_history({"loss": [2.0, 1.0]}, ax=ax, theme=theme).axes.lines[0]
        assert line.get_color() == THEMES["dark"].lines[0] and ax.get_facecolor()[0] < 0.1


def test_an_unknown_theme_is_named():
    for plot in (tg.plot_gradient_flow, tg.plot_history):
        with pytest.raises(ValueError, match=rf"{plot.__name__}: theme must be .*'blue'"):
            plot({}, theme="blue")


def test_the_line_chart_can_be_read_in_both_themes():
    for colors, page in ((curve._LIGHT, "#ffffff"), (curve._DARK, "#16181d")):
        assert min(contrast(color, page) for color in colors) >= 4.5
    text = curve.line_chart({"loss": [2.0, 1.0], "val": [2.2, 1.4]}, levels={"chance": 3.0})
    assert all(f'text class="ink{k}"' in text for k in (0, 1, 4)) and text.count("<polyline") == 2
