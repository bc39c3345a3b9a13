"""Reverse-mode differentiation: one walk over the nodes, latest first.

`grad` is the engine; `Tensor.backward` is `grad` for all leaves, adding to their `.grad`. Nothing here
recurses, so a graph may be a million ops deep.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from ..config import mode, switched
from ..denormals import flushed
from .arrays import choose, nothing
from .op import LEAF, OPS, PORT, Leaf, Node, Op
from .record import apply, tracing
from .tensor import Tensor, Variable

_by_sequence = attrgetter("seq")
MOST_USES = 32  # uses of one weight that are gathered: more would only hold memory


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

    >>> from tinygrad_rnn import tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> (g,) = grad(x * x * x, [x], create_graph=True)
    >>> g.item(), grad(g, x).item()
    (27.0, 18.0)
    """
    ys = y if isinstance(y, (list, tuple)) else [y]
    seeds = grad_outputs if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(ys)
    if len(seeds) != len(ys):
        raise ValueError(f"grad: expected {len(ys)} grad_outputs, one for each y, received {len(seeds)}")
    single = isinstance(xs, Tensor)
    targets = [_target(x) for x in ([xs] if single else xs)]
    roots = [_root(out, seed, "grad") for out, seed in zip(ys, seeds, strict=True)]
    found = _walk(roots, set(targets), create_graph, create_graph if retain_graph is None else retain_graph)
    result = [as_tensor(found.get(node)) for node in targets]
    return result[0] if single else result


def leaf_gradients(y: Tensor, gradient: Any = None, retain_graph: bool = False) -> dict[Node, Any]:
    """The gradient of `y` for every leaf it depends on, as arrays; `.grad` is left alone."""
    return _walk([_root(y, gradient, "backward")], None, False, retain_graph)


