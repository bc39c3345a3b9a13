"""Steps that return something wrong, or whose values steer Python: an error, or a warning and the unrolled result."""

from __future__ import annotations

import contextlib
import copy
import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from bptt.problems import is_derived
from bptt.steps import H, N, T, both, equal, inputs, may_unroll, start, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import UnrolledWarning
from tinygrad_rnn.config import generator


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (lambda x, s, c: (x, []), ValueError, r"step 0: the step function returned 0 states, expected 1"),
        (lambda x, s, c: (x, [x, x]), ValueError, "returned 2 states"),
        (lambda x, s, c: (x, [ops.reshape(s[0], (H, N))]), ValueError, r"state 0 changed shape"),
        (lambda x, s, c: (x, [np.zeros((N, H))]), TypeError, "state 0 is a ndarray, expected a Tensor"),
        (lambda x, s, c: (x, [None]), TypeError, "state 0 is a NoneType"),
        (lambda x, s, c: x, ValueError, r"step 0: expected .* \(output, states\), received a Tensor"),
        (lambda x, s, c: None, ValueError, "received a NoneType"),
        (lambda x, s, c: (1.0, s), TypeError, "step 0: output 0 is a float, expected a Tensor"),
        (lambda x, s, c: ((x, {"h": x}), s), TypeError, "output 1 is a dict"),
        (lambda x, s, c: ([x, x], s), TypeError, "output 0 is a list, .* several outputs are a tuple"),
        (lambda x, s, c: (ops.sum(x), s), ValueError, r"output 0 has no axes, expected shape \(batch, ...\)"),
        (lambda x, s, c: (x @ np.ones((H + 1, 2)), s), ValueError, "matmul"),
        (lambda x, s, c: (x, s, s), ValueError, "received 3 values"),
    ],
)
def test_wrong_results_are_errors_as_when_unrolled(step: Any, error: Any, message: str) -> None:
    for derive in (False, True):
        with may_unroll():
            with pytest.raises(error, match=message):
                tg.scan(step, inputs(), start(), derive=derive)


def test_an_output_that_is_no_tensor() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return np.ones((N, 2)), [s[0] + x]

    for derive in (True, False):
        with may_unroll():
            y, _ = tg.scan(step, inputs(), start(), derive=derive)
        assert isinstance(y, tg.Tensor)
        np.testing.assert_array_equal(y, np.ones((N, T, 2)))


@pytest.mark.parametrize("states", [np.zeros((N, H)), {"h": np.zeros((N, H))}])
def test_states_that_are_no_list(states: Any) -> None:
    with pytest.raises(TypeError, match="scan: expected a list of states, received a (ndarray|dict)"):
        tg.scan(lambda x, s, c: (x, s), inputs(), states)


def test_an_output_that_is_the_same_at_every_step() -> None:
    w = weight((N, H))
    both(lambda: lambda x, s, c: (w * 2.0, [s[0] + x]), leaves=[w])


def test_an_output_that_is_a_weight() -> None:
    w = weight((N, H))
    both(lambda: lambda x, s, c: (w, [s[0] + x]), leaves=[w])


def test_a_state_that_is_a_weight() -> None:
    w = weight((N, H))
    both(lambda: lambda x, s, c: (s[0] * x, [w]), leaves=[w])


def test_a_state_that_is_made_of_weights_alone() -> None:
    w = weight((N, H))
    both(lambda: lambda x, s, c: (s[0] * x, [ops.exp(w)]), leaves=[w])


def test_a_dtype_that_changes() -> None:
    for first, then in (("float32", "float64"), ("float64", "float32")):
        found = []
        for derive in (False, True):
            with may_unroll():
                y, last = tg.scan(
                    lambda x, s, c, then=then: (s[0] * 2, [ops.cast(s[0] + x, then)]),
                    inputs().astype(first),
                    [np.zeros((N, H), first)],
                    derive=derive,
                )
            found.append((np.array(y), np.array(last[0])))
        for got, want in zip(found[1], found[0], strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-6)


def test_states_of_several_dtypes() -> None:
    w = weight()

    def step(x: Any, s: Any, c: Any) -> Any:
        a, b = s
        a = ops.cast(ops.tanh(ops.cast(a, "float64") @ w + x), "float32")
        b = b + ops.cast(a, "float64") * 0.5
        return b, [a, b]

    found = []
    for derive in (True, False):
        a0 = tg.tensor(np.ones((N, H), np.float32), requires_grad=True)
        b0 = tg.tensor(np.ones((N, H)), requires_grad=True)
        y, last = tg.scan(step, inputs(), [a0, b0], derive=derive)
        grads = tg.grad((y * y).sum() + ops.cast(last[0], "float64").sum(), [w, a0, b0])
        found.append([y, *last, *grads])
    equal(*found, 1e-5)


