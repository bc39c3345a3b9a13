"""`Tracked`: the weights of a layer and of the layers inside it, found in its attributes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from operator import is_
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..bptt.outside.kinds import OF_CALLS
from ..config import Scope, mode, no_grad, switched
from ..core.tensor import Variable
from ..warn import warn
from .arguments import SEVERAL, reset_after_hint
from .symbolic import flatten

largest_weight: ContextVar[float] = ContextVar("tinygrad_rnn_largest_weight", default=math.inf)
changes = [0]  # how often an attribute of a layer was set, in this process
_said: WeakKeyDictionary[Tracked, set[str]] = WeakKeyDictionary()  # warnings
_SCALARS = frozenset({str, int, float, bool, type(None)})


def check_size(name: str, shape: Any) -> None:
    """Raise `ValueError` for what is no shape, and for more than `largest_weight` elements.

    A file must not ask for what it does not hold.
    """
    sizes = [shape] if isinstance(shape, str) or not hasattr(shape, "__iter__") else list(shape)
    if not all(isinstance(size, (int, np.integer)) and size >= 0 for size in sizes) or sizes == [shape]:
        hint = ": name the arguments, add_weight(shape=(3, 4), name='kernel')"
        if any(isinstance(size, (tuple, list)) for size in sizes):
            hint = f": the layer got several tensors{SEVERAL}"
        raise ValueError(
            f"{name}: the shape of a weight is a tuple of whole numbers ≥ 0, received {shape!r}{hint}"
        )
    if math.prod(shape) > largest_weight.get():
        raise ValueError(f"{name}: a weight of shape {shape} is larger than every array of the file")


def building(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """A `build` after which the layer is built, also where a layer that holds it calls it, as Keras's cells do."""

    @functools.wraps(build)
    def built(self: Any, input_shape: Any) -> None:
        outside = mode().scope.layer
        if outside not in ("", self.path) and self.path == self.name:
            self.path = f"{outside}/{self.name}"
        with no_grad(), switched(scope=Scope(self.path)):
            build(self, input_shape)
        if type(self).build is built:  # not where it is what a subclass begins with
            self.built = True
            if not self._trainable:
                self.trainable = False  # the layers inside as well

    return built


class Contents:
    """What the attributes of a layer hold, in lists and dicts too, when it was looked for.

    It is asked for several times in every batch, and looking takes longer than a small layer.
    """

    def __init__(self, layer: Tracked) -> None:
        self.changes = changes[0]  # before looking: another thread may set attributes meanwhile
        attributes, hidden = list(vars(layer).items()), OF_CALLS | layer._plain
        held = [v for key, v in attributes if type(v) not in _SCALARS and key not in hidden]
        self.containers = [*_containers(held)]
        self.lengths, self.items = list(map(len, self.containers)), list(chain.from_iterable(self.containers))
        self.leaves = list(flatten(held))
        found = [item for item in self.leaves if isinstance(item, (Tracked, Variable))]
        self.tracked = list({id(item): item for item in found}.values())
        self.layers = [item for item in self.tracked if isinstance(item, Tracked)]
        self.kinds: dict[type, list[Any]] = {}

    def of(self, kind: type) -> list[Any]:
        """The leaves of one kind."""
        if kind not in self.kinds:
            self.kinds[kind] = [leaf for leaf in self.leaves if isinstance(leaf, kind)]
        return self.kinds[kind]

    def hold(self) -> bool:
        """Whether looking again would find the same."""
        return self.changes == changes[0] and (
            not self.containers
            or list(map(len, self.containers)) == self.lengths
            and all(map(is_, chain.from_iterable(self.containers), self.items))
        )

    def __reduce__(self) -> Any:
        """For pickle and copy: nothing, so that a copied layer is looked through anew."""
        return type(None), ()


def put_back(kept: list[tuple[Any, Any]]) -> None:
    """Give layers back the states that they kept when `_held_states` was asked."""
    for layer, states in kept:
        layer._states = states


@contextmanager
def states_kept(model: Any) -> Iterator[None]:
    """If what stands below raises, the states that layers keep go back."""
    kept = model._held_states()
    try:
        yield
    except BaseException:
        put_back(kept)
        raise


def _containers(values: Any) -> Iterator[Any]:
    """What may change among nested values: lists, and what dicts hold."""
    for value in values:
        if isinstance(value, (list, tuple, dict)):
            inner = value.values() if isinstance(value, dict) else value
            if not isinstance(value, tuple):
                yield inner
            yield from _containers(inner)


