"""Reverse-mode differentiation: one walk over the nodes, latest first.

`grad` is the engine; `Tensor.backward` is `grad` for all leaves, adding to their `.grad`. Nothing here
recurses, so a graph may be a million ops deep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from ..config import Scope, enable_grad, mode, switched
from .op import LEAF, OPS, PORT, Array, Leaf, Node, Op
from .record import apply
from .tensor import Tensor, tensor

_by_sequence = attrgetter("seq")


def grad(
    y: Any,
    xs: Any,
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Any:
    """Gradients of `y` with respect to `xs`, one for one: `Σ grad_outputs · ∂y/∂x`.

    `y` is a Tensor or a list of them (their gradients add up); `grad_outputs` their cotangents, needed
    unless each has one element. `xs` is a Tensor (then one gradient comes back) or a list; intermediate
    results may be among them. The result is None where `y` does not depend on `x`. With
    `create_graph=True` the gradients are recorded and can be differentiated again. The graph is freed
    unless `retain_graph` (default: as `create_graph`).

    Raises `TypeError` for integers, `ValueError` for a tensor that was not recorded or a wrong cotangent,
    `RuntimeError` for a freed graph or a Variable assigned since.

    >>> x = tensor(3.0, requires_grad=True)
    >>> (g,) = grad(x * x * x, [x], create_graph=True)
    >>> g.item(), grad(g, x).item()
    (27.0, 18.0)
    """
    ys = list(y) if isinstance(y, (list, tuple)) else [y]
    seeds = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(ys)
    single = isinstance(xs, Tensor)
    targets = [_target(x) for x in ([xs] if single else xs)]
    roots = [_root(out, seed, "grad") for out, seed in zip(ys, seeds, strict=True)]
    retain = create_graph if retain_graph is None else retain_graph
    found = _walk(roots, set(targets), create_graph, retain)
    result = [_as_tensor(found.get(node)) for node in targets]
    return result[0] if single else result


def leaf_gradients(y: Tensor, gradient: Any = None, retain_graph: bool = False) -> dict[Node, Any]:
    """The gradient of `y` for every leaf it depends on, as arrays; `.grad` is left alone."""
    return _walk([_root(y, gradient, "backward")], None, False, retain_graph)


def backward(self: Tensor, gradient: Any = None, retain_graph: bool = False) -> None:
    """Add the gradient of this scalar to `.grad` of every leaf it depends on.

    `gradient` is the cotangent, of this tensor's shape; needed unless it has one element. The graph is
    freed unless `retain_graph`; a second pass over a freed graph raises `RuntimeError`.

    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward(); x.grad
    array([2., 4.], dtype=float32)
    """
    for leaf, value in leaf_gradients(self, gradient, retain_graph).items():
        assert isinstance(leaf, Leaf)
        slot = leaf.slot
        if slot.value is None:
            slot.value = np.array(value, dtype=leaf.dtype)  # its own copy: users clip it in place
        else:
            slot.value += value


Tensor.backward = backward  # type: ignore[method-assign]


def _target(x: Any) -> Node:
    if not isinstance(x, Tensor):
        raise TypeError(f"grad: xs must be Tensors, received {type(x).__name__}")
    if x._node is None:
        if x.dtype.kind not in "fc":
            raise TypeError(f"grad: a tensor of {x.dtype} has no gradient; cast it to floats first")
        raise ValueError(
            f"grad: the tensor of shape {x.shape} is not recorded; make it with requires_grad=True, "
            "outside no_grad()"
        )
    if isinstance(x._node, Leaf):
        _check_fresh(x._node)
    return x._node


def _root(y: Any, seed: Any, caller: str) -> tuple[Node, Any]:
    """Check one output and its cotangent."""
    if not isinstance(y, Tensor):
        raise TypeError(f"{caller}: expected a Tensor to differentiate, received {type(y).__name__}")
    if y._node is None:
        if y.dtype.kind not in "fc":
            raise TypeError(f"{caller}: a tensor of {y.dtype} has no gradient; cast it to floats first")
        raise ValueError(
            f"{caller}: this tensor of shape {y.shape} depends on nothing that requires a gradient "
            "(or it was computed under no_grad())"
        )
    if seed is None:
        if y.size != 1:
            raise ValueError(
                f"{caller}: expected a scalar, received shape {y.shape}; give the cotangent "
                f"(gradient= or grad_outputs=) of that shape, or reduce it, e.g. with .sum()"
            )
        return y._node, np.ones(y.shape, y.dtype)
    shape = np.shape(seed)
    if shape != y.shape:
        raise ValueError(f"{caller}: the cotangent must have shape {y.shape}, received {shape}")
    return y._node, seed if isinstance(seed, Tensor) else np.array(seed, dtype=y.dtype)


def _as_tensor(value: Any) -> Tensor | None:
    return value if value is None or isinstance(value, Tensor) else Tensor(value, None)


def _check_fresh(leaf: Leaf) -> None:
    if leaf.stale:
        raise RuntimeError(
            f"backward: {leaf.label or 'a Variable'} was assigned (or its trainable switch moved) after "
            "the forward pass; compute the loss again before taking its gradient"
        )


def _collect(roots: list[tuple[Node, Any]]) -> tuple[list[Node], set[Node]]:
    """Every node the roots depend on, latest first; and the same as a set."""
    seen = {node for node, _ in roots}
    stack = list(seen)
    nodes: list[Node] = []
    while stack:
        node = stack.pop()
        nodes.append(node)
        if node.op is LEAF:
            _check_fresh(node)  # type: ignore[arg-type]
        elif node.inputs is None:
            raise RuntimeError(
                f"backward: the graph of this tensor was freed by an earlier backward pass (at op "
                f"'{node.op.name}'); pass retain_graph=True to that one, or compute it again"
            )
        for parent in node.inputs:  # type: ignore[union-attr]
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    nodes.sort(key=_by_sequence, reverse=True)
    return nodes, seen


def _towards(nodes: list[Node], targets: set[Node]) -> set[Node]:
    """The nodes through which the targets are reached."""
    active: set[Node] = set()
    for node in reversed(nodes):
        if node in targets or any(p in active for p in node.inputs or ()):
            active.add(node)
    return active


def _walk(
    roots: list[tuple[Node, Any]], targets: set[Node] | None, create_graph: bool, retain: bool
) -> dict[Node, Any]:
    """Propagate cotangents from the roots; return those of the targets (None: of every leaf)."""
    nodes, reached = _collect(roots)
    active = reached if targets is None else _towards(nodes, targets)
    cotangents: dict[Node, Any] = {}  # what has arrived at a node that was not visited yet
    owned: set[Node] = set()  # sums that we allocated, and may add to in place
    deferred: dict[Node, list[Any]] = {}  # uses of a weight, whose gradients are computed together
    found: dict[Node, Any] = {}
    for node, seed in roots:
        seed = _as_tensor(seed) if create_graph else getattr(seed, "_data", seed)
        cotangents[node] = cotangents[node] + seed if node in cotangents else seed
    with np.errstate(all="ignore"), switched(grad=create_graph):
        monitor = mode().monitor
        guarded = False  # a `where` was passed: what it did not take has cotangent 0, and stays out
        for node in nodes:
            g = cotangents.pop(node, None)
            if node in deferred:
                gathered = _gathered(deferred.pop(node))
                g = gathered if g is None else g + gathered
            if g is None or node not in active:
                continue
            op = node.op
            if op is LEAF:
                found[node] = g
                continue
            if targets is not None and node in targets:
                found[node] = g
            inputs = node.inputs
            if op is PORT:  # one output of a node that has several: their cotangents wait in a list
                port: Any = node
                cotangents.setdefault(port.parent, [None] * len(port.parent.shape))[port.index] = g
                continue
            parts = None
            if create_graph:
                with switched(scope=node.scope):
                    parts = _vjps(node, g, _revive(node), active)
            elif op.vjp_all is not None:
                parts = _vjps(node, g, node.saved, active)
            guarded = guarded or op.name == "where"
            vjps, saved, attrs = op.vjps, node.saved, node.attrs
            for i, parent in enumerate(inputs):  # type: ignore[arg-type]
                if parent not in active:
                    continue
                if parts is None:
                    if op.gather is not None and i == len(vjps) - 1:
                        deferred.setdefault(parent, []).append((op, (g, *saved)))  # type: ignore[misc]
                        continue
                    vjp = vjps[i]
                    part = vjp(g, *saved, **attrs) if attrs else vjp(g, *saved)  # type: ignore[misc]
                else:
                    part = parts[i]
                if op.broadcasts:
                    if guarded:
                        part = _masked(g, part)
                    if part.shape != parent.shape:
                        part = sum_to(part, parent.shape)
                if part.dtype is not parent.dtype and part.dtype != parent.dtype:
                    part = part.astype(parent.dtype)
                if monitor is not None:
                    monitor(op.name, "backward", part, node.scope)
                if parent not in cotangents:
                    cotangents[parent] = part
                elif parent in owned:
                    cotangents[parent] += part
                else:
                    cotangents[parent] = total = cotangents[parent] + part
                    if type(total) is np.ndarray:
                        owned.add(parent)
    if not retain:
        for node in nodes:
            if node.op is not LEAF:
                node.inputs = node.saved = None
    return found


def _gathered(uses: list[tuple[Op, tuple[Any, ...]]]) -> Any:
    """The gradient of a value from all its uses as the last input of ops that can `gather`."""
    total: Any = None
    for op in dict.fromkeys(op for op, _ in uses):
        assert op.gather is not None
        part = op.gather([arguments for other, arguments in uses if other is op])
        total = part if total is None else total + part
    return total


def _masked(g: Any, part: Any) -> Any:
    """`part`, but 0 where the cotangent is 0: `0 · inf` must not become NaN behind a `where`."""
    if isinstance(g, Tensor) or isinstance(part, Tensor):
        return apply(OPS["where"], (g == 0, np.zeros((), part.dtype), part), {})
    return np.where(g == 0, 0, part) if part.dtype == g.dtype else part


def _vjps(node: Node, g: Any, saved: Any, active: set[Node]) -> Sequence[Any]:
    """The gradients of the inputs of one node; only those on the way to a target are computed."""
    op = node.op
    if op.vjp_all is None:
        pairs = zip(op.vjps, node.inputs or (), strict=True)
        return [vjp(g, *saved, **node.attrs) if vjp and p in active else None for vjp, p in pairs]
    if op.outputs != 1:
        g = [np.zeros(s, node.dtype) if p is None else p for p, s in zip(g, node.shape, strict=True)]
    parts: Sequence[Any] = op.vjp_all(g, *saved, **node.attrs)
    return parts


def _revive(node: Node) -> list[Any]:
    """The saved values as Tensors in the graph, so that what a vjp does with them is recorded."""
    assert node.saved is not None and node.inputs is not None
    y, *xs = node.saved
    revived = [None if y is None else Tensor(y, node)]
    for x, parent in zip(xs, node.inputs, strict=True):
        keep = parent is None or x is parent or x is None
        revived.append(x if keep else Tensor(x, parent))
    return revived


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum over the axes that broadcasting added or stretched: the adjoint of broadcasting."""
    lead = g.ndim - len(shape)
    axes = [*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1)]
    return g.sum(axis=tuple(axes)).reshape(shape) if axes else g.reshape(shape)


