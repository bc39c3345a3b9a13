"""What `bptt_source` and `explain` take, what they say of anything else, and how a source is shown."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt.writing.reading import laid_out

X, STATES = np.zeros((2, 3)), [np.zeros((2, 4)), np.zeros((2, 4))]


class Own(layers.Layer):
    """A user's cell."""

    state_size = 4

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight((shape[-1], 4))

    def call(self, x: Any, states: Any) -> Any:
        h = ops.tanh(x @ self.kernel + states[0])
        return h, [h]


@pytest.mark.parametrize("show", [tg.bptt_source, tg.explain])
def test_a_cell_is_run_by_a_layer(show: Callable[..., str]) -> None:
    layer = layers.RNN(layers.LSTMCell(4))
    assert show(layers.LSTMCell(4), X, STATES) == show(layer, X, STATES)
    assert "tanh" in tg.bptt_source(Own(), X, STATES[:1])


def test_numbers_get_the_type_of_the_layer() -> None:
    layer = layers.GRU(4)
    single = tg.bptt_source(layer, X.astype("float32"), [STATES[0].astype("float32")])
    assert tg.bptt_source(layer, X, STATES[:1]) == single


@pytest.mark.parametrize("show", [tg.bptt_source, tg.explain])
@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ((layers.LSTM(4), np.zeros((2, 5, 3)), STATES), ValueError, "expected the inputs of one time step"),
        ((layers.LSTM(4), X, STATES[:1]), ValueError, r"LSTM needs 2 states \[h, c\]"),
        ((layers.LSTM(4), X, STATES[0]), TypeError, "expected a list of states, received a ndarray"),
        ((layers.LSTM(4), X[:0], [s[:0] for s in STATES]), ValueError, "expected at least one example"),
        ((layers.Dense(4), X, STATES), TypeError, "or a recurrent layer, received a Dense"),
        ((tg.Sequential([layers.GRU(4)]), X, STATES), TypeError, "recurrent layer, received a Sequential"),
        (("lstm", X, STATES), TypeError, "or a recurrent layer, received 'lstm'"),
        ((None, X, STATES), TypeError, "or a recurrent layer, received None"),
        ((layers.LSTM(4),), ValueError, "call the layer on data"),
        ((layers.LSTMCell(4),), TypeError, "expected x, the input of one time step, and the states"),
        ((lambda x, states, constants: (x, states), X), TypeError, "expected x, the input of one time step"),
    ],
)
def test_what_does_not_fit(show: Any, given: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        show(*given)


@pytest.mark.parametrize("show", [tg.bptt_source, tg.explain])
def test_the_reason_why_a_step_is_not_derived_says_who_was_asked(show: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{show.__name__}: .* reads the value of a tensor"):
        show(lambda x, states, c: (x * float(x.sum()), states), X, STATES[:1])


def test_a_layer_that_was_built_knows_its_features() -> None:
    layer = layers.LSTM(4)
    layer(np.zeros((2, 1, 5)))
    with pytest.raises(ValueError, match=r"expected 5 features, received shape \(2, 3\)"):
        tg.bptt_source(layer, X, STATES)


@pytest.mark.parametrize("layer", [layers.LSTM(4), layers.Bidirectional(layers.GRU(4))])
def test_a_layer_that_was_built_needs_no_data(layer: Any) -> None:
    layer(np.zeros((2, 1, 3)))
    one = getattr(layer, "forward_layer", layer)
    states = STATES[: len(one._first_states(2))]
    source = layer.bptt_source()
    assert tg.bptt_source(layer) == source
    rest = source.replace("\nIt is the forward direction; the other takes X[:, ::-1].", "")
    assert tg.bptt_source(one, X, states) == rest
    assert (source != rest) is (one is not layer)
    assert tg.explain(layer) == tg.explain(one, X, states)


@pytest.mark.parametrize("columns", [40, 200])
def test_shown_in_a_file_it_is_python_still(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    source = tg.bptt_source(layers.LSTM(4), X, STATES)
    source.show()
    shown = capsys.readouterr().out
    assert shown.rstrip() == source.rstrip()
    ast.parse(shown)


def test_a_notebook_gets_whole_lines() -> None:
    source = tg.bptt_source(
        layers.RNN([layers.LSTMCell(40), layers.LSTMCell(40)]), X, [np.zeros((2, 40))] * 4
    )
    html = source._repr_html_()
    assert html.count("\n") <= source.count("\n") + 2 and "_recurrent_kernel" in html


def test_rich_shows_every_character() -> None:
    from rich.console import Console

    source = tg.bptt_source(layers.GRU(4), X, STATES[:1])
    console = Console(width=50, file=io.StringIO(), force_terminal=False)
    console.print(source)
    squeezed = "".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert squeezed == "".join(source.split())


EQUATIONS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "power": (lambda x, h: ((x * x + 1.0) ** 2.0) ** 0.5 + h, "((x · x + 1) ** 2) ** 0.5 + h"),
    "power of a power": (lambda x, h: (x + 1.0) ** (h + 1.0) ** 2.0, "(x + 1) ** (h + 1) ** 2"),
    "sum": (lambda x, h: ops.sum(x, axis=1, keepdims=True) + h, "sum(x, axis=1) + h"),
    "sum of all": (lambda x, h: ops.sum(x) + h, "sum(x) + h"),
    "softmax": (lambda x, h: ops.softmax(x + h), "softmax(x + h)"),
    "softmax down": (lambda x, h: ops.softmax(x + h, axis=0), "softmax(x + h, axis=0)"),
    "clip": (lambda x, h: ops.clip(x + h, -1.0, 2.5), "clip(x + h, low=-1.0, high=2.5)"),
    "einsum": (lambda x, h: ops.einsum("ij,ik->ij", x, h), 'einsum("ij,ik->ij", x, h)'),
    "digits": (lambda x, h: 1.23456789 * x + 0.001 * h, "1.23456789 · x + 0.001 · h"),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_equations_tell_ops_apart(name: str) -> None:
    function, expected = EQUATIONS[name]

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(function(x, states[0]))
        return h, [h]

    ones = np.ones((2, 4))
    assert f"(1) h = tanh({expected})\n" in tg.bptt_source(step, ones, [ones])


def test_an_empty_loop_has_no_calls() -> None:
    text = tg.explain(lambda x, states, constants: (x * 2.0, []), np.ones((2, 4)), [])
    (hoist,) = [line for line in text.splitlines() if line.startswith("hoist")]
    assert hoist.split()[1:7] == ["1", "->", "0", "1", "->", "0"]


def weights_of(*names: str) -> list[tg.Variable]:
    return [tg.Variable(np.eye(3), name=name) for name in names]


def test_states_that_only_move_on_are_stated() -> None:
    w, u, v = weights_of("W", "U", "V")

    def delayed(x: Any, s: Any, c: Any) -> Any:
        h1, h2 = s
        h = ops.tanh(x @ w + h1 @ u + h2 @ v)
        return h, [h, h1]

    text = str(tg.bptt_source(delayed, np.ones((2, 3)), [np.ones((2, 3))] * 2))
    assert "    (1) h = tanh(x @ W + h1 @ U + h2 @ V)\n    and for the next step, h1, h2 = h, h1\n" in text


def test_matrix_products_in_products_have_brackets() -> None:
    w, u = weights_of("W", "U")

    def multiplied(x: Any, s: Any, c: Any) -> Any:
        (h,) = s
        h = (x @ w) * (h @ u) / 2.0
        return h, [h]

    assert "(1) h = (x @ W) · (h @ U) / 2\n" in str(
        tg.bptt_source(multiplied, np.ones((2, 3)), [np.ones((2, 3))])
    )


def test_arrays_from_outside_that_are_no_weights_are_said_to_be_constants() -> None:
    (w,), eye = weights_of("W"), np.eye(3)

    def damped(x: Any, s: Any, c: Any) -> Any:
        (h,), (x, ids) = s, x
        h = ops.tanh(x + h @ (w - eye)) * ids
        return h, [h]

    text = str(tg.bptt_source(damped, (np.ones((2, 3)), np.ones((2, 3), int)), [np.ones((2, 3))]))
    assert text.count("(3, 3), a constant of the step\n") == 1 and "        W: (3, 3)\n" in text
    assert "X1: (N, T, 3), int64\n" in text and "All others are of one float type" in text


def test_what_follows_the_gradient_of_a_product_is_not_its_activation() -> None:
    layer = tg.layers.GRU(4, reset_after=False)
    layer.build((None, None, 3))
    text = str(layer.bptt_source())
    assert "dpre_r_h" not in text and "out=dr_h_times_r)" in text


def test_equations_say_where_is_taken_and_put() -> None:
    def moved(x: Any, s: Any, c: Any) -> Any:
        (h,) = s
        first = ops.take(h, 0, axis=1)
        row = ops.take(h, 1, axis=0)
        put = ops.scatter([[2], [0]], x, (3, 3))
        a, b, c = ops.unstack(h, axis=1)
        upper, lower = ops.split(x, 2, axis=0)
        h = ops.tanh(h + row + (first + a * b * c)[:, None] + ops.sum(put, axis=0) + upper - lower)
        return h, [h]

    text = tg.bptt_source(moved, np.ones((2, 3)), [np.ones((2, 3))])
    for equation in (
        "first = take(h, 0, axis=1)",
        "row = take(h, 1)",
        "put = put_back(x, index=[np.array([2, 0], dtype='int64')])",
        "a, b, c = unstack(h, axis=1)",
        "upper, lower = split(x, axis=0)",
    ):
        assert f") {equation}\n" in text


def test_gradients_of_a_state_with_a_capital_letter_are_told_apart() -> None:
    w, u = weights_of("W", "U")

    def capital(x: Any, s: Any, c: Any) -> Any:
        (H,) = s
        H = ops.tanh(x @ w + H @ u)
        return 2.0 * H, [H]

    text = tg.bptt_source(capital, np.ones((2, 3)), [np.ones((2, 3))])
    assert "dH: the gradient of the last H" in text and "    dH_2[...] = dH\n" in text
    assert "    dH_2            the gradient of H at a step; dH is that of the last H, an argument\n" in text
    assert "    dH_part         one of the terms of dH_2, or a piece of it\n" in text


@pytest.mark.parametrize("letters", range(1, 40, 3))
def test_a_number_of_an_equation_makes_no_line_too_long(letters: int) -> None:
    (w,) = weights_of("W" * letters)

    def added_up(x: Any, s: Any, c: Any) -> Any:
        (h,) = s
        z = ops.logsumexp(x @ w, axis=1, keepdims=True)
        h = ops.tanh(h + z[..., None] @ w[:1])
        return h, [h]

    text = tg.bptt_source(added_up, np.ones((2, 4, 3)), [np.ones((2, 1, 3, 3))])
    compile(text, "source", "exec")
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("length", range(3, 20))
def test_a_result_on_a_line_of_its_own_is_indented(length: int) -> None:
    a, b, c = "a" * 45, "b" * 40, "c" * length
    text = laid_out(f'"""Equations.\n"""\n        multiply({a}, {b}, out={c})  # (1)')
    assert text.endswith(f"\n        multiply({a}, {b},\n            out={c})  # (1)")