class Tracked:
    """Base of `Layer`: what its attributes hold, in the order in which they were assigned."""

    name: str
    dtype: str
    built: bool
    _trainable: bool
    _weights: list[Variable]
    _fixed: list[Variable]
    _plain = frozenset(
        {"arguments", "traces", "nodes", "_weights", "_fixed", "_losses"}
    )  # attributes not searched

    def __setattr__(self, name: str, value: Any) -> None:
        """Set, and count: what was recorded of a model looks again."""
        object.__setattr__(self, name, value)
        if name not in OF_CALLS:
            changes[0] += 1

    def __delattr__(self, name: str) -> None:
        """Delete, and count."""
        object.__delattr__(self, name)
        changes[0] += 1

    def sublayers(self) -> Iterator[Any]:
        """The layers held directly, in the order in which they were assigned."""
        return iter(self._look().layers)

    def all_layers(self) -> list[Any]:
        """This layer and every layer inside it, at any depth, each before those inside it."""
        found: list[Any] = [self]
        for layer in self._look().layers:
            found += layer.all_layers()
        return found

    def _held_states(self) -> list[tuple[Any, Any]]:
        """The layers that keep states from batch to batch, and these states: `put_back` undoes what a call did."""
        return [
            (layer, layer._states)
            for layer in self.all_layers()
            if "_states" in vars(layer) or hasattr(type(layer), "_states")  # to miss an attribute takes long
        ]

    def _keeping_weights(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `call` gives; `ValueError` if it made a weight and lost it, for then every call would make one."""
        before = len(self._weights)
        outputs = call(*args, **kwargs)
        if len(self._weights) != before:
            kept = {id(leaf) for leaf in Contents(self).leaves}
            made = {(v.name, v.shape) for v in self._weights[before:]}
            if lost := [v for v in self._weights if id(v) not in kept and (v.name, v.shape) in made]:
                self._weights.remove(lost[-1])
                raise ValueError(
                    f"{self.name}: its call made the weight {lost[-1].name!r} of shape {lost[-1].shape} and lost it: "
                    "every call would make another one. Make weights in build(self, input_shape) or in __init__, and "
                    "keep them as attributes"
                )
        return outputs

    def _warn_once(self, message: str) -> None:
        """Warn, unless this layer did so before."""
        said = _said.setdefault(self, set())
        if message not in said:
            said.add(message)
            warn(message)

    def _look(self) -> Contents:
        """What the attributes hold."""
        found: Contents | None = vars(self).get("_contents")
        if found is None or not found.hold():
            found = vars(self)["_contents"] = Contents(self)
        return found

    @property
    def compute_dtype(self) -> str:
        """The float type of computations and weights: one and the same here."""
        return self.dtype

    variable_dtype = dtype_policy = compute_dtype

    @property
    def weights(self) -> list[Variable]:
        """All variables: own ones as they were created, then those of the sublayers."""
        tracked = self._look().tracked
        found = [*self._weights, *(item for item in tracked if isinstance(item, Variable))]
        for item in tracked:
            found.extend(item.weights if isinstance(item, Tracked) else ())
        return list({id(v): v for v in found}.values())

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that training changes."""
        return [v for v in self.weights if v.trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The variables that training leaves alone."""
        return [v for v in self.weights if not v.trainable]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether the weights take part in training; setting it reaches all sublayers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._weights:
            variable.trainable = bool(value) and not any(variable is fixed for fixed in self._fixed)
        for layer in self.sublayers():
            layer.trainable = value

    def zero_grad(self) -> None:
        """Forget the gradients that `backward()` left in the weights, as it adds to them."""
        for variable in self.weights:
            variable.zero_grad()

    def count_params(self) -> int:
        """Number of weights' elements; raises `ValueError` before the layer is built."""
        if not self.built:
            raise ValueError(f"{self.name}: call the layer on data (or build it) before counting its weights")
        return sum(v.size for v in self.weights)

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """The values of all variables, in order, as copies."""
        return [v.numpy().copy() for v in self.weights]

    def set_weights(self, weights: list[Any]) -> None:
        """Assign values in the order of `weights`; all wrong ones are listed and nothing is changed."""
        own = self.weights
        if len(weights) != len(own):
            held = ", ".join(f"{v.path} {v.shape}" for v in own)
            raise ValueError(
                f"{self.name}.set_weights: expected {len(own)} arrays, received {len(weights)} "
                f"(nothing was changed); expected are {held or 'none: is it built?'}"
            )
        wrong = [
            f"{v.path}: expected {v.shape}, received {np.shape(w)}{reset_after_hint(v.shape, np.shape(w))}"
            for v, w in zip(own, weights, strict=True)
            if np.shape(w) != v.shape
        ]
        if wrong:
            raise ValueError(
                f"{self.name}.set_weights: wrong shapes (nothing was changed): " + "; ".join(wrong)
            )
        values = [np.array(w, dtype=v.dtype) for v, w in zip(own, weights, strict=True)]
        for variable, value in zip(own, values, strict=True):
            variable.replace(value)