def test_a_state_without_a_batch() -> None:
    w = weight()

    def step(x: Any, s: Any, c: Any) -> Any:
        h, total = s
        h = ops.tanh(x @ w + h / (1.0 + total))
        return h, [h, total + ops.sum(h * h)]

    found = []
    for derive in (True, False):
        y, last = tg.scan(step, inputs(), [np.zeros((N, H)), np.zeros(())], derive=derive)
        found.append([y, *last, *tg.grad((y * y).sum() + last[1], [w])])
    equal(*found)


def branch(x: Any, s: Any, c: Any) -> Any:
    h = ops.tanh(x + s[0]) if (s[0].sum() + x.sum()) > 0 else x * 2.0
    return h, [h]


def number(x: Any, s: Any, c: Any) -> Any:
    h = ops.tanh(x + s[0]) * float(ops.sum(x))
    return h, [h]


def item(x: Any, s: Any, c: Any) -> Any:
    h = ops.tanh(x + s[0]) * s[0].max().item() + x
    return h, [h]


def as_array(x: Any, s: Any, c: Any) -> Any:
    h = s[0] + np.asarray(x) * 2.0
    return h, [h]


def numpy_call(x: Any, s: Any, c: Any) -> Any:
    h = s[0] + tg.tensor(x.numpy() ** 2)
    return h, [h]


def tolist(x: Any, s: Any, c: Any) -> Any:
    h = s[0] + np.array(x.tolist())
    return h, [h]


def loop_on_value(x: Any, s: Any, c: Any) -> Any:
    h, k = s[0] + x, 0
    while float(ops.max(h)) > 1.0 and k < 5:
        h, k = h * 0.5, k + 1
    return h, [h]


def index_by_value(x: Any, s: Any, c: Any) -> Any:
    h = s[0] * 0.5 + x[:, int(ops.argmax(x[0]))][:, None]
    return h, [h]


def index_by_tensor(x: Any, s: Any, c: Any) -> Any:
    h = s[0] * 0.5 + x[:, ops.argmax(x[0])][:, None]
    return h, [h]


def masked_by_tensor(x: Any, s: Any, c: Any) -> Any:
    h = s[0] * 0.5 + ops.sum(x[x > 0])
    return h, [h]


def private_data(x: Any, s: Any, c: Any) -> Any:
    h = s[0] * 0.5 + x._data.max()
    return h, [h]


def formatted(x: Any, s: Any, c: Any) -> Any:
    h = s[0] * 0.5 + (x if "-" in str(x) else 2.0 * x)
    return h, [h]


def asked_for_a_gradient(x: Any, s: Any, c: Any) -> Any:
    h = s[0] * 0.5 + (2.0 * x if x.requires_grad else x)
    return h, [h]


def asked_of_a_result(x: Any, s: Any, c: Any) -> Any:
    h = s[0] * 0.5
    return (2.0 * h if h.requires_grad else h), [h + x]


def condition_detached(x: Any, s: Any, c: Any) -> Any:
    h = ops.where(np.asarray(s[0]) > 0, s[0] * 0.3, x)
    return h, [h]


@pytest.mark.parametrize(
    "step",
    [branch, number, item, as_array, numpy_call, tolist, loop_on_value, index_by_value, index_by_tensor,
     masked_by_tensor, private_data, formatted, condition_detached, asked_for_a_gradient, asked_of_a_result],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_values_that_steer_python(step: Any) -> None:
    both(lambda: step, warn=True)


def test_a_weight_may_be_asked_whether_it_requires_a_gradient() -> None:
    w, fixed = weight(), tg.tensor(np.eye(H))

    def step(x: Any, s: Any, c: Any) -> Any:
        h = s[0] @ (
            w if w.requires_grad and not fixed.requires_grad and not x.detach().requires_grad else fixed
        )
        return h + x, [h + x]

    both(lambda: step, leaves=[w])


def test_numpy_functions_are_recorded() -> None:
    w = weight()

    def step(x: Any, s: Any, c: Any) -> Any:
        h = np.tanh(np.concatenate([x, s[0]], axis=1) @ np.concatenate([w, w])) + np.maximum(x, 0.1) * np.exp(
            -s[0]
        )
        return np.sum(h, axis=-1), [h]

    both(lambda: step, leaves=[w])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.standard_normal((N, H)),
        lambda: ops.random.normal((N, H), dtype="float64"),
        lambda: generator().standard_normal((N, H)),
        lambda: np.random.default_rng().standard_normal((N, H)),
    ],
    ids=["NumPy's stream", "ops.random", "the package's stream", "a new stream"],
)
def test_random_numbers_drawn_inside(draw: Any) -> None:
    """Every step has to draw anew: unrolled."""
    with pytest.warns(UnrolledWarning):
        y, _ = tg.scan(lambda x, s, c: (s[0] + draw(), [s[0] + x]), inputs(), start(), derive=True)
    before = np.cumsum(np.pad(inputs(), ((0, 0), (1, 0), (0, 0)))[:, :-1], 1)
    assert np.abs(np.diff(np.array(y) - before, axis=1)).min() > 0


