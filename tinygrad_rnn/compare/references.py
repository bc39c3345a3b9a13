"""What was handed over: gradients by hand, gradients of autodiff, and which belongs to which."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..core.autodiff import grad
from ..core.op import Array, Leaf
from ..core.tensor import Tensor
from .names import flatten, match
from .parameters import ROUNDS, distance, jitter, leaves_of, named
from .report import Row
from .verdict import Reference, eps_of, floor_of, size_of


def manual_gradients(manual: Any, inputs: Any = None) -> dict[str, Any]:
    """The gradients by hand, by name; a callable is called."""
    tree = call(manual, inputs) if callable(manual) else manual
    if not isinstance(tree, Mapping):
        raise TypeError(
            "compare_gradients: manual must be a dict of arrays (nested dicts are welcome) or a callable "
            f"that returns one, received {type(tree).__name__}"
        )
    return flatten(tree)


def array_of(value: Any) -> Array | None:
    """A real array, also of another library's tensor; None for anything else."""
    if not isinstance(value, (Tensor, np.ndarray)) and hasattr(value, "detach"):
        value = value.detach().cpu()  # PyTorch's, with a graph or on another device
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "fiub" else None


def is_function(auto: Any) -> bool:
    """Whether gradients come from a function; a model can be called as well, but has weights."""
    return (
        callable(auto) and not hasattr(auto, "trainable_weights") and not hasattr(auto, "trainable_variables")
    )


def call(function: Callable[..., Any], inputs: Any = None) -> Any:
    """Arrays in, gradients out: what a function of another library, or of the user, returns.

    A function without required arguments is called without any, another one with copies of `inputs` (a
    sequence, or a dict by name). What it returns as a tuple belongs to its arguments, in their order.
    """
    names = [
        p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind < 2
    ]
    if not names:
        found = function()
    elif isinstance(inputs, Mapping):
        names = list(inputs)
        found = function(**{name: np.array(value) for name, value in inputs.items()})
    else:
        found = function(*[np.array(value) for value in inputs or ()])
    if isinstance(found, (tuple, list)):
        return dict(zip(names, found, strict=False))
    single = len(names) == 1 and not isinstance(found, Mapping)
    return {names[0]: found} if single else found


def function_references(function: Callable[..., Any], inputs: Any) -> tuple[dict[str, Reference], list[str]]:
    """The gradients that a function gives, with their noise floors if it has inputs that can be moved."""
    given, again = (manual_gradients(function, inputs) for _ in range(2))
    first = {name: array_of(value) for name, value in given.items() if value is not None}
    for name, g in first.items():
        _require_same(name, g, array_of(again.get(name)))
    items = list(inputs.items()) if isinstance(inputs, Mapping) else list(enumerate(inputs or ()))
    arrays = {key: np.array(value) for key, value in items}
    if not any(a.dtype.kind == "f" for a in arrays.values()):
        return {k: Reference(g) for k, g in first.items()}, [
            "the noise floor was not measured: no float inputs"
        ]
    rng, runs = np.random.default_rng(0), []
    coarsest = eps_of(*arrays.values(), *[g for g in first.values() if g is not None])
    for _ in range(ROUNDS):
        moved = {k: jitter(a, coarsest, rng) if a.dtype.kind == "f" else a for k, a in arrays.items()}
        runs.append(
            manual_gradients(function, moved if isinstance(inputs, Mapping) else list(moved.values()))
        )
    found = {}
    for name, g in first.items():
        others = [a for a in (array_of(run.get(name)) for run in runs) if a is not None]
        found[name] = Reference(g, None if g is None else floor_of(g, others, coarsest))
    return found, []


def _require_same(name: str, g: Array | None, again: Array | None) -> None:
    """Raise `ValueError` if a function gives two gradients for the same inputs; rounding may be its own."""
    if g is None or again is None or g.shape != again.shape or not np.isfinite(g).all():
        return
    if not distance(g, again) <= np.sqrt(eps_of(g)) * size_of(g):
        raise ValueError(
            f"compare_gradients: the function auto is not deterministic: called twice with the same inputs, its "
            f"gradient {name!r} differs by {distance(g, again):.3g}. Switch dropout off, or seed what is random "
            "inside the function"
        )


def references_of(auto: Any, owners: bool = False) -> tuple[dict[str, Reference], dict[str, Tensor]]:
    """The gradients of autodiff by name, and the tensors that they belong to, where these are known."""
    if isinstance(auto, Tensor) and not isinstance(auto._node, Leaf):
        leaves = leaves_of(auto)
        tensors = _owners(leaves) if owners else {}
        handles = [Tensor(np.broadcast_to(np.zeros((), n.dtype), n.shape), n) for n in leaves.values()]
        found = grad(auto, handles, retain_graph=True)
        return {name: Reference(array_of(g)) for name, g in zip(leaves, found, strict=True)}, tensors
    if not isinstance(auto, Mapping):
        tensors = named(auto, "compare_gradients: auto")
        return {name: Reference(t.grad) for name, t in tensors.items()}, tensors
    values = flatten(auto)
    tensors = {k: v for k, v in values.items() if isinstance(v, Tensor) and isinstance(v._node, Leaf)}
    return {k: Reference(v.grad if k in tensors else array_of(v)) for k, v in values.items()}, tensors


def _owners(leaves: Mapping[str, Leaf]) -> dict[str, Tensor]:
    """The Variables and tensors behind leaves: a leaf does not point at what holds it."""
    holders = {t._node: t for t in gc.get_referrers(*leaves.values()) if isinstance(t, Tensor)}
    return {name: holders[leaf] for name, leaf in leaves.items() if leaf in holders}


def pair(
    ours: Mapping[str, Any], known: list[str], mapping: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Row]]:
    """For each known name the value by hand; and rows for what found no partner."""
    pairs: dict[str, Any] = {}
    keys: dict[str, str] = {}
    extra = []
    for key, value in ours.items():
        target = mapping.get(key, key)
        name, *operation = target if isinstance(target, (tuple, list)) else (target,)
        check_operation(key, target, operation)
        found = [name] if name in known else match(name, known)
        array = array_of(value)
        if len(found) == 1 and found[0] not in pairs:
            keys[found[0]], pairs[found[0]] = key, laid_out(array, operation) if operation else value
            continue
        why = "autodiff has no gradient of this name"
        if found:
            rivals = f"{keys[found[0]]!r} is {found[0]!r} already" if len(found) == 1 else " or ".join(found)
            why = f"ambiguous ({rivals}): say which by map={{{key!r}: name}}"
        shape = () if array is None else array.shape
        extra.append(Row(key, shape, verdict="missing", diagnosis=why, extra=True))
    return pairs, extra


def check_operation(key: str, target: Any, operation: list[Any]) -> None:
    """Raise `ValueError` unless `map[key]` is a name, (name, "T") or (name, function)."""
    if operation and operation != ["T"] and not (len(operation) == 1 and callable(operation[0])):
        raise ValueError(
            f"compare_gradients: map[{key!r}] must be a name, (name, 'T') or (name, function), got {target!r}"
        )


def laid_out(array: Array | None, operation: list[Any]) -> Array | None:
    """A hand-written gradient in the layout of autodiff's."""
    if array is None or not operation:
        return array
    return array.T if operation == ["T"] else array_of(operation[0](array))
