"""`Layer`: weights, building on first use, masks and the training switch; Keras's contract.

A layer's configuration is what its constructor was called with (`configuration`), so that no layer has to write
it down again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from .. import constraints, initializers, regularizers
from ..absent import LEFT_OUT, refuse_mixed
from ..config import Scope, floatx, mode, switched
from ..core.tensor import Tensor, Variable
from ..locks import new_lock
from ..utils.registry import parameters, snake_case
from .arguments import RENAMED, CallArguments, call_arguments, check_one, refuse_unknown
from .configuration import Configured
from .symbolic import Call, Symbol, flatten, map_nested, probe
from .tracking import Tracked, building, check_size

name_counts: Counter[str] = Counter()
# Layers that hold penalties, and the call that these are of: mostly there are none to look for.
_with_losses: WeakKeyDictionary[Layer, object | None] = WeakKeyDictionary()
# Of each `call`, which may hold anything.
_arguments: WeakKeyDictionary[Any, CallArguments] = WeakKeyDictionary()
_one_at_a_time = new_lock()  # builds: two threads may call a new layer


def unique_name(base: str) -> str:
    """`lstm`, then `lstm_1`, `lstm_2` ... in this process."""
    name_counts[base] += 1
    return base if name_counts[base] == 1 else f"{base}_{name_counts[base] - 1}"


class Layer(Tracked, Configured):
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

    supports_masking = False
    one_input = False  # whether a list of tensors is a mistake
    autocast = True  # float inputs get the layer's type; layers that only hold others leave that to them

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = building(cls.build)  # type: ignore[method-assign]

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        activity_regularizer: Any = None,
        input_shape: Any = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(type(self).__name__, unknown, parameters(type(self)))
        self.name = unique_name(snake_case(type(self).__name__)) if name is None else str(name)
        refuse_mixed(type(self).__name__, dtype)
        self.dtype = str(np.dtype(dtype or floatx()))
        self.built = False
        self.path = self.name
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.first_shape = input_shape  # for a first layer of Sequential
        self._trainable = bool(trainable)
        self.output_shape: Any = None  # of the last call, None for the batch axis
        self.nodes: list[Call] = []  # the calls on symbols
        self._weights: list[Variable] = []
        self._fixed: list[Variable] = []  # those that are never trained
        self._losses: list[Tensor] = []

    # --- what subclasses write --------------------------------------------------------------------

    @building
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

    def _drops_masks(self) -> bool:
        """Whether a mask is neither used nor passed on; layers inside speak for themselves."""
        call = _arguments_of(type(self).call)
        used = self.supports_masking or "mask" in call.names or call.masked or self._look().layers
        return not used and getattr(self.compute_mask, "__func__", None) is Layer.compute_mask

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
        check_size(self.name, shape)
        try:
            values = initializers.get(initializer or "glorot_uniform")(tuple(shape), dtype or self.dtype)
        except MemoryError as error:
            raise MemoryError(
                f"{self.name}: there is no memory for its weight {name!r}: {error}. Are there to be so many units, "
                f"and inputs of so many features?"
            ) from None
        variable = Variable(values, trainable=trainable, dtype=dtype or self.dtype, name=name)
        variable.rename(f"{self.path}/{name}")
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        if not trainable:
            self._fixed.append(variable)
        variable.trainable = trainable and self._trainable
        self._weights.append(variable)
        return variable

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the outputs for inputs of this shape (or list of shapes), None for unknown axes.

        Builds the layer and runs it on zeros. Layers that take integers define their own.
        """
        several = isinstance(input_shape, dict) or any(isinstance(n, (tuple, list)) for n in input_shape)
        shapes = input_shape if several else [input_shape]
        keys = shapes.keys() if isinstance(shapes, dict) else range(len(shapes))
        symbols: Any = {k: Symbol(tuple(shapes[k]), self.dtype) for k in keys}
        if not isinstance(shapes, dict):
            symbols = list(symbols.values())
        outputs = probe(self, (symbols if several else symbols[0],), {})
        self.nodes.pop()
        return map_nested(lambda symbol: symbol.shape, outputs)

    def add_loss(self, loss: Any) -> None:
        """Add a scalar to the loss of the model for this call."""
        call = mode().call
        if call is not None and _with_losses.get(self, call) is not call:
            self._losses.clear()  # of an earlier call: who made this one does not have this layer
        self._losses.append(loss)
        _with_losses[self] = call

    # --- calling ------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Build on first use, cast the inputs to this layer's float type, pass masks on, and `call`."""
        training = kwargs.pop("training", None)
        call = _arguments_of(type(self).call)
        if not args and call.places and call.places[0] in kwargs:
            args = (kwargs.pop(call.places[0]),)
        if len(args) == 1 and not kwargs and isinstance(args[0], (Tensor, np.ndarray)):  # nothing to search
            args = (self._cast(args[0]),)
        else:
            check_one(self, args)
            if any(isinstance(a, Symbol) for a in flatten((args, kwargs))):
                return probe(self, args, kwargs)
            args, kwargs = map_nested(self._cast, (args, kwargs))
        inside = self._scope(mode().scope)
        changes: dict[str, Any] = {"scope": inside}
        if training is not None:
            changes["training"] = bool(training)
        if mode().call is None:  # penalties are those of the outermost call
            self.clear_losses()
            changes["call"] = object()
        with switched(**changes):
            if args:
                self.check_input(args[0])
            self._ensure_built(inside.layer, args)
            mask = _fill_masks(call, args, kwargs)
            if "training" in call.names:
                kwargs["training"] = mode().training
            outputs = self._keeping_weights(self.call, *args, **kwargs)
            self._finish(args, outputs, mask)
        return outputs

    def _finish(self, args: Any, outputs: Any, mask: Any) -> None:
        """Put the mask on the outputs, and the activity penalty on the list of losses."""
        self.output_shape = map_nested(_batch_shape, outputs)
        if mask is not None or type(self).compute_mask is not Layer.compute_mask:
            out_mask = self.compute_mask(args[0] if args else None, mask)
            for out, own in zip(flatten(outputs), flatten(out_mask), strict=False):  # one mask: of the first
                if own is not None and isinstance(out, Tensor):
                    out._mask = own
            if mask is not None and self._drops_masks():
                self._warn_once(
                    f"{self.name} ({type(self).__name__}) does not support masking: masked steps count in it, "
                    "and behind it. In a layer of your own, take an argument mask in call, or set supports_masking"
                )
        if self.activity_regularizer is not None:
            for out in flatten(outputs):
                self.add_loss(self.activity_regularizer(out) / float(max(out.shape[0], 1)))

    def _cast(self, value: Any) -> Any:
        """Arrays, also those of other libraries, become Tensors; floats get the layer's type."""
        if not isinstance(value, (Tensor, np.ndarray, np.generic)) and hasattr(value, "__array__"):
            value = np.asarray(value)
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
            self.build_at(path, map_nested(_batch_shape, args[0]) if args else None)

    def build_at(self, path: str, input_shape: Any) -> None:
        """Build under `path`, from which the weights take their names; no monitor sees it, as it happens once."""
        self.path = path
        if not self.built:
            with _one_at_a_time, switched(monitor=None):
                if not self.built:  # by another thread meanwhile
                    self.build(input_shape)

    def _call_arguments(self) -> frozenset[str]:
        return _arguments_of(type(self).call).names

    # --- symbols ------------------------------------------------------------------------------------

    @property
    def input(self) -> Any:
        """The symbols that the layer was first called on; `AttributeError` if it never was."""
        args = self._first_call().args
        return args[0] if len(args) == 1 else list(args)

    @property
    def output(self) -> Any:
        """The symbols that the first call on symbols gave; `AttributeError` if there was none."""
        return self._first_call().outputs

    def _first_call(self) -> Call:
        if not self.nodes:
            raise AttributeError(
                f"{self.name} was never called on symbols, so it has no input and output yet; "
                "begin the model with an Input"
            )
        return self.nodes[0]

    # --- penalties ----------------------------------------------------------------------------------

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
        _with_losses.pop(self, None)
        for layer in self.sublayers():
            layer.clear_losses()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Only for what is missing: say so, and what to do."""
            kind = type(self).__name__
            if hasattr(type(self), name):  # a property raised: once more, with its own message
                return object.__getattribute__(self, name)
            if name in LEFT_OUT["Model"]:
                raise AttributeError(f"{kind}.{name} is left out; instead: {LEFT_OUT['Model'][name]}")
            if name in RENAMED:
                raise AttributeError(f"{kind} has no {name!r} any more; instead: {RENAMED[name]}")
            if "_losses" not in vars(self) and not name.startswith("__"):
                raise AttributeError(
                    f"{kind} has no {name!r} yet: {kind}.__init__ must call super().__init__() first"
                )
            raise AttributeError(f"{kind} has no attribute {name!r}")

    def __repr__(self) -> str:
        """`<LSTM lstm, built>`."""
        return f"<{type(self).__name__} {self.name}{', built' if self.built else ''}>"


def _batch_shape(x: Any) -> tuple[Any, ...]:
    shape = getattr(x, "shape", ())  # NumPy's functions take ten times as long to ask a Tensor
    return (None, *shape[1:]) if shape else ()


def _mask_of(inputs: Any) -> Any:
    """The mask of a tensor, or those of several in their structure; None if there is none."""
    if isinstance(inputs, Tensor):
        return getattr(inputs, "_mask", None)
    masks = map_nested(lambda x: getattr(x, "_mask", None), inputs)
    return masks if any(m is not None for m in flatten(masks)) else None


def _fill_masks(call: CallArguments, args: Any, kwargs: dict[str, Any]) -> Any:
    """Put the masks that tensors carry into arguments for masks that are not given; that of the first one."""
    by_place = call.places[: len(args)]
    mask = args[by_place.index("mask")] if "mask" in by_place else kwargs.get("mask")
    if mask is None and args:
        mask = _mask_of(args[0])
        if mask is not None and "mask" in call.names and "mask" not in by_place:
            kwargs["mask"] = mask
    for place, name in call.masked:
        own, value = f"{name}_mask", args[place] if place < len(args) else kwargs.get(name)
        if value is not None and own not in by_place and kwargs.get(own) is None:
            kwargs[own] = _mask_of(value)
    return mask


def _arguments_of(call: Any) -> CallArguments:
    found = _arguments.get(call)
    if found is None:
        found = _arguments[call] = call_arguments(call)
    return found