# --- functions of functions ---------------------------------------------------------------------


def stop_gradient(x: Any) -> Any:
    """The same value, through which no gradient flows.

    >>> x = tensor(2.0, requires_grad=True)
    >>> grad(x * stop_gradient(x), x).item()
    2.0
    """
    return x.detach() if isinstance(x, Tensor) else x


def value_and_grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Return a function that gives `(f(*args), gradient)`; with several `argnums`, a tuple of gradients.

    The arguments become Tensors; `f` must return a scalar. A gradient is zero where `f` does not depend
    on the argument.

    >>> value, g = value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    >>> value.item(), g.tolist()
    (5.0, [2.0, 4.0])
    """
    picks = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def function(*args: Any, **kwargs: Any) -> Any:
        leaves = {i: _leaf(args[i]) for i in picks}
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
            y, gradient = f(*args)
        inputs = tuple(a._node if isinstance(a, Tensor) else None for a in args)
        value = y._data if isinstance(y, Tensor) else np.asarray(y)
        if not mode().grad or all(n is None for n in inputs):
            return Tensor(value, None)

        def vjp_all(g: Any, *_: Any) -> list[Any]:
            parts = gradient(*args, upstream=_as_tensor(g))
            parts = parts if isinstance(parts, (list, tuple)) else (parts,)
            if len(parts) != len(args):
                raise ValueError(f"{name}: grad returned {len(parts)} gradients for {len(args)} arguments")
            recorded = isinstance(g, Tensor)
            return [
                _checked(name, i, p, a, recorded) for i, (p, a) in enumerate(zip(parts, args, strict=True))
            ]

        op = Op(name, _no_replay, vjp_all=vjp_all, doc=f.__doc__ or "")
        saved = (None, *[None] * len(args))
        return Tensor(value, Node(op, {}, inputs, saved, value.shape, value.dtype, mode().scope))

    function.__name__, function.__doc__ = name, f.__doc__
    return function


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


__all__ = [
    "Scope",
    "backward",
    "custom_gradient",
    "grad",
    "hvp",
    "jacobian",
    "stop_gradient",
    "value_and_grad",
]
