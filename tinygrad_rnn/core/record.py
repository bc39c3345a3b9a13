"""How ops are declared and recorded: `primitive` makes an op and the function that users call.

Calling that function with no Tensor among its arguments runs the bare kernel and returns an array:
this is what lets one vjp text serve arrays (fast) and Tensors (recorded).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from ..config import Scope, mode
from .arrays import copy_unless_frozen
from .op import OPS, Array, Node, Op, Port, Spec, Vjp
from .operands import as_array, dtype_of, operand, promote, to_float
from .tensor import Tensor

# Infinities and NaN are values here. Kernels that make them often are `quiet`; for the others, where that would cost
# too much on every call, a warning is not shown, and where it is turned into an error the kernel runs again.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tinygrad_rnn\.(core|ops)\.")

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {}  # NumPy's function -> ours (Tensor.__array_ufunc__)


F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that returns a new array NumPy's `out=` argument."""

    def with_out(*arrays: Any, out: Array | None = None, **attrs: Any) -> Any:
        result = function(*arrays, **attrs)
        if out is None:
            return result
        np.copyto(out, result)
        return out

    with_out.__name__ = function.__name__
    with_out.__doc__ = function.__doc__
    return with_bare(with_out, getattr(function, "bare", function))


def with_bare(function: F, bare: Callable[..., Any]) -> F:
    """Say what does the same as a function of arrays where NumPy's floating-point warnings are off already.

    A recorded batch runs as a whole without them.
    """
    cast(Any, function).bare = bare
    return function


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a kernel without NumPy's floating-point warnings: infinities and NaN are values here.

    `debug_nans()` is the way to find where they come from.
    """
    return with_bare(np.errstate(all="ignore")(function), function)


def tracing() -> bool:
    """Whether a step is traced: values stand for those of all time steps, and are not known yet."""
    monitor = mode().monitor
    return monitor is not None and monitor.tracing


def repeatable(function: F) -> F:
    """Mark a function of arrays (or Tensors), settings and random streams that has no gradient.

    A recorded batch calls it again with the same settings and streams; it depends on nothing else.
    """

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        monitor = mode().monitor
        return function(*args) if monitor is None else monitor.computed(function, args)

    return cast(F, call)


def followed(function: F) -> F:
    """Mark a function as `repeatable` whose result must not be read: a mask, weights, a count.

    While a batch is recorded the result is a Tensor, so that it is seen where Python reads its values.
    """
    repeated = repeatable(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        result, monitor = repeated(*args), mode().monitor
        return result if monitor is None or not monitor.recording else Tensor(result, None)

    return cast(F, call)


BROADCASTING = """

Element by element, with g the gradient with respect to y. The arguments broadcast, and y has their common
shape. Given arrays alone it returns an array, given a Tensor it is recorded. Raises `ValueError`, with both
shapes, if they do not broadcast.
"""


def primitive(
    name: str,
    fwd: Callable[..., Any],
    *vjps: Vjp | None,
    plain: bool = False,
    numpy: np.ufunc | None = None,
    doc: str = "",
    **fields: Any,
) -> Callable[..., Any]:
    """Enter an op in the table `OPS` and return the function that applies it.

    `fields` are the other fields of `Op`. `numpy` is the ufunc that stands for the op, if the kernel is not it itself.
    `plain` says that the op has no attributes and one result, as all that broadcast. Raises `ValueError` if the name is
    taken. The function has the op as its attribute `op`.
    """
    if name in OPS:
        raise ValueError(f"primitive: an op named {name!r} exists already")
    op = Op(name, fwd, vjps, doc=doc, **fields)
    OPS[name] = op
    function: Any = {1: _unary, 2: _binary}.get(len(vjps) if op.broadcasts or plain else 0, _general)(op)
    function.__name__ = function.__qualname__ = name
    function.__module__ = "tinygrad_rnn.ops"
    function.__doc__ = doc + BROADCASTING if op.broadcasts else doc
    function.op = op
    ufunc = numpy or (fwd if isinstance(fwd, np.ufunc) else None)
    if ufunc is not None:
        UFUNCS[ufunc] = function
    door: Callable[..., Any] = function
    return door


def elementwise(name: str, fwd: Callable[..., Any], *vjps: Vjp | None, **options: Any) -> Callable[..., Any]:
    """`primitive` for a function of each element, with NumPy's broadcasting between its arguments."""
    return primitive(name, fwd, *vjps, broadcasts=True, **options)


