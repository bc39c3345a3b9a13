"""The trial of a new plan: a right one passes, and whatever is wrong in it is found."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bptt.steps import may_unroll

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.build import build
from tinygrad_rnn.bptt.examine import examine
from tinygrad_rnn.bptt.plan import Plan
from tinygrad_rnn.bptt.step.body import Underivable
from tinygrad_rnn.bptt.trial import sampled, try_out
from tinygrad_rnn.config import switched

N, F, H = 3, 2, 4
Trial = Callable[[dict[str, Any]], None]


def lstm(dtype: str) -> Any:
    """A step, and its weights."""
    rng = np.random.default_rng(0)
    shapes = [(F, 4 * H), (H, 4 * H), (4 * H,)]
    w, u, b = (tg.tensor(rng.standard_normal(s), dtype, requires_grad=True) for s in shapes)

    def step(x: Any, s: Any, constants: Any) -> Any:
        i, f, g, o = ops.split(x @ w + s[0] @ u + b, 4, axis=-1)
        c = ops.sigmoid(f) * s[1] + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]

    return step


def on_trial(step: Any, dtype: str = "float64") -> tuple[str, dict[str, Any], Trial]:
    """The source of a step, its functions, and their trial."""
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(s).astype(dtype) for s in ((N, F), (N, H), (N, H))]
    inputs = [[(arrays[0], True)], [(a, True) for a in arrays[1:]]]

    def again(xs: list[Any], states: list[Any]) -> Any:
        return tg.scan(step, xs[0], states, derive=False)

    with switched(grad=True, monitor=None):
        tracer = examine(step, inputs, (), False)
    bound = list(tracer.body.bound)
    plan = Plan(build(tracer, True))

    def trial(functions: dict[str, Any]) -> None:
        try_out(plan.built, functions, inputs, bound, again)

    return plan.built.text, plan.functions, trial


DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
OTHER = {
    "add": "subtract",
    "subtract": "add",
    "multiply": "add",
    "tanh": "negative",
    "reciprocal": "negative",
}
CALL = re.compile(r"^ +(?:np\.)?(add|subtract|multiply|tanh|reciprocal)\(", re.M)


@DTYPES
def test_every_op_of_the_source_is_on_trial(dtype: str) -> None:
    text, functions, trial = on_trial(lstm(dtype), dtype)
    trial(functions)
    trial(functions)  # nothing is left behind
    calls = list(CALL.finditer(text))
    assert len(calls) > 20
    for call in calls:
        wrong: dict[str, Any] = {}
        place = slice(*call.span(1))
        exec("from numpy import *\n" + text[: place.start] + OTHER[call[1]] + text[place.stop :], wrong)
        with pytest.raises(Underivable, match="differ from those of the recorded steps"):
            trial(wrong)


def spoilt(functions: dict[str, Any], which: str, spoil: Callable[[Any], Any]) -> dict[str, Any]:
    """The functions, one of which gives something else as its first result, or for its last gradient."""

    def forward(*arrays: Any) -> Any:
        first, *others = functions["forward"](*arrays)
        return (spoil(first), *others)

    def backward(*arrays: Any) -> Any:
        found = functions["backward"](*arrays)
        last = list(found)[-1]
        return {**found, last: spoil(found[last])}

    return {**functions, which: {"forward": forward, "backward": backward}[which]}


def moved(by: float) -> Callable[[Any], Any]:
    """One element is another one, by so much relative to the largest."""

    def spoil(array: Any) -> Any:
        array[(-1,) * array.ndim] += by * np.abs(array).max()
        return array

    return spoil


@DTYPES
@pytest.mark.parametrize("which", ["forward", "backward"])
def test_one_wrong_element_is_enough(which: str, dtype: str) -> None:
    _, functions, trial = on_trial(lstm(dtype), dtype)
    large, small = (1e-1, 1e-4) if dtype == "float32" else (1e-5, 1e-9)
    trial(spoilt(functions, which, moved(small)))
    for by in (large, -large, np.nan, np.inf):
        with pytest.raises(Underivable, match="differ from those of the recorded steps"):
            trial(spoilt(functions, which, moved(by)))
    with pytest.raises(Underivable, match="have shape"):
        trial(spoilt(functions, which, lambda a: a[..., :1]))


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_finite_must_be_so_in_both(odd: float) -> None:
    """And hides nothing of what is finite beside it."""

    def step(x: Any, s: Any, constants: Any) -> Any:
        h = ops.tanh(x[:, :1] + s[0])
        return ops.concatenate([h, h + odd], axis=1), [h, s[1]]

    def finite(y: Any) -> Any:
        y[~np.isfinite(y)] = 1.0
        return y

    def beside(y: Any) -> Any:
        y[np.isfinite(y)] += 1e-5
        return y

    _, functions, trial = on_trial(step)
    trial(functions)
    for spoil in (finite, beside):
        with pytest.raises(Underivable, match="derived values differ"):
            trial(spoilt(functions, "forward", spoil))


def test_whole_numbers_are_compared_one_by_one() -> None:
    def step(x: Any, s: Any, constants: Any) -> Any:
        h = ops.tanh(x[:, :1] + s[0])
        return (h > 0, h), [h, s[1]]

    _, functions, trial = on_trial(step)
    trial(functions)
    with pytest.raises(Underivable, match="derived values differ"):
        trial(spoilt(functions, "forward", np.logical_not))


def test_a_mask_is_true_and_false() -> None:
    """Also where the first time step is padding in all examples."""

    def step(xs: Any, s: Any, constants: Any) -> Any:
        h = ops.where(xs[1], ops.tanh(xs[0] + s[0]), s[0])
        return h, [h]

    def blind(x: Any, valid: Any, h0: Any, *rest: Any) -> Any:
        first, *others = functions["forward"](x, valid, h0, *rest)
        return (np.broadcast_to(h0[:, None], first.shape), *others)

    inputs = [[(np.ones((N, F)), True), (np.zeros((N, 1), bool), False)], [(np.ones((N, F)), True)]]
    with switched(grad=True, monitor=None):
        tracer = examine(step, inputs, (), True)
    plan = Plan(build(tracer, True))
    functions = plan.functions

    def trial(found: dict[str, Any]) -> None:
        def again(xs: list[Any], states: list[Any]) -> Any:
            return tg.scan(step, tuple(xs), states, derive=False)

        try_out(plan.built, found, inputs, [], again)

    trial(functions)
    with pytest.raises(Underivable, match="derived values differ"):
        trial({**functions, "forward": blind})


@pytest.mark.parametrize("error", [AttributeError, AssertionError, RuntimeError])
def test_whatever_goes_wrong_in_deriving_the_steps_run_unrolled(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(x: Any, s: Any, constants: Any) -> Any:
        h = ops.tanh(x + s[0] * 0.125)
        return h, [h]

    def failing(*args: Any) -> Any:
        raise error("what")

    monkeypatch.setattr(derived, "_plans", OrderedDict())  # what failed is remembered
    monkeypatch.setattr(derived, "build", failing)
    x, h = np.ones((2, 3, 1)), np.ones((2, 1))
    with pytest.warns(tg.bptt.UnrolledWarning, match=f"deriving it failed .{error.__name__}: what"):
        found, _ = tg.scan(step, x, [h], derive=True)
    assert np.array_equal(found, tg.scan(step, x, [h], derive=False)[0])


def test_constants_that_depend_on_each_other_are_derived() -> None:
    """Each gradient is compared for itself, without the way from one constant through another."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 5, 3)), tg.tensor(rng.standard_normal((3, 3)), requires_grad=True)

    def gradient(derive: bool) -> Any:
        v = tg.ops.tanh(w)

        def step(x_t: Any, s: Any, c: Any) -> Any:
            h = tg.ops.tanh(x_t @ w + s[0] @ v + c[0])
            return h, [h]

        y, _ = tg.scan(step, x, [np.ones((2, 3))], [x[:, 0] @ v], derive=derive)
        return tg.grad((y * y).sum(), w)

    derived = gradient(True)  # a warning would be an error
    np.testing.assert_allclose(derived, gradient(False), rtol=1e-10)


