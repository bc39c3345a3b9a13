"""The parameters of a loss: name them, move them, and put everything back as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from ..config import SeedGenerator, enable_grad, generator, no_grad
from ..core.autodiff import grad
from ..core.op import Array, GradSlot, Leaf, Node
from ..core.tensor import Tensor
from ..locks import new_lock

ROUNDS = 3  # perturbed runs that measure a noise floor
_EXCLUSIVE = new_lock()  # parameters and the op table are shared: one check at a time


def named(params: Any, caller: str) -> dict[str, Tensor]:
    """Names and leaves: from a dict, a list, one tensor, or a model or layer (its trainable weights).

    Raises `TypeError` for integers and for what is no tensor, `ValueError` for a tensor that is no
    trainable leaf, or if there is nothing.
    """
    if not isinstance(params, (Mapping, Tensor)):
        for attribute in ("trainable_weights", "trainable_variables"):
            params = getattr(params, attribute, params)
    if isinstance(params, Tensor):
        params = [params]
    if isinstance(params, Mapping):
        found = dict(params)
    elif isinstance(params, Iterable):
        found = {}
        for i, leaf in enumerate(params):
            found[_unused(label(leaf) or f"params[{i}]", found)] = leaf
    else:
        raise TypeError(
            f"{caller}: expected a dict or list of Variables, a model or a layer, "
            f"received {type(params).__name__}"
        )
    if not found:
        raise ValueError(f"{caller}: there are no parameters; a model has none before it is built")
    for name, leaf in found.items():
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"{caller}: parameter {name!r} must be a Variable or tensor(..., requires_grad=True), "
                f"received {type(leaf).__name__}"
            )
        if leaf.dtype.kind != "f":
            raise TypeError(f"{caller}: parameter {name!r} is {leaf.dtype}; expected floats")
        if not isinstance(leaf._node, Leaf):
            raise ValueError(
                f"{caller}: parameter {name!r} is no leaf; give a trainable Variable or "
                "tensor(..., requires_grad=True)"
            )
    return found


def label(leaf: Any) -> str | None:
    """The path of a Variable, or the name of a tensor."""
    return getattr(leaf, "path", None) or getattr(leaf, "name", None)


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    """`name`, or the first of `name#2`, `name#3`, … that is free."""
    numbers = (f"{name}#{k}" for k in range(2, len(taken) + 3))
    return name if name not in taken else next(n for n in numbers if n not in taken)


def ancestors(root: Tensor) -> list[Node]:
    """Every node that a tensor depends on, earliest first."""
    seen: set[Node] = set() if root._node is None else {root._node}
    stack = list(seen)
    while stack:
        for parent in stack.pop().inputs or ():
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: node.seq)


def leaves_of(loss: Tensor) -> dict[str, Leaf]:
    """The leaves that a loss depends on, by name, in the order in which they were made."""
    found: dict[str, Leaf] = {}
    for node in ancestors(loss):
        if isinstance(node, Leaf):
            found[_unused(node.name or "tensor", found)] = node
    return found


# --- leaving no trace -----------------------------------------------------------------------------


class Carried:
    """What a model carries from one call to the next: states, moving averages, random streams.

    Nothing for a dict or a list of parameters.
    """

    def __init__(self, model: Any) -> None:
        layers = list(_layers(model))
        self.attributes = [(layer, dict(vars(layer))) for layer in layers]
        values = [value for _, attributes in self.attributes for value in attributes.values()]
        self.lists = [(value, list(value)) for value in values if isinstance(value, list)]
        self.streams = [(value, value.state) for value in values if isinstance(value, SeedGenerator)]
        frozen = {id(v): v for layer in layers for v in getattr(layer, "non_trainable_weights", ())}
        self.variables = [(v, v._data, v._node) for v in frozen.values() if isinstance(v, Tensor)]

    def rewind(self) -> None:
        """Start the next evaluation where the first one started; random streams go on."""
        for variable in self.variables:
            _place(*variable)
        for layer, attributes in self.attributes:
            if getattr(layer, "stateful", False):
                vars(layer).update(attributes)

    def restore(self) -> None:
        """Put everything back."""
        self.rewind()
        for layer, attributes in self.attributes:
            vars(layer).clear()
            vars(layer).update(attributes)
        for value, content in self.lists:
            value[:] = content
        for stream, state in self.streams:
            stream.state = state


def _layers(model: Any) -> Iterator[Any]:
    """A model or layer and all that is in it."""
    if hasattr(model, "trainable_weights") or hasattr(model, "trainable_variables"):
        yield model
        for layer in model.sublayers() if hasattr(model, "sublayers") else ():
            yield from _layers(layer)


@contextmanager
def untouched(
    tensors: Iterable[Tensor], carried: Carried | None = None, arrays: Iterable[Array] = ()
) -> Iterator[None]:
    """Run a block, then put back bit for bit what it may have changed, also after an exception.

    Tensors get the identical array and graph node again, so that a graph recorded before stays valid;
    `.grad`, the arrays, what a model carries, the random streams and NumPy's error switches return to
    what they were.
    """
    with ExitStack() as undo:
        undo.enter_context(_EXCLUSIVE)
        for tensor in tensors:
            undo.callback(_place, tensor, tensor._data, tensor._node)
            if isinstance(tensor._node, Leaf):
                slot = tensor._node.slot
                undo.callback(_set_grad, slot, slot.value, None if slot.value is None else slot.value.copy())
        for array in arrays:
            undo.callback(np.copyto, array, array.copy())
        stream = generator(None).bit_generator
        undo.callback(setattr, stream, "state", stream.state)
        undo.callback(np.random.set_state, np.random.get_state())
        undo.callback(random.setstate, random.getstate())
        undo.callback(lambda switches: np.seterr(**switches), np.geterr())
        if carried is not None:
            undo.callback(carried.restore)
        yield


def _place(tensor: Tensor, data: Array, node: Node | None) -> None:
    tensor._data, tensor._node = data, node


def _set_grad(slot: GradSlot, value: Array | None, content: Array | None) -> None:
    if value is not None and content is not None and value.flags.writeable:
        value[...] = content  # the loss function may have added to it in place
    slot.value = value


class Probe:
    """A loss as a function of its parameters' arrays; to be used inside `untouched`."""

    def __init__(
        self, f: Callable[[], Any], tensors: Mapping[str, Tensor], carried: Carried | None = None
    ) -> None:
        self.f = f
        self.tensors = dict(tensors)
        self.carried = carried

    def place(self, arrays: Mapping[str, Array]) -> None:
        """Give parameters new arrays, of any float or complex type, and states their first values."""
        if self.carried is not None:
            self.carried.rewind()
        for name, array in arrays.items():
            tensor = self.tensors[name]
            _place(tensor, array, Leaf(array.shape, array.dtype, label(tensor)))

    def loss(self) -> Tensor:
        """One evaluation of the loss; raises unless it is a scalar Tensor."""
        y = self.f()
        if not isinstance(y, Tensor):
            raise TypeError(f"the loss function must return a scalar Tensor, it returned {type(y).__name__}")
        if y.size != 1:
            raise ValueError(
                f"the loss function must return a scalar, it returned shape {y.shape}; reduce it, "
                "e.g. with .sum()"
            )
        return y

    def value(self, arrays: Mapping[str, Array]) -> Any:
        """The loss as a Python number, without recording."""
        self.place(arrays)
        with no_grad():
            return self.loss().item()

    def record(self, arrays: Mapping[str, Array]) -> Tensor:
        """The loss with its graph."""
        self.place(arrays)
        with enable_grad():
            return self.loss()

    def gradients(self, y: Tensor) -> dict[str, Array | None]:
        """The gradient of a recorded loss for every parameter."""
        if y._node is None:
            return dict.fromkeys(self.tensors)
        found = grad(y, list(self.tensors.values()))
        return {name: None if g is None else g._data for name, g in zip(self.tensors, found, strict=True)}


