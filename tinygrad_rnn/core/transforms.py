"""Functions of functions: value_and_grad, jacobian, hvp, and custom_gradient for ops of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..config import enable_grad, mode, switched
from .autodiff import as_tensor, grad
from .op import Array, Node, Op
from .tensor import Tensor, tensor


def stop_gradient(variable: Any) -> Any:
    """The same value, through which no gradient flows.

    >>> x = tensor(2.0, requires_grad=True)
    >>> grad(x * stop_gradient(x), x).item()
    2.0
    """
    return variable.detach() if hasattr(variable, "detach") else variable  # a Tensor, or what stands for one


def value_and_grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return a function that gives `(f(*args), gradient)`; with several `argnums`, a tuple of gradients.

    The arguments become Tensors; `f` must return a scalar. A gradient is zero where `f` does not depend
    on the argument. Raises `TypeError` for an argument that is not there, or holds several tensors.

    >>> value, g = value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    >>> value.item(), g.tolist()
    (5.0, [2.0, 4.0])
    """
    picks = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def function(*args: Any, **kwargs: Any) -> Any:
        leaves = dict([_argument(args, i) for i in picks])
        with enable_grad():
            value = f(*[leaves.get(i, a) for i, a in enumerate(args)], **kwargs)
        grads = _grad_or_zeros(value, list(leaves.values()))
        return stop_gradient(value), grads[0] if isinstance(argnums, int) else tuple(grads)

    return function


def jacobian(f: Callable[[Any], Any]) -> Callable[[Any], Tensor]:
    """Return the function `x -> ∂f/∂x`, of shape `f(x).shape + x.shape`: one backward pass per output.

    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """

    def function(x: Any) -> Tensor:
        leaf = _leaf(x)
        with enable_grad():
            y = f(leaf)
        if not isinstance(y, Tensor) or y._node is None:
            return Tensor(np.zeros(np.shape(y) + leaf.shape, leaf.dtype), None)
        rows = np.zeros((y.size, *leaf.shape), leaf.dtype)
        for i in range(y.size):
            seed = np.zeros(y.size, y.dtype)
            seed[i] = 1
            row = grad(y, [leaf], seed.reshape(y.shape), retain_graph=True)[0]
            if row is not None:
                rows[i] = row._data
        return Tensor(rows.reshape(y.shape + leaf.shape), None)

    return function


def hvp(f: Callable[[Any], Any], x: Any, v: Any) -> Tensor:
    """Hessian-vector product `∂²f/∂x² · v`, by differentiating `⟨∂f/∂x, v⟩`.

    >>> hvp(lambda x: (x * x * x).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0])).tolist()
    [6.0, 12.0]
    """
    leaf = _leaf(x)
    if np.shape(v) != leaf.shape:
        raise ValueError(f"hvp: v must have the shape of x, {leaf.shape}, received {np.shape(v)}")
    with enable_grad():
        first = grad(f(leaf), [leaf], create_graph=True)[0]
        if first is None or first._node is None:
            return Tensor(np.zeros(leaf.shape, leaf.dtype), None)
        inner = (first * np.asarray(v, leaf.dtype)).sum()
    return _grad_or_zeros(inner, [leaf])[0]


def _argument(args: tuple[Any, ...], i: int) -> tuple[int, Tensor]:
    """The place of an argument of `value_and_grad`, counted from the end if negative, and its Tensor."""
    if not -len(args) <= i < len(args):
        raise TypeError(f"value_and_grad: argnums has {i}, received {len(args)} arguments (by position)")
    place, value = i % len(args), args[i]
    items = value if isinstance(value, (list, tuple)) else ()
    shapes = {item.shape for item in items if isinstance(item, np.ndarray)}
    if isinstance(value, dict) or len(shapes) > 1 or any(isinstance(item, Tensor) for item in items):
        raise TypeError(
            f"value_and_grad: argument {place} is a {type(value).__name__} of tensors; give each as an argument of its "
            "own, with argnums=(0, 1, ...), or make them Variables and use tg.grad(loss, variables)"
        )
    return place, _leaf(value)


def _leaf(x: Any) -> Tensor:
    return tensor(x, requires_grad=True)


def _grad_or_zeros(y: Any, leaves: list[Tensor]) -> list[Tensor]:
    depends = not isinstance(y, Tensor) or y._node is not None
    grads = grad(y, leaves) if depends else [None] * len(leaves)
    return [
        Tensor(np.zeros(x.shape, x.dtype), None) if g is None else g
        for x, g in zip(leaves, grads, strict=True)
    ]


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a function with its own gradient, as in Keras.

    `f(*args)` returns `(y, grad)`; `grad(*args, upstream=None)` gets the cotangent of `y` as `upstream`
    and returns the gradient of each argument (one value, or a tuple). Written in ops, it can be
    differentiated again.

    >>> @custom_gradient
    ... def straight_through(x):
    ...     return np.round(x), lambda *args, upstream=None: upstream
    >>> x = tensor(1.7, requires_grad=True)
    >>> grad(straight_through(x) * 3, x).item()
    3.0
    """

    name = getattr(f, "__name__", "custom")  # not `op.name`: a closure over the op that holds it is a cycle

    def function(*args: Any) -> Any:
        with switched(grad=False):
            pair = f(*args)
        if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
            raise TypeError(
                f"{name}: a function under custom_gradient returns (y, grad), received {_kind(pair)}"
            )
        y, gradient = pair
        inputs = tuple(a._node if isinstance(a, Tensor) else None for a in args)
        value = y._data if isinstance(y, Tensor) else np.array(y)
        if not mode().grad or all(n is None for n in inputs):
            return Tensor(value, None)

        def vjp_all(g: Any, *_: Any) -> list[Any]:
            parts = gradient(*args, upstream=as_tensor(g))
            parts = parts if isinstance(parts, (list, tuple)) else (parts,)
            if len(parts) != len(args):
                raise ValueError(f"{name}: grad returned {len(parts)} gradients for {len(args)} arguments")
            recorded = isinstance(g, Tensor)
            return [
                _checked(name, i, p, a, recorded) for i, (p, a) in enumerate(zip(parts, args, strict=True))
            ]

        op = Op(name, _no_replay, vjp_all=vjp_all, doc=f.__doc__ or "")
        saved = (None, *[None] * len(args))
        node = Node(op, {}, inputs, saved, value.shape, value.dtype, mode().scope)
        monitor = mode().monitor
        if monitor is not None:
            monitor.forward(op, args, {}, value, node)
        return Tensor(value, node)

    function.__name__, function.__doc__ = name, f.__doc__
    return function


def _kind(value: Any) -> str:
    """What a function returned, in words."""
    if isinstance(value, tuple):
        return f"a tuple of {', '.join(type(item).__name__ for item in value) or 'nothing'}"
    return type(value).__name__


def _no_replay(*_: Array) -> Array:
    raise RuntimeError("an op made by custom_gradient has no kernel of its own to run again")


def _checked(name: str, i: int, part: Any, arg: Any, recorded: bool) -> Any:
    """One gradient that a user's function returned: the right shape, or an error that says which."""
    if not isinstance(arg, Tensor):
        return None
    if part is None:
        return np.zeros(arg.shape, arg.dtype)
    if np.shape(part) != arg.shape:
        raise ValueError(
            f"{name}: the gradient of argument {i} must have shape {arg.shape}, received {np.shape(part)}"
        )
    if recorded:
        return part if isinstance(part, Tensor) else Tensor(np.asarray(part), None)
    return part._data if isinstance(part, Tensor) else np.asarray(part)