def test_dropout_inside_is_drawn_anew_at_each_step() -> None:
    step = lambda x, s, c: (ops.dropout(x, 0.5, seed=generator(3)) * 1.0, [s[0] + x])  # noqa: E731
    rng = np.random.default_rng(3)
    drop = lambda x, s, c: (ops.dropout(x, 0.5, seed=rng), [s[0] + x])  # noqa: E731
    for candidate in (drop, step):
        found = []
        for derive in (False, True):
            rng.bit_generator.state = np.random.default_rng(3).bit_generator.state
            tg.utils.set_random_seed(3)
            with may_unroll():
                found.append(np.array(tg.scan(candidate, np.ones((N, 20, H)), start(), derive=derive)[0]))
        np.testing.assert_array_equal(*found)


def test_the_random_streams_stand_where_unrolled_leaves_them() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return s[0] + ops.random.normal((N, H), dtype="float64"), [s[0] + x]

    found = []
    for derive in (False, True):
        tg.utils.set_random_seed(1)
        with may_unroll():
            y, _ = tg.scan(step, inputs(), start(), derive=derive)
        found.append((np.array(y), generator().standard_normal()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def branching(x: Any, s: Any, c: Any, kind: str = "value", *, scale: float = 1.0) -> Any:
    h = ops.tanh(scale * x + s[0])
    if kind == "value" and float(np.asarray(h).sum()) > 0:
        h = 2 * h
    return h, [h]


def with_default(kind: str) -> Any:
    def step(x: Any, s: Any, c: Any, kind: str = kind) -> Any:
        return branching(x, s, c, kind)

    return step


def with_named_default(kind: str) -> Any:
    def step(x: Any, s: Any, c: Any, *, kind: str = kind) -> Any:
        return branching(x, s, c, kind)

    return step


@pytest.mark.parametrize(
    "make",
    [
        with_default,
        with_named_default,
        lambda kind: partial(branching, kind=kind),
        lambda kind: partial(partial(branching, scale=2.0), kind=kind),
    ],
    ids=["default", "named", "partial", "partial of a partial"],
)
def test_a_step_is_not_refused_for_what_another_one_of_the_same_code_did(make: Any) -> None:
    with pytest.warns(UnrolledWarning, match=r"reads the value|NumPy"):
        tg.scan(make("value"), tg.tensor(inputs(), requires_grad=True), start(), derive=True)
    both(lambda: make("none"))
    x = tg.tensor(inputs(), requires_grad=True)
    assert is_derived(tg.scan(make("none"), x, start(), derive=True)[0])


def _caught(h: Any) -> bool:
    try:
        return bool(ops.max(h) > 4)
    except ValueError:  # as a refusal is
        return False


def _suppressed(h: Any) -> bool:
    with contextlib.suppress(Exception):
        return float(ops.max(h)) > 4
    return False


def _as_another_error(h: Any) -> bool:
    try:
        return ops.max(h).item() > 4
    except ValueError:
        raise RuntimeError("not this one") from None


@pytest.mark.parametrize(
    "is_large",
    [
        _caught,
        _suppressed,
        _as_another_error,
        lambda h: copy.copy(h).numpy().max() > 4,
        lambda h: copy.deepcopy([h])[0].numpy().max() > 4,
        lambda h: pickle.loads(pickle.dumps(h)).numpy().max() > 4,
    ],
    ids="caught suppressed another copy deepcopy pickle".split(),
)
def test_a_value_that_is_read_behind_a_refusal_or_a_copy(is_large: Any) -> None:
    """It becomes large after the steps on which a plan would be tried out."""

    def step(x: Any, s: Any, c: Any) -> Any:
        h = x + s[0]
        if is_large(h):
            h = h * 0.0
        return h, [h]

    x = np.ones((N, 9, H))
    with pytest.warns(UnrolledWarning, match="reads the value of a tensor"):
        found, _ = tg.scan(step, x, start(), derive=True)
    want, _ = tg.scan(step, x, start(), derive=False)
    np.testing.assert_array_equal(found, want)
    assert np.asarray(want)[:, -1].max() < 9
