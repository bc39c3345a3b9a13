"""A recording as such: the bits of the engine's walk for every op, and for what happens between ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from leaves import leaf
from op_samples import samples
from reflection import differentiable, every_differentiable, run, same, weights

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.recorded.program import At, Step, program
from tinygrad_rnn.bptt.recorded.recording import MOST_STEPS, Recorder, Recording, Refused
from tinygrad_rnn.config import switched
from tinygrad_rnn.core.autodiff import MOST_USES, leaf_gradients
from tinygrad_rnn.core.op import OPS
from tinygrad_rnn.core.record import followed
from tinygrad_rnn.core.tensor import Tensor

RNG = np.random.default_rng(0)


def tensors(batch: Sequence[Any]) -> list[Tensor]:
    return [Tensor(array, None) for array in batch]


def recorded(
    function: Callable[..., Any], batch: Sequence[Any], variables: Sequence[Any]
) -> Recording | None:
    recorder = Recorder(batch, variables)
    with switched(monitor=recorder):
        loss, *results = function(*tensors(batch))
    return recorder.finish(loss, results)


def check(function: Callable[..., Any], batches: Sequence[Sequence[Any]], variables: Sequence[Any]) -> None:
    """A recording of the first batch gives for all of them what calling `function` gives."""
    recording = recorded(function, batches[0], variables)
    assert recording
    held: list[tuple[Any, Any]] = []
    for batch in [*batches, batches[0]]:
        values, found = recording(batch)
        results = function(*tensors(batch))
        want = leaf_gradients(results[0])
        assert found.keys() == want.keys()
        pairs = [(v, r._data) for v, r in zip(values, results, strict=True)]
        held += [*pairs, *[(found[node], g) for node, g in want.items()]]
        for v in variables:
            v.assign(v._data * 0.9)
    assert all(same(a, b) for a, b in held)  # also those of earlier runs


@pytest.mark.parametrize("constant", [False, True])
@every_differentiable
def test_every_op(name: str, number: int, constant: bool) -> None:
    """With `constant` cotangents: what vjps do not read of changing values is no reason to run them again."""
    op, sample = OPS[name], samples(name)[number]
    which = differentiable(op, sample)
    args: list[Any] = [tg.Variable(a) if i in which else a for i, a in enumerate(sample.args)]
    cotangents = weights(run(name, list(sample.args), sample.attrs), 5)

    def function(*given: Any) -> Any:
        results = run(name, args, sample.attrs)
        products = [r * c for r, c in zip(results, given or cotangents, strict=True)]
        return [sum(map(ops.sum, products), start=0.0), *results]

    batches: list[Any] = [[], []] if constant else [cotangents, [c / 3 for c in cotangents]]
    check(function, batches, [args[i] for i in which])


def test_gradients_that_are_constant_are_new_arrays_at_every_run() -> None:
    w, b = tg.Variable(np.ones((2, 3))), tg.Variable(np.ones(3))
    scale = np.array([1.0, 2.0, 3.0])
    recording = recorded(lambda x: [ops.mean(w * scale + b) + ops.sum(x)], [np.zeros(2)], [w, b])
    assert recording
    for _ in range(3):
        _, found = recording([np.zeros(2)])
        assert same(found[w._node], np.tile(scale / 6, (2, 1)))
        assert same(found[b._node], np.full(3, 2 / 6))
        for g in found.values():
            g *= 7  # as users do who clip


W = RNG.standard_normal((3, 3))
BATCHES = [[RNG.standard_normal((2, 3)), RNG.standard_normal((2, 3))] for _ in range(2)]


def often(x: Any, y: Any, w: Any, v: Any) -> Any:
    """A weight is used more often than uses are gathered."""
    for _ in range(2 * MOST_USES + 3):
        x = ops.tanh(x @ w)
    return ops.sum(x * y), x


def two_ways(x: Any, y: Any, w: Any, v: Any) -> Any:
    """A weight as a factor in products, and elsewhere."""
    return ops.sum(x @ w) + ops.sum(w * w) + ops.sum(y @ w + ops.sum(w, axis=0)), x @ w


def sums(x: Any, y: Any, w: Any, v: Any) -> Any:
    """One value is read many times, in one op twice."""
    h = x @ w
    return ops.sum(h * h + ops.exp(h) - h * y + v * h), h


def guarded(x: Any, y: Any, w: Any, v: Any) -> Any:
    """What was not taken is infinite."""
    return ops.sum(ops.where(x > 0, v * (1 / ops.maximum(x, 0.0)), v * w[0])), v


def parts(x: Any, y: Any, w: Any, v: Any) -> Any:
    """Of several outputs one is not read."""
    first, second, _ = ops.unstack(w * x[0, 0], axis=0)
    return ops.sum(first * second * y), second


def narrowed(x: Any, y: Any, w: Any, v: Any) -> Any:
    """Float types change on the way."""
    return ops.sum(ops.cast(ops.cast(x @ w, "float32") * 2, "float64") * y), x @ w


def shared(x: Any, y: Any, w: Any, v: Any) -> Any:
    """Results are views of one another."""
    h = ops.reshape(x @ w, (3, 2))
    return ops.sum(h * h), h, ops.transpose(h), h[0]


@pytest.mark.parametrize(
    "function", [often, two_ways, sums, guarded, parts, narrowed, shared], ids=lambda f: f.__name__
)
def test_what_happens_between_ops(function: Callable[..., Any]) -> None:
    w, v = tg.Variable(W / 2), tg.Variable(W[0])
    check(lambda x, y: function(x, y, w, v), BATCHES, [w, v])


def test_mixed_float_types() -> None:
    """Each gradient gets the type of its value."""
    w, v = tg.Variable(W[0].astype("float32")), tg.Variable(W[1])
    check(lambda x, y: (ops.sum(w * W[2] * v) * ops.sum(x * y), w * W[2]), BATCHES, [w, v])


def test_a_variable_as_the_loss_has_a_gradient_of_its_own() -> None:
    v = tg.Variable(np.array(2.0))
    recording = recorded(lambda x: (v,), [W], [v])
    assert recording
    for _ in range(2):
        _, found = recording([W])
        gradient = found[v._node]
        assert gradient == 1.0
        gradient += 5.0


def test_only_variables_have_gradients() -> None:
    """A leaf that is no variable gets its gradient in `.grad` of a tensor, which is another one the next time."""
    x, v = leaf(W), tg.Variable(W)
    with pytest.raises(Refused):
        recorded(lambda y: (ops.sum(x * y * v),), [W], [v])
    assert recorded(lambda y: (ops.sum(y * v),), [W], [v])
    with pytest.raises(Refused):
        recorded(lambda y: (ops.sum(y),), [W], [v])  # nothing has one


def test_a_mask_is_followed_and_what_python_reads_of_it_is_not_recorded() -> None:
    v = tg.Variable(W)

    @followed
    def positive(x: Any) -> Any:
        return np.asarray(x) > 0

    def used(x: Any, y: Any) -> Any:
        return ops.sum(ops.where(positive(x), v[:2], 0.0) * y), positive(x)

    def read(x: Any, y: Any) -> Any:
        return (ops.sum(v * 2 if np.all(positive(x)) else v),)

    def copied(x: Any, y: Any) -> Any:
        return (ops.sum(ops.where(np.asarray(positive(x)) & True, v[:2], 0.0) * y),)

    assert type(positive(W)) is np.ndarray
    check(
        lambda x, y: [ops.convert_to_tensor(r) for r in used(x, y)],
        [[np.abs(BATCHES[0][0]), W[:2]], *BATCHES],
        [v],
    )
    with pytest.raises(Refused):
        recorded(read, BATCHES[0], [v])
    with pytest.raises(Refused):
        recorded(copied, BATCHES[0], [v])


def test_a_recording_is_compiled_in_a_moment() -> None:
    v = tg.Variable(W[0])

    def long(x: Any, n: int) -> Any:
        for _ in range(n):
            x = x * v
        return (ops.sum(x),)

    assert recorded(lambda x: long(x, MOST_STEPS // 5 - 5), [W], [v])
    with pytest.raises(Refused):
        recorded(lambda x: long(x, MOST_STEPS // 5 + 5), [W], [v])


def test_values_go_after_their_last_use() -> None:
    class Value:
        alive = 0

        def __init__(self, *_: Any) -> None:
            Value.alive += 1

        def __del__(self) -> None:
            Value.alive -= 1

    alive: list[int] = []

    def make(*args: Any) -> Value:
        alive.append(Value.alive)
        return Value()

    steps = [Step(make, [At(i)], {}, i + 1, 0) for i in range(5)]
    run = program(steps, [0], [5], {})
    for _ in range(2):
        (result,) = run(0)
        assert isinstance(result, Value) and alive[-5:] == [0, 1, 1, 1, 1]
        del result
    assert Value.alive == 0


def test_only_constants_that_are_read_are_kept() -> None:
    x = np.ones((3, 100))
    recording = recorded(lambda x: [ops.sum(ops.mean(w * x, axis=1) * 2.0)], [x], [w := tg.Variable(x)])
    assert recording
    constants = [v for name, v in recording.program.__globals__.items() if name[0] == "v" and np.ndim(v)]
    assert len(constants) == 1 and same(np.array(constants[0]), x / 50)


def test_a_slope_recorded_at_moderate_logits_holds_for_large_ones() -> None:
    """A penalty on the gradient of a cross-entropy, whose ops depend on the size of the logits."""
    scale, ids = tg.Variable(np.ones(3)), np.array([0, 2])

    def function(x: Any) -> Any:
        y = x * scale
        loss = ops.sum(ops.sparse_categorical_crossentropy(ids, y, from_logits=True))
        (slope,) = tg.grad(loss, [y], create_graph=True)
        return [ops.sum(slope * slope), slope]

    x = RNG.standard_normal((2, 3))
    recording = recorded(function, [x], [scale])
    assert recording
    for batch in (x, 1e4 * x):
        (penalty, slope), found = recording([batch])
        want = function(Tensor(batch, None))
        assert np.isfinite(slope).all()
        np.testing.assert_allclose(slope, want[1].numpy(), rtol=1e-12, atol=1e-15)
        (gradient,) = tg.grad(want[0], [scale])
        np.testing.assert_allclose(found[scale._node], gradient.numpy(), rtol=1e-10, atol=1e-14)
