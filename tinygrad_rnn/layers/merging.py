"""Layers that make one tensor of several: Add, Multiply, Concatenate, Dot ... and the same as functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..bptt.masked import of_elements, valid_steps
from ..config import epsilon
from ..core.record import followed
from .layer import Layer


class Merge(Layer):
    """Base of the merging layers: called on a list of inputs, it hands them to `merge(xs, masks)`.

    Inputs broadcast; those with fewer axes get axes of length 1 behind the batch axis. The mask of the
    output has the steps that count in any input; there is none if an input has none.

    >>> class Norm(Merge):
    ...     def merge(self, xs, masks):
    ...         return functools.reduce(ops.add, [x * x for x in xs]) ** 0.5
    >>> Norm()([np.array([[3.0]]), np.array([[4.0]])]).tolist()
    [[5.0]]
    """

    supports_masking = True
    exactly: int | None = None  # how many inputs; None: one or more

    def merge(self, xs: list[Any], masks: list[Any]) -> Any:
        """The result for inputs with the same number of axes; `masks` has None where an input has none."""
        raise NotImplementedError(f"{type(self).__name__} must define merge(self, xs, masks)")

    def check_input(self, inputs: Any) -> None:
        """A list of inputs whose shapes fit together."""
        wanted = f"a list of {self.exactly or 'one or more'} inputs"
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                f"{self.name}: expected {wanted}, received one tensor of shape {np.shape(inputs)}; "
                f"write {self.name}([a, b])"
            )
        if not inputs or len(inputs) != (self.exactly or len(inputs)):
            raise ValueError(f"{self.name}: expected {wanted}, received {len(inputs)}")
        shapes = [tuple(x.shape) for x in inputs]
        if not self.fits(shapes):
            raise ValueError(f"{self.name}: the shapes {', '.join(map(str, shapes))} do not fit together")

    def fits(self, shapes: list[tuple[int, ...]]) -> bool:
        """Whether inputs of these shapes can be merged: same batch, and the rest broadcasts."""
        try:
            np.broadcast_shapes(*(s[1:] for s in shapes))
        except ValueError:
            return False
        return len({s[:1] for s in shapes}) == 1

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Compute the outputs."""
        rank = max(x.ndim for x in inputs)
        xs = [ops.expand_dims(x, tuple(range(1, 1 + rank - x.ndim))) if x.ndim < rank else x for x in inputs]
        return self.merge(xs, _masks(inputs, mask))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The steps that count in any input; none if an input has no mask."""
        masks = _masks(inputs, mask)
        return None if any(m is None for m in masks) else _either(*masks)


def _masks(inputs: Any, mask: Any) -> list[Any]:
    """One entry for each input: its mask, or None."""
    return [None if m is None else valid_steps(m) for m in (mask or [None] * len(inputs))]


@followed
def _either(*masks: Any) -> Any:
    """What any of the masks leaves."""
    return functools.reduce(np.logical_or, [np.asarray(m) for m in masks])


def _over(mask: Any, x: Any) -> Any:
    """A mask of steps as a mask of elements: in the shape of `x`."""
    return None if mask is None else of_elements(mask, x.shape)


@followed
def _joined(axis: int, *masks: Any) -> Any:
    """A step of what is joined along `axis` counts if any of its elements does."""
    return np.any(np.concatenate([np.asarray(m) for m in masks], axis=axis), axis=-1)


class Add(Merge):
    """`y = x₁ + x₂ + …`.

    >>> Add()([np.array([[1.0]]), np.array([[2.0]])]).tolist()
    [[3.0]]
    """

    def merge(self, xs: list[Any], masks: list[Any]) -> Any:
        """The sum."""
        return functools.reduce(ops.add, xs)


class Subtract(Merge):
    """`y = x₁ − x₂`.

    >>> Subtract()([np.array([[3.0]]), np.array([[2.0]])]).tolist()
    [[1.0]]
    """

    exactly = 2

    def merge(self, xs: list[Any], masks: list[Any]) -> Any:
        """The difference."""
        return ops.subtract(*xs)


class Average(Merge):
    """`y = (x₁ + … + xₙ) / n`.

    >>> Average()([np.array([[1.0]]), np.array([[2.0]])]).tolist()
    [[1.5]]
    """

    def merge(self, xs: list[Any], masks: list[Any]) -> Any:
        """The mean."""
        return ops.divide(functools.reduce(ops.add, xs), len(xs))


class Multiply(Merge):
    """`y = x₁ · x₂ · …`; masked steps of an input count as 1, steps masked in every input give 0.

    >>> Multiply()([np.array([[3.0]]), np.array([[2.0]])]).tolist()
    [[6.0]]
    """

    def merge(self, xs: list[Any], masks: list[Any]) -> Any:
        """The product."""
        over = [_over(m, x) for m, x in zip(masks, xs, strict=True)]
        y = functools.reduce(
            ops.multiply, [x if m is None else ops.where(m, x, 1) for m, x in zip(over, xs, strict=True)]
        )
        return y if any(m is None for m in over) else ops.where(_either(*over), y, 0)


class Maximum(Merge):
    """`y = max(x₁, x₂, …)`, element by element; a masked step of one input leaves the others alone.

    >>> Maximum()([np.array([[3.0]]), np.array([[2.0]])]).tolist()
    [[3.0]]
    """

    choose: Any = staticmethod(ops.maximum)

    def merge(self, xs: list[Any], masks: list[Any]) -> Any:
        """One input after the other."""
        y, known = xs[0], _over(masks[0], xs[0])
        for x, m in zip(xs[1:], masks[1:], strict=True):
            valid = _over(m, x)
            x = x if valid is None else ops.where(valid, x, y)
            y = self.choose(y if known is None else ops.where(known, y, x), x)
            known = None if valid is None or known is None else _either(known, valid)
        return y


class Minimum(Maximum):
    """`y = min(x₁, x₂, …)`, element by element; a masked step of one input leaves the others alone.

    >>> Minimum()([np.array([[3.0]]), np.array([[2.0]])]).tolist()
    [[2.0]]
    """

    choose: Any = staticmethod(ops.minimum)


class Concatenate(Merge):
    """The inputs one behind the other along `axis`; all other axes must agree.

    An input without a mask counts as valid throughout; a step of the output counts if any of its elements
    does.

    >>> Concatenate()([np.ones((1, 2)), np.zeros((1, 1))]).tolist()
    [[1.0, 1.0, 0.0]]
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def fits(self, shapes: list[tuple[int, ...]]) -> bool:
        """Whether the shapes agree but for `axis`."""
        rank = len(shapes[0])
        if any(len(s) != rank for s in shapes) or not -rank <= self.axis < rank:
            return False
        at = self.axis % rank
        return len({s[:at] + s[at + 1 :] for s in shapes}) == 1

    def merge(self, xs: list[Any], masks: list[Any]) -> Any:
        """The joined inputs."""
        return ops.concatenate(xs, axis=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The joined masks; none if no input has one."""
        masks = _masks(inputs, mask)
        if all(m is None for m in masks):
            return None
        full = [
            np.ones(x.shape, bool) if m is None else m if m.ndim == x.ndim else _over(m, x)
            for m, x in zip(masks, inputs, strict=True)
        ]
        return _joined(self.axis, *full)


class Dot(Merge):
    """Products of two inputs summed over one axis of each, for every row of the batch on its own.

    `axes`: the axis of both, or one for each. `normalize` divides by the lengths of the vectors first (the
    cosine). (batch, a, k) and (batch, b, k) with `axes=2` give (batch, a, b); of two vectors the result is
    (batch, 1). The output has no mask.

    >>> Dot(axes=1)([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
    [[11.0]]
    """

    exactly = 2

    def __init__(self, axes: Any, normalize: bool = False, **options: Any) -> None:
        super().__init__(**options)
        pair = (axes, axes) if isinstance(axes, int) else tuple(axes)
        if len(pair) != 2 or not all(isinstance(a, int) for a in pair):
            raise ValueError(f"Dot: axes must be an int or two ints, received {axes!r}")
        self.axes = pair
        self.normalize = normalize

    def fits(self, shapes: list[tuple[int, ...]]) -> bool:
        """Whether both have the axis, of one length, and it is not that of the batch."""
        places = zip(self.axes, shapes, strict=True)
        if not all(-len(s) <= a < len(s) and a % len(s) != 0 for a, s in places):
            return False
        first, second = (s[a] for a, s in zip(self.axes, shapes, strict=True))
        return first == second and shapes[0][0] == shapes[1][0]

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Compute the outputs."""
        letters = ["bcdefghijk"[: x.ndim] for x in inputs]
        letters[1] = letters[1][0] + letters[1][1:].upper()
        terms = []
        for term, axis, x in zip(letters, self.axes, inputs, strict=True):
            at = axis % x.ndim
            terms.append(term[:at] + "z" + term[at + 1 :])
        xs = [_unit(x, a) for x, a in zip(inputs, self.axes, strict=True)] if self.normalize else inputs
        y = ops.einsum(f"{','.join(terms)}->{(terms[0] + terms[1][1:]).replace('z', '')}", *xs)
        return ops.expand_dims(y, -1) if y.ndim == 1 else y

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None."""
        return None


def _unit(x: Any, axis: int) -> Any:
    """The vectors along `axis`, brought to length 1."""
    return x * ops.minimum(ops.rsqrt(ops.sum(ops.square(x), axis=axis, keepdims=True)), 1.0 / epsilon())


def _function(cls: Callable[..., Any]) -> Callable[..., Any]:
    def merge(inputs: Any, *args: Any, **options: Any) -> Any:
        return cls(*args, **options)(inputs)

    merge.__doc__ = f"The same as `{cls.__name__}(...)(inputs)`."
    return merge


add, subtract, multiply = _function(Add), _function(Subtract), _function(Multiply)
average, maximum, minimum = _function(Average), _function(Maximum), _function(Minimum)
concatenate = _function(Concatenate)


def dot(inputs: Any, axes: Any = -1, **options: Any) -> Any:
    """The same as `Dot(axes, ...)(inputs)`."""
    return Dot(axes, **options)(inputs)
