"""Arguments of layers: recorded by name, Keras's order, what those of the past are now, and one famous mix-up."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Any, NamedTuple, TypeVar, cast

from .. import constraints, initializers, regularizers
from ..config import mode, switched

Method = TypeVar("Method", bound=Callable[..., Any])

# Arguments of Keras 1 and 2 that any layer may have had, and what takes their place.
RETIRED = {
    "time_major": "sequences are (batch, time, features); transpose them in front of the layer",
    "batch_input_shape": "begin the model with Input(batch_shape=...)",
    "input_dim": "input_shape=(features,), or begin the model with Input((features,))",
    "input_length": "leave it out: any number of time steps fits",
}

# The same for recurrent layers alone, and arguments of Keras 3 that are not offered here.
RETIRED_FROM_RNN = {
    **RETIRED,
    "batch_size": "begin the model with Input(shape=(time, features), batch_size=batch)",
    "constants": "concatenate them to the inputs, or keep them as attributes of the cell",
    "weights": "call set_weights(...) on the built layer",
    "output_dim": "units",
    "inner_activation": "recurrent_activation",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "forget_bias_init": "unit_forget_bias",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "consume_less": "implementation",
    "lora_rank": "not offered; train the kernels themselves",
    "quantization_config": "not offered; the weights are floats",
}

# Methods of layers and models that Keras 2 had, and what takes their place.
RENAMED = {
    "add_metric": "make a metric in __init__ and update it in call or train_step; model.metrics finds it",
    "add_update": "assign to the variable in call",
    "get_output_at": "output",
    "get_input_at": "input",
    "reset_states": "reset_state()",
    "fit_generator": "fit",
    "evaluate_generator": "evaluate",
    "predict_generator": "predict",
    "predict_classes": "predict(x).argmax(-1)",
    "predict_proba": "predict",
}


# What to do where one tensor is expected, and several are given.
SEVERAL = "; take one of them, y, *states = layer(x), or leave out return_state=True in front of it"


def check_one(layer: Any, args: tuple[Any, ...]) -> None:
    """Raise `ValueError` for a list or sparse matrix in place of one tensor, if the layer has `one_input`.

    With a sparse matrix, that would compute the product with a weight, whose gradient would be lost.
    """
    inputs = args[0] if layer.one_input and args else None
    kind = type(inputs).__name__
    if hasattr(inputs, "shape") and not hasattr(inputs, "__array__"):
        raise ValueError(
            f"{layer.name}: expected a tensor or an array, received a {kind}, which NumPy does not read; convert it "
            "first, e.g. with .toarray()"
        )
    if not isinstance(inputs, (list, tuple)):
        return
    if any(hasattr(item, "shape") for item in inputs):
        raise ValueError(f"{layer.name}: expected one tensor, received a {kind} of {len(inputs)}{SEVERAL}")
    raise ValueError(
        f"{layer.name}: expected a tensor or an array, received a {kind}; make it one by np.array()"
    )


def refuse_unknown(
    owner: str, given: Iterable[str], known: Iterable[str], retired: Mapping[str, str] = RETIRED_FROM_RNN
) -> None:
    """Raise `TypeError` for the first argument that is not known, with its successor or the nearest known name.

    >>> refuse_unknown("LSTM", ["time_major"], ["units"])
    Traceback (most recent call last):
    ...
    TypeError: LSTM: the argument 'time_major' is no more; instead: sequences are (batch, time, features); ...
    """
    known = list(known)
    for name in given:
        if name in known:
            continue
        if name in retired:
            raise TypeError(f"{owner}: the argument {name!r} is no more; instead: {retired[name]}")
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"{owner}: unknown argument {name!r}{hint}")


def spelled(method: Method) -> Method:
    """Let a method name the nearest argument where it is given one that it does not have."""
    known = inspect.signature(method).parameters

    @functools.wraps(method)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        refuse_unknown(f"{self.name}.{method.__name__}", options, known, {})
        return method(self, *args, **options)

    return cast(Method, call)


def switches_training(call: Method) -> Method:
    """A `call` inside which `mode().training` is its argument `training`; with None the mode stays.

    `Layer.__call__` sets the mode and gives no argument: it is for `super().call(x, training=True)`.
    """
    place = list(inspect.signature(call).parameters).index("training") - 1

    @functools.wraps(call)
    def switching(self: Any, *args: Any, **options: Any) -> Any:
        training = options.get("training", args[place] if len(args) > place else None)
        if training is None or bool(training) == mode().training:
            return call(self, *args, **options)
        with switched(training=bool(training)):
            return call(self, *args, **options)

    switching.sets_mode = True  # type: ignore[attr-defined]
    return cast(Method, switching)


class CallArguments(NamedTuple):
    """What a `call` takes: all names, those by place, and place and name of those with a `name_mask` of their own."""

    names: frozenset[str]
    places: tuple[str, ...]
    masked: tuple[tuple[int, str], ...]


def call_arguments(call: Callable[..., Any]) -> CallArguments:
    """The arguments of a `call` that are handed to it: not `training` where it follows the mode.

    >>> call_arguments(lambda self, query, value, value_mask=None: query).masked
    ((1, 'value'),)
    """
    of_mode = {"training"} if getattr(call, "sets_mode", False) else set()
    parameters = list(inspect.signature(call).parameters.values())[1:]
    names = frozenset([p.name for p in parameters]) - of_mode
    places = tuple([p.name for p in takewhile(lambda p: p.kind is p.POSITIONAL_OR_KEYWORD, parameters)])
    masked = tuple([(at, p.name) for at, p in enumerate(parameters) if f"{p.name}_mask" in names])
    return CallArguments(names, places, masked)


def in_order(names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let an `__init__` take these arguments by position as well; it gets all of them by name.

    The class has to complete the signature with `complete_signature`.
    """
    order = names.split()

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(init)
        def by_name(self: Any, *args: Any, **options: Any) -> None:
            owner = type(self).__name__
            if len(args) > len(order):
                raise TypeError(
                    f"{owner}: takes {len(order)} arguments by position, received {len(args)}; name the rest"
                )
            given = dict(zip(order, args, strict=False))
            if twice := given.keys() & options.keys():
                raise TypeError(f"{owner}: {min(twice)!r} is given by position and by name")
            refuse_unknown(owner, options, inspect.signature(by_name).parameters)
            if order[0] not in (given | options):
                raise TypeError(f"{owner}: the argument {order[0]!r} is missing")
            init(self, **given, **options)

        by_name.order = order  # type: ignore[attr-defined]
        return by_name

    return decorate