def apply(op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
    """Run `op` on Tensors and arrays, and record it if a gradient may be asked for.

    The general path; plain ops of one and two arguments have shorter ones below.
    """
    if not any([isinstance(a, Tensor) for a in args]):
        arrays = [a if isinstance(a, np.ndarray) else as_array(a) for a in args]
        return run(op, op.fwd, arrays, attrs, mode().scope)
    state = mode()
    if len(args) > 1:
        args = promote(op, args)
    data = [a._data if isinstance(a, Tensor) else a for a in args]
    inputs = tuple([a._node if isinstance(a, Tensor) else None for a in args])
    recorded = state.grad and inputs.count(None) < len(inputs) and (any(op.vjps) or op.vjp_all)
    more: tuple[Any, ...] = ()
    if recorded and op.keeping is not None:
        result, *more = run(op, op.keeping, data, attrs, state.scope)
    else:
        result = run(op, op.fwd, data, attrs, state.scope)
    node = None
    if recorded:
        saved = (result if "y" in op.reads else None, *_kept(op, args, data, inputs), *more)
        if op.outputs == 1:
            node = Node(op, attrs, inputs, saved, result.shape, result.dtype, state.scope)
        else:
            shapes = tuple([value.shape for value in result])
            node = Node(op, attrs, inputs, saved, shapes, result[0].dtype, state.scope)
    if state.monitor is not None:
        result = _own(result) if op.outputs == 1 else tuple([_own(value) for value in result])
        state.monitor.forward(op, args, attrs, result, node)
    if op.outputs == 1:
        return Tensor(result, node)
    ports = [node and Port(node, i, value) for i, value in enumerate(result)]
    return tuple([Tensor(value, port) for value, port in zip(result, ports, strict=True)])


def _own(y: Any) -> Any:
    """A result as an object of its own, by which a monitor knows it: NumPy has one object for all that is true."""
    return np.asarray(y) if isinstance(y, np.bool_) else y


def _kept(op: Op, args: tuple[Any, ...], data: list[Any], inputs: tuple[Node | None, ...]) -> list[Any]:
    """The inputs that the vjps read; in place of the others what tells their shape and dtype."""
    if op.reads in ("", "y"):
        return [Spec(v.shape, v.dtype) if n is None else n for v, n in zip(data, inputs, strict=True)]
    kept: list[Any] = []
    for i, (a, value, parent) in enumerate(zip(args, data, inputs, strict=True)):
        if op.keeps_input(i):
            kept.append(value if isinstance(a, Tensor) else copy_unless_frozen(value))
        else:
            kept.append(Spec(value.shape, value.dtype) if parent is None else parent)
    return kept


def _general(op: Op) -> Callable[..., Any]:
    def function(*args: Any, **attrs: Any) -> Any:
        return apply(op, args, attrs)

    return function


def _unary(op: Op) -> Callable[[Any], Any]:
    fwd, reads_x, reads_y, grads = op.fwd, op.keeps_input(0), "y" in op.reads, op.vjps[0] is not None

    def function(x: Any) -> Any:
        if not isinstance(x, Tensor):
            x = x if isinstance(x, np.ndarray) else as_array(x)
            try:
                y = fwd(x)
            except Exception as error:
                y = _again(op, fwd, [x], {}, error, mode().scope)
            return fwd(to_float(x)) if grads and y.dtype is not x.dtype and x.dtype.kind in "biu" else y
        data, parent = x._data, x._node
        state = mode()
        try:
            y = fwd(data)
        except Exception as error:
            y = _again(op, fwd, [data], {}, error, state.scope)
        if y.dtype is not data.dtype and grads:
            y = run(op, fwd, [to_float(data)], {}, state.scope)
        if parent is None or not state.grad or not grads:
            node = None
        else:
            saved = (y if reads_y else None, data if reads_x else parent)
            node = Node(op, NO_ATTRS, (parent,), saved, y.shape, y.dtype, state.scope)
        if state.monitor is not None:
            y = _own(y)
            state.monitor.forward(op, (x,), NO_ATTRS, y, node)
        return Tensor(y, node)

    return function


def _binary(op: Op) -> Callable[[Any, Any], Any]:
    fwd, reads_a, reads_b, reads_y = op.fwd, op.keeps_input(0), op.keeps_input(1), "y" in op.reads
    grads, strict = any(vjp is not None for vjp in op.vjps), op.strict

    def function(x1: Any, x2: Any) -> Any:
        if isinstance(x1, Tensor):
            a, left = x1._data, x1._node
            tensor_dtype = a.dtype
            if isinstance(x2, Tensor):
                b, right = x2._data, x2._node
                if tensor_dtype is not b.dtype:
                    x1, x2 = promote(op, (x1, x2))
                    a, b, left, right = x1._data, x2._data, x1._node, x2._node
            else:
                b, right = operand(x2, tensor_dtype), None
                if b is NotImplemented:
                    return NotImplemented
        elif isinstance(x2, Tensor):
            b, right = x2._data, x2._node
            tensor_dtype = b.dtype
            a, left = operand(x1, tensor_dtype), None
            if a is NotImplemented:
                return NotImplemented
        else:
            return fwd(*[as_array(x) if isinstance(x, (list, tuple)) else x for x in (x1, x2)])
        if strict and dtype_of(a) is not dtype_of(b):
            return apply(op, (x1, x2), NO_ATTRS)
        state = mode()
        try:
            y = fwd(a, b)
        except Exception as error:
            y = _again(op, fwd, [a, b], {}, error, state.scope)
        dtype = y.dtype
        if grads and dtype is not tensor_dtype and dtype is not dtype_of(a) and dtype is not dtype_of(b):
            y = run(op, fwd, [to_float(a), to_float(b)], {}, state.scope)  # integers only
            dtype = y.dtype
        if (left is None and right is None) or not state.grad or not grads:
            node = None
        else:
            kept_a = copy_unless_frozen(a) if reads_a and left is None and a is x1 else a
            kept_b = copy_unless_frozen(b) if reads_b and right is None and b is x2 else b
            if not reads_a:
                kept_a = _number(a) if left is None else left
            if not reads_b:
                kept_b = _number(b) if right is None else right
            saved = (y if reads_y else None, kept_a, kept_b)
            node = Node(op, NO_ATTRS, (left, right), saved, y.shape, dtype, state.scope)
        if state.monitor is not None:
            y = _own(y)
            pair = (x1 if isinstance(x1, Tensor) else a, x2 if isinstance(x2, Tensor) else b)
            state.monitor.forward(op, pair, NO_ATTRS, y, node)
        return Tensor(y, node)

    return function


def _number(value: Any) -> Any:
    """A constant that no vjp reads is kept if it is one number, as such, so that a drawing can show it."""
    shape = getattr(value, "shape", None)
    return value if shape is None else None if shape else value.item()


NO_ATTRS: dict[str, Any] = {}


def run(op: Op, fwd: Callable[..., Any], data: list[Any], attrs: dict[str, Any], scope: Scope) -> Any:
    """Run a kernel of `op`; what NumPy says about wrong shapes is said with op, shapes and place."""
    try:
        return fwd(*data, **attrs)
    except Exception as error:
        return _again(op, fwd, data, attrs, error, scope)


def _again(
    op: Op, fwd: Callable[..., Any], data: list[Any], attrs: dict[str, Any], error: Exception, scope: Scope
) -> Any:
    """After an exception in a kernel: run it quietly if NumPy only warned, else say what is wrong."""
    if isinstance(error, (RuntimeWarning, FloatingPointError)):
        return quiet(fwd)(*data, **attrs)
    if isinstance(error, (TypeError, OverflowError)) and any(to_float(v) is not v for v in data):
        floats = [to_float(v) for v in data]  # a function of real numbers, given integers
        return run(op, fwd, floats, attrs, scope)
    if isinstance(error, (ValueError, TypeError, IndexError, MemoryError)):
        raise explain(op, data, error, scope) from None
    raise error


def explain(op: Op, data: list[Any], error: Exception, scope: Scope) -> Exception:
    """Rewrite NumPy's complaint so that it names the op, the shapes and dtypes, and the place."""
    got = ", ".join(f"{np.shape(a)} {np.result_type(a)}" for a in data)
    place = f" [{scope}]" if str(scope) else ""
    kind = type(error) if type(error) in (TypeError, IndexError) else ValueError
    if isinstance(error, MemoryError):
        kind = MemoryError
    what = str(error).removeprefix(f"{op.name}: ")  # ufuncs name themselves
    return kind(f"{op.name}: {what}; received {got}{place}")