def require_same(first: float, second: float, eps: float) -> None:
    """Raise `ValueError` if a loss has two values, beyond rounding, for the same parameters and inputs."""
    if not np.isclose(first, second, rtol=16 * eps, atol=0, equal_nan=True):
        raise ValueError(
            f"the loss function is not deterministic: it returned {first!r}, then {second!r} for the same "
            "parameters and inputs, so its gradient is another one each time. Switch dropout off "
            "(training=False), seed what is random inside the function, and reset states there"
        )


def distance(a: Array | None, b: Array | None) -> float:
    """`max |a − b|` of two gradients, of which None stands for zero.

    >>> distance(np.array([1.0, -3.0]), None)
    3.0
    """
    with np.errstate(invalid="ignore"):
        gap = np.subtract(0.0 if a is None else a, 0.0 if b is None else b)
    return float(np.abs(gap).max(initial=0))


def jitter(array: Array, eps: float, rng: np.random.Generator) -> Array:
    """Move every element by about one unit in the last place: `a (1 + eps s)`, s drawn from −1, 0, 1.

    >>> jitter(np.array([0.0, 1.0]), 0.5, np.random.default_rng(2)).tolist()
    [0.0, 0.5]
    """
    moved = array.astype(np.float64) * (1.0 + eps * rng.integers(-1, 2, array.shape))
    return moved.astype(array.dtype)