def complete_signature(cls: type, *sources: type) -> None:
    """Give the constructor of a class, if it is `in_order`, all names and defaults of its bases and `sources`.

    `help`, the recorded configuration and `inspect.signature` see them.
    """
    init: Any = vars(cls).get("__init__")
    if init is None:
        return
    if hasattr(init, "order"):
        known: dict[str, inspect.Parameter] = {}
        for base in (*cls.__mro__[:-1], *(b for source in sources for b in source.__mro__[:-1])):
            for name, p in inspect.signature(base.__init__).parameters.items():  # type: ignore[misc]
                if name != "cell" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                    known.setdefault(name, p)
        owner = known.pop("self")
        placed = [
            known.pop(name).replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in init.order
        ]
        named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in known.values()]
        init.__signature__ = inspect.Signature([owner, *placed, *named])
    shown = list(inspect.signature(init).parameters.values())[1:]
    cls.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]


def reset_after_hint(expected: tuple[int, ...], received: tuple[int, ...]) -> str:
    """What to add to a message about wrong shapes if they are the two biases of a GRU.

    >>> reset_after_hint((2, 9), (9,))
    ' (a GRU bias: (2, 3·units) with reset_after=True, (3·units,) with reset_after=False; use the same)'
    """
    pair = sorted((expected, received), key=len)
    if len(pair[0]) != 1 or pair[1] != (2, *pair[0]) or pair[0][0] % 3:
        return ""
    return (
        " (a GRU bias: (2, 3·units) with reset_after=True, (3·units,) with reset_after=False; use the same)"
    )


def keep_options(layer: Any, weight: str, initializer: Any, regularizer: Any, constraint: Any) -> None:
    """What the constructor is told of one weight, as Keras's attributes: `layer.kernel_initializer` ..."""
    setattr(layer, f"{weight}_initializer", initializers.get(initializer))
    setattr(layer, f"{weight}_regularizer", regularizers.get(regularizer))
    setattr(layer, f"{weight}_constraint", constraints.get(constraint))


def weight_options(layer: Any, weight: str) -> dict[str, Any]:
    """What `add_weight` is told of a weight for which there are options."""
    return {what: getattr(layer, f"{weight}_{what}") for what in ("initializer", "regularizer", "constraint")}


def bound(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments by name, without `self`; `**options` are merged in."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    options = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    try:
        bound = signature.bind(None, *args, **kwargs).arguments
    except TypeError:
        return dict(kwargs)  # the constructor itself will raise, with the better message
    named: dict[str, Any] = {}
    for key, value in list(bound.items())[1:]:
        named |= value if key in options else {key: value}
    return named
