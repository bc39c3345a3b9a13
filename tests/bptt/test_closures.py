"""What steps close over, switch on and take inside: gradients reach it, and changes between calls count."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from bptt.steps import H, N, both, equal, inputs, may_unroll, start, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import UnrolledWarning
from tinygrad_rnn.config import mode, switched


def test_closures_over_tensors_get_gradients() -> None:
    w, b = weight(), weight((H,), 3)
    made = ops.exp(b)  # not a leaf
    both(lambda: lambda x, s, c: (ops.tanh(x @ w + s[0] * made), [ops.tanh(x @ w + s[0])]), leaves=[])
    found = []
    for derive in (True, False):
        made = ops.exp(b)

        def step(x: Any, s: Any, c: Any, made: Any = made) -> Any:
            return ops.tanh(x @ w + s[0] * made), [ops.tanh(x @ w * made)]

        y, _ = tg.scan(step, inputs(), start(), derive=derive)
        found.append(tg.grad((y * y).sum(), [w, b]))
    equal(*found)


def test_the_same_tensor_as_input_state_and_constant() -> None:
    found = []
    for derive in (True, False):
        t = tg.tensor(inputs()[:, :3], requires_grad=True)  # (N, 3, H)
        h = tg.tensor(np.ones((N, H)), requires_grad=True)

        def step(x: Any, s: Any, c: Any) -> Any:
            k, q = s
            read = ops.einsum("nth,nh->nt", c[0], k)
            return read * x + h, [ops.tanh(k * q + x), q * h]  # noqa: B023

        y, last = tg.scan(step, t, [h, h], [t], derive=derive)
        found.append([y, *last, *tg.grad((y * y).sum() + last[0].sum() + (last[1] ** 2).sum(), [t, h])])
    equal(*found)


def test_the_same_tensor_as_two_inputs() -> None:
    found = []
    for derive in (True, False):
        t = tg.tensor(inputs(), requires_grad=True)
        y, _ = tg.scan(
            lambda x, s, c: (x[0] * x[1] + s[0], [x[0] - x[1] * s[0]]), (t, t), start(), derive=derive
        )
        found.append([y, *tg.grad((y * y).sum(), [t])])
    equal(*found)


def test_arrays_changed_between_forward_and_backward() -> None:
    """Also for second derivatives, which run the step again."""
    xs, h0 = inputs(), np.ones((N, H))
    scale, w = np.full((H,), 2.0), weight()
    found = []
    for derive, create in ((False, False), (True, False), (False, True), (True, True)):
        xs[:], h0[:], scale[:] = inputs(), 1.0, 2.0
        y, _ = tg.scan(
            lambda x, s, c: (s[0] @ w * scale, [ops.tanh(s[0] @ w * scale + x)]), xs, [h0], derive=derive
        )
        end = (y * y).sum()
        xs[:], h0[:], scale[:] = 7.0, 8.0, 9.0
        (g,) = tg.grad(end, [w], create_graph=create)
        found.append(np.array(g))
    for got in found[1:]:
        np.testing.assert_allclose(got, found[0], rtol=1e-12)


def test_constants_changed_between_forward_and_backward() -> None:
    c, w = np.ones((N, H)), weight()
    found = []
    for derive, create in ((False, False), (True, False), (False, True), (True, True)):
        c[:] = 1.0
        step = lambda x, s, c: (s[0] @ w * c[0], [ops.tanh(s[0] @ w * c[0] + x)])  # noqa: E731
        y, _ = tg.scan(step, inputs(), start(), [c], derive=derive)
        end = (y * y).sum()
        c[:] = 5.0
        found.append(np.array(tg.grad(end, [w], create_graph=create)[0]))
    for got in found[1:]:
        np.testing.assert_allclose(got, found[0], rtol=1e-12)


def test_arrays_changed_between_calls() -> None:
    scale = np.full((H,), 2.0)
    step = lambda x, s, c: (x * scale, [s[0] + x])  # noqa: E731
    for value in (2.0, 3.0):
        scale[:] = value
        y, _ = tg.scan(step, inputs(), start(), derive=True)
        np.testing.assert_allclose(y, inputs() * value)


def test_an_attribute_changed_between_forward_and_backward() -> None:
    class Cell:
        factor = 2.0

        def __call__(self, x: Any, s: Any, c: Any) -> Any:
            h = ops.tanh(s[0] @ w * self.factor + x)
            return h, [h]

    w = weight()
    found = []
    for derive, create in ((False, False), (True, False), (False, True), (True, True)):
        cell = Cell()
        y, _ = tg.scan(cell, inputs(), start(), derive=derive)
        end = (y * y).sum()
        cell.factor = 3.0
        try:
            found.append(np.array(tg.grad(end, [w], create_graph=create)[0]))
        except RuntimeError:  # said, and no wrong number
            assert derive and create
    for got in found[1:]:
        np.testing.assert_allclose(got, found[0], rtol=1e-12)


def test_a_variable_assigned_between_forward_and_backward() -> None:
    for derive in (False, True):
        for create in (False, True):
            w = tg.Variable(0.5 * np.eye(H))

            def step(x: Any, s: Any, c: Any, w: Any = w) -> Any:
                return s[0] @ w, [ops.tanh(s[0] @ w + x)]

            y, _ = tg.scan(step, inputs(), start(), derive=derive)
            end = (y * y).sum()
            w.assign(np.ones((H, H)))
            with pytest.raises(RuntimeError, match="assign"):
                tg.grad(end, [w], create_graph=create)


def test_numbers_and_attributes_that_change_between_calls() -> None:
    class Cell:
        factor: Any = 2.0
        negated = False

        def __call__(self, x: Any, s: Any, c: Any) -> Any:
            h = s[0] + self.factor * x
            return (-h if self.negated else h), [h]

    cell, number = Cell(), 1.0

    def step(x: Any, s: Any, c: Any) -> Any:
        return cell(x * number, s, c)

    changes = [(2.0, False, 1.0), (3.0, False, 1.0), (3.0, True, 2.0), (2, False, 0.0), (0.0, False, 1.0)]
    for candidate in (cell, step):
        for cell.factor, cell.negated, number in [*changes, (np.float32(2.5), True, -1.0)]:  # noqa: B007
            y, _ = tg.scan(candidate, inputs(), start(), derive=True)
            want, _ = tg.scan(candidate, inputs(), start(), derive=False)
            np.testing.assert_allclose(y, want, rtol=1e-12)


def test_numbers_that_compare_equal_are_told_apart() -> None:
    for value in (0.0, -0.0, 1, 1.0, True):
        step = lambda x, s, c: (1.0 / (ops.abs(x) * value), [s[0] + x])  # noqa: B023, E731
        with np.errstate(all="ignore"):
            y, _ = tg.scan(step, inputs(), start(), derive=True)
            want, _ = tg.scan(step, inputs(), start(), derive=False)
        np.testing.assert_array_equal(y, want)


def test_weights_that_change_their_shape_dtype_or_need_between_calls() -> None:
    holder: dict[str, Any] = {}

    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x @ holder["w"] + s[0])
        return h, [h]

    for w in (weight(), weight().detach(), weight(), np.eye(H), weight((H, 1)), weight((1, H)[::-1])):
        holder["w"] = w
        found = []
        for derive in (True, False):
            y, _ = tg.scan(step, inputs(), start(), derive=derive)
            found.append(
                [y, *(tg.grad((y * y).sum(), [w]) if isinstance(w, tg.Tensor) and w.requires_grad else [])]
            )
        equal(*found)


def test_training_switched_on_and_off() -> None:
    step = lambda x, s, c: (x * (2.0 if mode().training else 1.0), [s[0] + x])  # noqa: E731
    for training in (False, True, False):
        with switched(training=training):
            y, _ = tg.scan(step, inputs(), start(), derive=True)
        np.testing.assert_allclose(y, inputs() * (2.0 if training else 1.0))


@tg.custom_gradient
def straight(x: Any) -> Any:
    return np.round(x), lambda *args, upstream=None: upstream


@tg.custom_gradient
def clipped(x: Any) -> Any:
    """The identity, whose gradient is never large: nothing shows before it is."""
    return x * 1.0, lambda *args, upstream=None: ops.clip(upstream, -1e3, 1e3)


@pytest.mark.parametrize("custom", [straight, clipped], ids=["straight through", "clipped"])
def test_custom_gradients_are_those_that_are_used(custom: Any) -> None:
    w = weight()
    found = []
    for derive in (False, True):
        with may_unroll():
            y, last = tg.scan(
                lambda x, s, c: (custom(x @ w + s[0]), [ops.tanh(x @ w)]), inputs(), start(), derive=derive
            )
        found.append([y, *tg.grad((y * 1e6).sum() + last[0].sum(), [w])])
    equal(*found)


def test_a_spike_with_a_gradient_of_its_own_is_refused_with_its_line_and_derived_without() -> None:
    """Neurons that integrate and fire, with the derivative of a sigmoid in place of that of a jump."""
    w = weight()

    @tg.custom_gradient
    def spike(v: Any) -> Any:
        soft = ops.sigmoid(4.0 * v)
        return ops.cast(v > 0, v.dtype), lambda *args, upstream=None: upstream * 4.0 * soft * (1.0 - soft)

    def own(x: Any, states: Any, constants: Any) -> Any:
        v = 0.9 * states[0] + x @ w
        y = spike(v - 0.5)
        return y, [v - y]

    def written(x: Any, states: Any, constants: Any) -> Any:
        v = 0.9 * states[0] + x @ w
        soft = ops.sigmoid(4.0 * (v - 0.5))
        y = soft + ops.stop_gradient(ops.cast(v > 0.5, v.dtype) - soft)
        return y, [v - y]

    found = []
    line = own.__code__.co_firstlineno + 2
    reason = rf":{line} in own\(\): 'spike' has a gradient of its own, which cannot be read; as s \+ ops.stop_gradient"
    for step, derive in ((own, True), (written, True), (written, True), (written, False)):
        with pytest.warns(UnrolledWarning, match=reason) if step is own else nullcontext():
            y, _ = tg.scan(step, 3.0 * inputs(), start(), derive=derive)
        found.append([y, *tg.grad((y * inputs()).sum(), [w])])
    for other in found[1:]:
        equal(found[0], other)


def test_gradients_taken_inside_the_step() -> None:
    w = weight()

    def step(x: Any, s: Any, c: Any) -> Any:
        inner = tg.tensor(np.ones((N, H)), requires_grad=True)
        (g,) = tg.grad((ops.tanh(inner * 0.5) ** 2).sum(), [inner])
        h = ops.tanh(s[0] @ w + x) + g
        return h, [h]

    both(lambda: step, leaves=[w])


def test_gradients_of_traced_values_taken_inside_the_step() -> None:
    w = weight()

    def step(x: Any, s: Any, c: Any) -> Any:
        with tg.enable_grad():
            inner = s[0] + w[:N]
            (g,) = tg.grad((ops.tanh(inner) ** 2).sum(), [inner], create_graph=True)
        h = ops.tanh(s[0] @ w + x) - 0.1 * g
        return h, [h]

    both(lambda: step, leaves=[w])


def test_a_scan_inside_a_scan() -> None:
    w = weight()

    def inner(x: Any, s: Any, c: Any) -> Any:
        return s[0], [ops.tanh(s[0] @ w + x)]

    def step(x: Any, s: Any, c: Any) -> Any:
        _, (h,) = tg.scan(inner, ops.stack([x, x * 2.0], axis=1), [s[0]])
        return h, [h]

    both(lambda: step, leaves=[w])
    with tg.derived():
        both(lambda: step, leaves=[w])


def test_no_grad_inside_the_step() -> None:
    w = weight()

    def step(x: Any, s: Any, c: Any) -> Any:
        with tg.no_grad():
            gate = ops.sigmoid(s[0] @ w)
        h = ops.tanh(s[0] @ w + x) * gate
        return h, [h]

    both(lambda: step, leaves=[w])


def test_a_tensor_without_its_gradient_and_then_with_it() -> None:
    w = weight()

    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x @ w.detach() + s[0] @ w + w.detach()[0])
        return h, [h]

    both(lambda: step, leaves=[w])


def test_states_changed_in_place_in_the_list() -> None:
    w = weight()

    def step(x: Any, s: Any, c: Any) -> Any:
        s[0] = ops.tanh(s[0] @ w + x)
        return s[0], s

    both(lambda: step, leaves=[w])


def test_lists_and_dicts_as_constants() -> None:
    w = weight()
    for constants in ({"w": w, "scale": 2.0}, [w, [w, 3.0]], (w,), w):
        found = []
        for derive in (True, False):

            def step(x: Any, s: Any, c: Any) -> Any:
                m = c["w"] * c["scale"] if isinstance(c, dict) else c if isinstance(c, tg.Tensor) else c[0]
                return s[0] @ m, [ops.tanh(s[0] @ m + x)]

            y, _ = tg.scan(step, inputs(), start(), constants, derive=derive)
            found.append([y, *tg.grad((y * y).sum(), [w])])
        equal(*found)