def test_the_trial_runs_on_steps_of_the_data() -> None:
    """What is wrong at 0 alone shows where later steps are padded."""

    def step(x: Any, s: Any, constants: Any) -> Any:
        h = ops.tanh(x + s[0])
        return h, [h]

    x, h = np.ones((N, 5, F)), np.ones((N, F))
    inputs = [[(x[:, 0], True)], [(h, True)]]
    with switched(grad=True, monitor=None):
        plan = Plan(build(examine(step, inputs, (), False), True))

    def again(xs: list[Any], states: list[Any]) -> Any:
        return tg.scan(step, xs[0], states, derive=False)

    def backward(x: Any, *rest: Any) -> Any:
        found = plan.functions["backward"](x, *rest)
        return {**found, "dX": found["dX"] + (x == 0)}

    wrong = {**plan.functions, "backward": backward}
    try_out(plan.built, wrong, inputs, [], again, steps=sampled([tg.tensor(x)]))
    x[0, 3:] = 0
    try_out(plan.built, plan.functions, inputs, [], again, steps=sampled([tg.tensor(x)]))
    with pytest.raises(Underivable, match="derived gradients differ"):
        try_out(plan.built, wrong, inputs, [], again, steps=sampled([tg.tensor(x)]))


def test_a_failed_trial_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next data may hide what is wrong."""
    trials = []

    def failing(*args: Any, **options: Any) -> None:
        trials.append(1)
        raise Underivable("as it happens")

    def step(x: Any, s: Any, constants: Any) -> Any:
        h = ops.tanh(x + s[0] * 0.3125)
        return h, [h]

    monkeypatch.setattr(derived, "try_out", failing)
    for _ in range(3):
        with may_unroll():
            tg.scan(step, np.ones((2, 3, 1)), [np.ones((2, 1))], derive=True)
    assert len(trials) == 1


@pytest.mark.parametrize("seed", range(6))
def test_float64_decides_where_gates_are_saturated(seed: int) -> None:
    tg.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 256, (8, 10, 3)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")
    model = tg.Sequential([tg.layers.SimpleRNN(4), tg.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(x, y)  # a warning would be an error


def test_a_weight_of_the_finer_type_is_judged_by_the_coarser_one() -> None:
    """Its gradient is computed from what was rounded to float32."""
    rng = np.random.default_rng(0)
    for _ in range(12):
        w = tg.tensor(rng.standard_normal((3, 3)), requires_grad=True)

        def step(x: Any, s: Any, constants: Any, w: Any = w) -> Any:
            z = x @ ops.cast(w, "float32") + s[0] @ ops.cast(w, "float32") + s[1]
            return (z > 0.1, ops.tanh(z)), [ops.tanh(z), ops.sigmoid(z + s[1])]

        x, h, p = (rng.standard_normal(shape).astype("float32") for shape in ((3, 4, 3), (3, 3), (3, 3)))
        (_, y), _ = tg.scan(step, x, [h, p], derive=True)  # a warning would be an error
        assert tg.grad(y.sum(), w).dtype == np.float64
