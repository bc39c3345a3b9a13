"""`Layer`: weights, building on first use, masks and the training switch; Keras's contract.

A layer's configuration is what its constructor was called with: it is recorded when the object is made,
so no layer has to write it down again.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

import numpy as np

from .. import constraints, initializers, regularizers
from ..config import Scope, floatx, mode, no_grad, switched
from ..core.tensor import Tensor, Variable
from ..utils.registry import parameters, snake_case
from .symbolic import Symbol, flatten, map_nested, probe

name_counts: Counter[str] = Counter()
_SCALARS = frozenset({str, int, float, bool, type(None)})
_with_losses: WeakSet[Layer] = WeakSet()  # layers that hold penalties: mostly there are none to look for


def unique_name(base: str) -> str:
    """`lstm`, then `lstm_1`, `lstm_2` ... in this process."""
    name_counts[base] += 1
    return base if name_counts[base] == 1 else f"{base}_{name_counts[base] - 1}"


class Layer:
    """A function with weights.

    Subclasses create sublayers and settings in `__init__`, weights in `build(input_shape)` (with
    `add_weight`), and compute in `call(inputs, ...)`. `training` and `mask` are passed to `call` if it
    has arguments of these names. Attributes that are layers or variables (also in lists and dicts) are
    tracked in the order in which they were assigned.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((), initializer="ones", name="factor")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> Scale()(np.array([2.0])).tolist()
    [2.0]
    """

    arguments: dict[str, Any]
    supports_masking = False
    _plain = frozenset({"arguments", "traces", "_weights", "_losses"})  # attributes not searched for layers
    autocast = True  # float inputs get the layer's type; layers that only hold others leave that to them

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Record what the constructor is called with: the configuration."""
        self = super().__new__(cls)
        object.__setattr__(self, "arguments", _bound(cls, args, kwargs))
        return self

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        activity_regularizer: Any = None,
    ) -> None:
        self.name = unique_name(snake_case(type(self).__name__)) if name is None else str(name)
        self.dtype = str(np.dtype(dtype or floatx()))
        self.built = False
        self.path = self.name
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self._trainable = bool(trainable)
        self.output_shape: Any = None  # of the last call, None for the batch axis
        self._weights: list[Variable] = []
        self._losses: list[Tensor] = []

    # --- what subclasses write --------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Create the weights, once the shape of the inputs (None for the batch axis) is known."""

    def check_input(self, inputs: Any) -> None:
        """Raise `ValueError` if inputs of this shape cannot be used; called before building."""

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise TypeError(f"{type(self).__name__} has no call(); define call(self, inputs)")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs: that of the inputs if the layer passes masks on."""
        return mask if self.supports_masking else None

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str = "weight",
    ) -> Variable:
        """Create a variable; `initializer` defaults to glorot_uniform."""
        values = initializers.get(initializer or "glorot_uniform")(tuple(shape), dtype or self.dtype)
        variable = Variable(values, trainable=trainable, dtype=dtype or self.dtype, name=name)
        variable.rename(f"{self.path}/{name}")
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        if not self._trainable:
            variable.trainable = False
        self._weights.append(variable)
        return variable

    def add_loss(self, loss: Any) -> None:
        """Add a scalar to the loss of the model for this call."""
        self._losses.append(loss)
        _with_losses.add(self)

    # --- calling ------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Build on first use, cast the inputs to this layer's float type, pass masks on, and `call`."""
        if any(isinstance(a, Symbol) for a in flatten((args, kwargs))):
            return probe(self, args, kwargs)
        training = kwargs.pop("training", None)
        args, kwargs = map_nested(self._cast, (args, kwargs))
        if not mode().scope.layer:  # the outermost call: penalties are those of this call
            self.clear_losses()
        inside = self._scope(mode().scope)
        changes = {"scope": inside} if training is None else {"scope": inside, "training": bool(training)}
        with switched(**changes):
            if args:
                self.check_input(args[0])
            self._ensure_built(inside.layer, args)
            mask = kwargs.get("mask")
            if mask is None and args:
                mask = map_nested(lambda x: getattr(x, "_mask", None), args[0])
                mask = mask if any(m is not None for m in flatten(mask)) else None
                if mask is not None and "mask" in self._call_arguments():
                    kwargs["mask"] = mask
            if "training" in self._call_arguments():
                kwargs["training"] = mode().training
            outputs = self.call(*args, **kwargs)
            self._finish(args, outputs, mask)
        return outputs

    def _finish(self, args: Any, outputs: Any, mask: Any) -> None:
        """Put the mask on the outputs, and the activity penalty on the list of losses."""
        self.output_shape = map_nested(lambda x: (None, *x.shape[1:]), outputs)
        if mask is not None or isinstance(self, MaskSource):
            out_mask = self.compute_mask(args[0] if len(args) == 1 else list(args), mask)
            first = outputs[0] if isinstance(outputs, (list, tuple)) and outputs else outputs
            if out_mask is not None and isinstance(first, Tensor):
                first._mask = out_mask
        if self.activity_regularizer is not None:
            for out in flatten(outputs):
                self.add_loss(self.activity_regularizer(out) / float(max(out.shape[0], 1)))

    def _cast(self, value: Any) -> Any:
        """Arrays become Tensors; floats get the layer's type."""
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fciub":
            value = Tensor(np.array(value), None)
        if (
            isinstance(value, Tensor)
            and self.autocast
            and value.dtype.kind == "f"
            and value.dtype != self.dtype
        ):
            mask = getattr(value, "_mask", None)
            value = value.astype(self.dtype)
            value._mask = mask
        return value

    def _scope(self, outer: Scope) -> Scope:
        """What ops inside are stamped with: the path of this layer."""
        return Scope(f"{outer.layer}/{self.name}" if outer.layer else self.name, outer.t)

    def _ensure_built(self, path: str, args: Any) -> None:
        if not self.built:
            shapes = (
                map_nested(lambda x: (None, *x.shape[1:]) if np.ndim(x) else (), args[0]) if args else None
            )
            self.build_at(path, shapes)

    def build_at(self, path: str, input_shape: Any) -> None:
        """Build under `path`, from which the weights take their names."""
        self.path = path
        if not self.built:
            with no_grad():
                self.build(input_shape)
            self.built = True
            if not self._trainable:
                self.trainable = False  # the layers inside as well

    def _call_arguments(self) -> frozenset[str]:
        return _parameters(type(self).call)

    # --- weights ------------------------------------------------------------------------------------

    def sublayers(self) -> Iterator[Layer]:
        """The layers held directly, in the order in which they were assigned."""
        return (item for item in self._tracked() if isinstance(item, Layer))

    def all_layers(self) -> Iterator[Layer]:
        """This layer and every layer inside it, at any depth."""
        yield self
        for layer in self.sublayers():
            yield from layer.all_layers()

    def _tracked(self) -> list[Layer | Variable]:
        """The layers and variables that the attributes hold, in lists and dicts too; looked up in every batch."""
        found: list[Any] = []
        for key, value in vars(self).items():
            if type(value) not in _SCALARS and key not in self._plain:
                found.extend([item for item in flatten(value) if isinstance(item, (Layer, Variable))])
        return list({id(item): item for item in found}.values())

    @property
    def weights(self) -> list[Variable]:
        """All variables: own ones as they were created, then those of the sublayers."""
        tracked = self._tracked()
        found = [*self._weights, *(item for item in tracked if isinstance(item, Variable))]
        for item in tracked:
            found.extend(item.weights if isinstance(item, Layer) else ())
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
    def trainable(self) -> bool:
        """Whether the weights take part in training; setting it reaches all sublayers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._weights:
            variable.trainable = bool(value)
        for layer in self.sublayers():
            layer.trainable = value

    @property
    def losses(self) -> list[Tensor]:
        """Penalties: those of the weights' regularizers, and what this call added."""
        penalties = [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]
        return penalties + (self._collect_losses() if _with_losses else [])

    def _collect_losses(self) -> list[Tensor]:
        found = list(self._losses)
        for layer in self.sublayers():
            found.extend(layer._collect_losses())
        return found

    def clear_losses(self) -> None:
        """Forget the penalties of earlier calls."""
        if not _with_losses:
            return
        self._losses.clear()
        _with_losses.discard(self)
        for layer in self.sublayers():
            layer.clear_losses()

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
            raise ValueError(f"{self.name}.set_weights: expected {len(own)} arrays, received {len(weights)}")
        wrong = [
            f"{v.path}: expected {v.shape}, received {np.shape(w)}"
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

    # --- configuration --------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the name and the float type if it takes them."""
        accepted = parameters(type(self))
        return {**self.arguments, **{k: getattr(self, k) for k in ("name", "dtype") if k in accepted}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a layer from `get_config()`; its weights are new."""
        return cls(**config)

    def __repr__(self) -> str:
        """`<LSTM lstm, built>`."""
        return f"<{type(self).__name__} {self.name}{', built' if self.built else ''}>"


class MaskSource:
    """Marks layers that make a mask from their inputs (Embedding)."""


@functools.cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _bound(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments by name, without `self`; `**options` are merged in."""
    try:
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs).arguments  # type: ignore[misc]
    except TypeError:
        return dict(kwargs)  # the constructor itself will raise, with the better message
    named: dict[str, Any] = {}
    for key, value in list(bound.items())[1:]:
        named |= value if key in ("options", "kwargs") and isinstance(value, dict) else {key: value}
    return named