def backward(self: Tensor, gradient: Any = None, retain_graph: bool = False) -> None:
    """Add the gradient of this scalar to `.grad` of every leaf it depends on.

    `gradient` is the cotangent, of this tensor's shape; needed unless it has one element. The graph is
    freed unless `retain_graph`; a second pass over a freed graph raises `RuntimeError`.

    >>> from tinygrad_rnn import tensor
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


Tensor.backward = backward  # type: ignore[assignment, method-assign]


def _target(x: Any) -> Node:
    if not isinstance(x, Tensor):
        raise TypeError(f"grad: xs must be Tensors, received {type(x).__name__}")
    if (node := x._node) is None:
        why = f"the tensor of shape {x.shape} is not recorded; make it with requires_grad=True, outside no_grad()"
        if isinstance(x, Variable):
            why = f"{x.path!r} is frozen; set trainable = True, of it and its layer, before the loss is computed"
        raise _without_gradient(x, "grad", why)
    if isinstance(node, Leaf):
        _check_end(node)
    return node


def _root(y: Any, seed: Any, caller: str) -> tuple[Node, Any]:
    """Check one output and its cotangent."""
    if not isinstance(y, Tensor):
        raise TypeError(f"{caller}: expected a Tensor to differentiate, received {type(y).__name__}")
    if (node := y._node) is None:
        why = "depends on nothing that requires a gradient (or it was computed under no_grad())"
        raise _without_gradient(y, caller, f"this tensor of shape {y.shape} {why}")
    if seed is None:
        if y.size != 1:
            raise ValueError(
                f"{caller}: expected a scalar, received shape {y.shape}; give the cotangent "
                f"(gradient= or grad_outputs=) of that shape, or reduce it, e.g. with .sum()"
            )
        return node, np.ones(y.shape, y.dtype)
    shape = np.shape(seed)
    if shape != y.shape:
        raise ValueError(f"{caller}: the cotangent must have shape {y.shape}, received {shape}")
    return node, seed if isinstance(seed, Tensor) else np.array(seed, dtype=y.dtype)


def _without_gradient(x: Tensor, caller: str, why: str) -> Exception:
    """The error for a tensor that was not recorded, for the reason `why`."""
    if x.dtype.kind not in "fc":
        return TypeError(f"{caller}: a tensor of {x.dtype} has no gradient; cast it to floats first")
    return ValueError(f"{caller}: {why}")


def as_tensor(value: Any) -> Tensor | None:
    """A gradient as a Tensor; None stays None."""
    return value if value is None or isinstance(value, Tensor) else Tensor(value, None)


def _check_end(node: Node) -> None:
    """Raise unless a node without inputs is a leaf that still has its value."""
    if not isinstance(node, Leaf):
        raise RuntimeError(
            f"backward: the graph of this tensor was freed by an earlier backward pass (at op "
            f"'{node.op.name}'); pass retain_graph=True to that one, or compute it again"
        )
    if node.stale:
        raise RuntimeError(
            f"backward: {node.name or 'a Variable'} was assigned (or its trainable switch moved) after "
            "the forward pass; compute the loss again before taking its gradient"
        )


def collect(roots: list[tuple[Node, Any]], ends: Container[Node] = ()) -> list[Node]:
    """Every node the roots depend on, latest first, but nothing beyond the `ends`."""
    seen = {node for node, _ in roots}
    stack = list(seen)
    nodes: list[Node] = []
    while stack:
        node = stack.pop()
        nodes.append(node)
        if node in ends and node.op is not LEAF:
            continue
        if not node.inputs:
            _check_end(node)
            continue
        for parent in node.inputs:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    nodes.sort(key=_by_sequence, reverse=True)
    return nodes


def _towards(nodes: list[Node], targets: set[Node] | None) -> set[Node] | None:
    """The nodes through which the targets are reached; None if these are all nodes."""
    if targets is None or all([node in targets for node in nodes if node.op is LEAF]):
        return None
    active = set(targets)
    for node in reversed(nodes):
        for parent in node.inputs or ():
            if parent in active:
                active.add(node)
                break
    return active


def _walk(
    roots: list[tuple[Node, Any]], targets: set[Node] | None, create_graph: bool, retain: bool
) -> dict[Node, Any]:
    """Propagate cotangents from the roots; return those of the targets (None: of every leaf)."""
    nodes = collect(roots)
    found = propagate(nodes, roots, targets, create_graph)
    if not retain:
        for node in nodes:
            if node.inputs:
                node.inputs = node.saved = None
    return found


def propagate(
    nodes: list[Node],
    roots: list[tuple[Node, Any]],
    targets: set[Node] | None,
    create_graph: bool,
    guarded: bool = False,  # a `where` was passed: what it did not take has cotangent 0, and stays out
    through: bool = True,  # a target passes its cotangent on, as another one may lie behind it
) -> dict[Node, Any]:
    """The cotangents of the targets (None: of every leaf) from those of the roots; `nodes` are the latest first."""
    active = _towards(nodes, targets)
    cotangents: dict[Node, Any] = {}  # what has arrived at a node that was not visited yet
    owned: set[Node] = set()  # sums that we allocated, and may add to in place
    deferred: dict[Node, list[Any]] = {}  # uses of a weight, whose gradients are computed together
    found: dict[Node, Any] = {}
    for node, seed in roots:
        seed = as_tensor(seed) if create_graph else getattr(seed, "_data", seed)
        cotangents[node] = cotangents[node] + seed if node in cotangents else seed
    with flushed(), np.errstate(all="ignore"), switched(grad=create_graph):
        monitor = mode().monitor
        together = monitor is None and "defer" not in mode().passes  # debug_nans looks at each use
        for node in nodes:
            g = cotangents.pop(node, None)
            if deferred and node in deferred:
                gathered = _gathered(deferred.pop(node))
                g = gathered if g is None else g + gathered
            if g is None or (active is not None and node not in active):
                continue
            if monitor is not None:
                monitor.arrived(node, g)
            op, attrs = node.op, node.attrs
            inputs: Any = node.inputs
            saved: Any = node.saved
            if targets is not None and node in targets:
                found[node] = g
                if not through:
                    continue
            guarded = guarded or op.name == "where"
            if op.inner and node.saved is not None:
                guarded = node.saved[0].pass_on(guarded)
            vjps: Sequence[Any] = op.vjps
            parts: Sequence[Any] | None = None
            if create_graph or not vjps:  # all gradients of the node at once
                if op is LEAF:
                    found[node] = g
                    continue
                if op is PORT:  # one output of a node that has several: their cotangents wait in a list
                    port: Any = node
                    if port.parent not in cotangents:  # the list is as long as the sequence: make it once
                        cotangents[port.parent] = [None] * len(port.parent.shape)
                    cotangents[port.parent][port.index] = g
                    continue
                if create_graph:
                    with switched(scope=node.scope):
                        vjps = parts = _all_vjps(node, g, _revive(node), active)
                else:
                    vjps = parts = _all_vjps(node, g, saved, active)
            elif op.gather is not None and together:
                parent = inputs[-1]
                if parent is not None and (active is None or parent in active):
                    inputs = inputs[:-1]
                    uses = deferred.setdefault(parent, [])
                    uses.append((op, (g, *saved)))
                    if len(uses) == MOST_USES:
                        part = _gathered(deferred.pop(parent))
                        cotangents[parent] = cotangents[parent] + part if parent in cotangents else part
            if two := parts is None and not attrs and len(saved) == 3:
                y, a, b = saved
            for vjp, parent in zip(vjps, inputs):  # noqa: B905 - strict= costs time
                if vjp is None or parent is None or (active is not None and parent not in active):
                    continue
                if parts is not None:
                    part = vjp  # computed already
                elif two:
                    part = vjp(g, y, a, b)  # as below, but Python calls it in half the time
                else:
                    part = vjp(g, *saved, **attrs) if attrs else vjp(g, *saved)
                if guarded and op.broadcasts:
                    part = masked(g, part)
                if op.broadcasts and node.shape != parent.shape:
                    part = sum_to(part, parent.shape)
                if part.dtype is not parent.dtype and part.dtype != parent.dtype:
                    part = part.astype(parent.dtype)
                if monitor is not None:
                    monitor.backward(node, parent, part)
                total = cotangents.get(parent)
                if total is None:
                    cotangents[parent] = part
                elif parent in owned:
                    total += part
                else:
                    cotangents[parent] = total = total + part
                    if type(total) is np.ndarray:
                        owned.add(parent)
    return found


def _gathered(uses: list[tuple[Op, tuple[Any, ...]]]) -> Any:
    """The gradient of a value from all its uses as the last input of ops that can `gather`."""
    total: Any = None
    for op in dict.fromkeys(op for op, _ in uses):
        assert op.gather is not None
        part = op.gather([arguments for other, arguments in uses if other is op])
        total = part if total is None else total + part
    return total


def masked(g: Any, part: Any) -> Any:
    """`part`, but 0 where the cotangent is 0: `0 · inf` must not become NaN behind a `where`."""
    if isinstance(g, Tensor) or isinstance(part, Tensor):
        return apply(OPS["where"], (not_taken(g, part), np.zeros((), part.dtype), part), {})
    return choose(g == 0, 0, part) if part.dtype == g.dtype else part


def not_taken(g: Any, part: Any) -> Any:
    """Where a cotangent 0 says that a branch was not taken, and the gradient `part` has to stay out.

    If it is to be differentiated again, by `g` too, only where it is not finite: else it is 0 by itself.
    """
    if not isinstance(g, Tensor) or tracing():
        return g == 0
    return (g._data == 0) & ~np.isfinite(getattr(part, "_data", part))


def _all_vjps(node: Node, g: Any, saved: Any, active: set[Node] | None) -> Sequence[Any]:
    """The gradients of all inputs of one node; None for those that lead to no target."""
    op, inputs = node.op, node.inputs or ()
    if op.outputs != 1:
        g = [nothing(s, node.dtype) if p is None else p for p, s in zip(g, node.shape, strict=True)]
    if op.vjp_all is not None:
        found: Sequence[Any] = op.vjp_all(g, *saved, **({"active": active} if op.inner else node.attrs))
        return found
    wanted = [p is not None and (active is None or p in active) for p in inputs]
    pairs = zip(op.vjps, wanted, strict=True)
    return [vjp(g, *saved, **node.attrs) if vjp and want else None for vjp, want in pairs]


def _revive(node: Node) -> list[Any]:
    """The saved values as Tensors in the graph, so that what a vjp does with them is recorded."""
    assert node.saved is not None and node.inputs is not None
    y, *xs = node.saved[: 1 + len(node.inputs)]
    revived = [None if y is None else Tensor(y, node)]
    for x, parent in zip(xs, node.inputs, strict=True):
        keep = parent is None or x is parent or x is None
        revived.append(x if keep else Tensor(x, parent))
    return revived


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum over the axes that broadcasting added or stretched: the adjoint of broadcasting."""
    lead = g.ndim - len(shape)
    if lead and type(g) is np.ndarray and g.shape[lead:] == shape:  # a bias
        return np.add.reduce(g, axis=(0, 1) if lead == 2 else tuple(range(lead)))
    axes = [*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1)]
    return g.sum(axis=tuple(axes)).reshape(shape) if axes else g.reshape(shape)
