"""Symbols stand for tensors while a functional model is put together: a shape, and how it came about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..config import floatx, no_grad
from ..core.tensor import Tensor
from .windows import Windows

Shape = tuple[int | None, ...]


class Symbol:
    """A tensor that does not exist yet: what `Input` returns, and layers called on it.

    `shape` has None for axes that are not known. `call` is the layer call that makes it (None for an
    input), `index` says which of its outputs. Operators, methods, and what functions of `tg.ops` do with it are
    attached by `layers.operation`.
    """

    def __init__(
        self, shape: Shape, dtype: str, call: Call | None = None, index: int = 0, name: str | None = None
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = dtype
        self.call = call
        self.index = index
        self.name = name
        self.mask: Shape | None = None  # the shape of the mask that comes with it

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        """`<Symbol (None, 8, 4) float32>`."""
        return f"<Symbol {self.shape} {self.dtype}{f' {self.name!r}' if self.name else ''}>"

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"{self!r} stands for a tensor that does not exist yet: pass it to layers and functions of tg.ops, or use "
            "operators and methods (x + y, x[:, 0], x.mean(axis=1)); for functions of your own write Lambda(f)(x)"
        )

    __array__ = __iter__ = __bool__ = __len__ = _refuse
    __array_ufunc__ = None  # `array + x` asks x


class Call:
    """One call of a layer on symbols: an edge of the model's graph of layers."""

    def __init__(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.outputs: Any = None  # the symbols that it gives

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols it depends on."""
        return [x for x in flatten((self.args, self.kwargs)) if isinstance(x, Symbol)]


def flatten(value: Any) -> Iterator[Any]:
    """The leaves of nested lists, tuples and dicts.

    >>> list(flatten([1, (2, {"a": 3})]))
    [1, 2, 3]
    """
    if not isinstance(value, (list, tuple, dict)):
        yield value
        return
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (list, tuple, dict)):
            yield from flatten(item)
        else:  # without a generator of its own
            yield item


def map_nested(f: Callable[[Any], Any], value: Any) -> Any:
    """Apply `f` to every leaf of nested lists, tuples and dicts.

    >>> map_nested(str, [1, (2,)])
    ['1', ('2',)]
    """
    kind = type(value)
    if kind is Tensor or kind is np.ndarray:
        return f(value)
    if isinstance(value, (list, tuple)):
        return kind([map_nested(f, item) for item in value])
    if isinstance(value, dict):
        return {key: map_nested(f, item) for key, item in value.items()}
    return f(value)


def probe(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a layer on symbols: find the shapes of its outputs by running it on zeros.

    It runs twice, with different lengths for the unknown axes; what differs in the result is unknown
    there too. The lengths are such that windows over time fit, and that there is one more of them. Where they do
    not divide as the layer wants, longer ones are tried, which many numbers divide.
    """
    with no_grad():
        shapes = map_nested(lambda x: x.shape if isinstance(x, Symbol) else np.shape(x), args[0])
        if not layer.built:
            layer.build_at(layer.path, shapes)
        try:
            small, large = (_run(layer, args, kwargs, n) for n in _lengths(layer))
        except (ValueError, IndexError) as error:
            try:
                small, large = (_run(layer, args, kwargs, n) for n in (60, 120))
            except (ValueError, IndexError):
                raise error from None
    args, kwargs = map_nested(lambda v: v.copy() if isinstance(v, np.ndarray) else v, (args, kwargs))
    call = Call(layer, args, kwargs)  # with lists and arrays of its own
    made = []
    for index, (a, b) in enumerate(zip(flatten(small), flatten(large), strict=True)):
        made.append(Symbol(_known(a, b), str(a.dtype), call, index))
        if (mask := getattr(a, "_mask", None)) is not None:
            made[-1].mask = _known(mask, b._mask)
    symbols = iter(made)
    layer.output_shape = map_nested(lambda _: next(symbols).shape, small)
    symbols = iter(made)
    call.outputs = map_nested(lambda _: next(symbols), small)
    layer.nodes.append(call)
    return call.outputs


def _known(a: Any, b: Any) -> Shape:
    """The shape that two arrays have in common, None where it differs."""
    return tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True))


def _lengths(layer: Any) -> tuple[int, int]:
    """Two lengths of the time axis that layers with windows turn into different ones: 2 and 3 without such."""
    reach, stride = 1, 1
    for inner in layer.all_layers():
        windows = getattr(inner, "windows", None)
        if isinstance(windows, Windows):
            reach += (windows.span - 1) * stride
            stride *= windows.stride
    return reach + 1, reach + 1 + stride


def _run(layer: Any, args: Any, kwargs: Any, n: int) -> Any:
    def stand_in(x: Any) -> Any:
        if not isinstance(x, Symbol):
            return x
        shape = [n if size is None else size for size in x.shape]
        if x.dtype == "string":
            return np.full(shape, " ".join("a" * n), object)  # n words
        zeros = np.zeros(shape, x.dtype)
        if len(shape) > 1 and shape[-1] == shape[-2] and zeros.dtype.kind == "f":
            zeros += np.eye(shape[-1], dtype=x.dtype)  # square matrices may have to be inverted
        stands_in = Tensor(zeros, None)
        if x.mask is not None:
            stands_in._mask = np.ones([n if size is None else size for size in x.mask], bool)
        return stands_in

    args, kwargs = map_nested(stand_in, (args, kwargs))
    kept = layer._held_states()
    try:
        for inner, _ in kept:
            inner._states = None
        return layer(*args, **{**kwargs, "training": False})
    finally:  # stateful layers keep nothing of the zeros
        for inner, states in kept:
            inner._states = states


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    *,
    sparse: bool | None = None,
    ragged: bool | None = None,
) -> Symbol:
    """The start of a functional or sequential model; `shape` is without the batch axis, None = unknown.

    >>> Input((None, 4)).shape
    (None, None, 4)
    """
    if sparse or ragged:
        raise ValueError(
            "Input: sparse and ragged inputs are not offered; give dense arrays, and Masking for lengths"
        )
    if (shape is None) == (batch_shape is None):
        raise ValueError("Input: give either shape (without the batch axis) or batch_shape")
    full = tuple(batch_shape) if batch_shape is not None else (batch_size, *_as_shape(shape))
    for size in full:
        if size is not None and (not isinstance(size, (int, np.integer)) or size < 0):
            raise ValueError(f"Input: a shape holds whole numbers or None, received {full}")
    return Symbol(full, dtype or floatx(), name=name or "input")


def _as_shape(shape: Any) -> tuple[Any, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)
