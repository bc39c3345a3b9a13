"""Copies of models with new weights: `clone_model`, and the architecture as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..layers.configuration import copied
from ..layers.symbolic import Symbol, flatten
from ..utils.custom_objects import custom_object_scope
from .functional import replay
from .model import Model
from .plain import Reader, Writer
from .sequential import Sequential


def clone_model(
    model: Model, input_tensors: Any = None, clone_function: Callable[[Any], Any] | None = None
) -> Any:
    """A model of the same architecture with new layers and new weights; compile it anew.

    `input_tensors` are the symbols to begin with. `clone_function(layer)` makes each layer of a functional or
    sequential model, and may return another one, or the old one; by default a copy from its config. Raises
    `ValueError` for a subclassed model with either of them: its `call` is code.

    >>> from tinygrad_rnn.layers import Dense, Input
    >>> model = Sequential([Input((4,)), Dense(3), Dense(2)])
    >>> clone_model(model).count_params() == model.count_params()
    True
    """
    make = clone_function or _copy
    if isinstance(model, Sequential) and type(model) is Sequential:
        start = [model.input] if input_tensors is None and model._between else list(flatten(input_tensors))
        if len(start) > 1 or not all(s is None or isinstance(s, Symbol) for s in start):
            raise ValueError(f"clone_model: {model.name} takes one Input, received {input_tensors!r}")
        made = Sequential([s for s in start if s is not None], name=model.name)
        for layer in model.layers:
            made.add(make(layer))
        return made
    if type(model) is Model and model._input is not None:
        inputs, outputs = replay(model._calls, model.input, model.output, make, input_tensors)
        return Model(inputs, outputs, name=model.name)
    if input_tensors is not None or clone_function is not None:
        raise ValueError(
            f"clone_model: {type(model).__name__} is a subclass, its call() is code: neither input_tensors nor "
            "clone_function can be used"
        )
    return _copy(model)


def _copy(layer: Any) -> Any:
    return layer.from_config(layer.get_config()) if isinstance(layer, Model) else copied(layer)


def to_json(model: Model, **options: Any) -> str:
    """The architecture, without weights, as JSON text; `options` go to `json.dumps`.

    Of a subclassed model it is the name of the class and what it is made from: its `call` is code.
    """
    return json.dumps(Writer().model(model), **options)


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Model:
    """A model from `model.to_json()`, with new weights.

    Your own classes and functions are handed over in `custom_objects` by name. Raises `ValueError` for a text that
    is not such a model, or for names that are not known.

    >>> from tinygrad_rnn.layers import GRU, Input
    >>> model = Sequential([Input((None, 4)), GRU(3, name="gru")])
    >>> model_from_json(model.to_json()).layers
    [<GRU gru, built>]
    """
    try:
        config = json.loads(json_string)
        if not isinstance(config, dict) or not {"config", "calls"} & set(config):
            raise ValueError("there is no model in it")
        with custom_object_scope(custom_objects or {}):
            return Reader().model(config)
    except Exception as error:
        raise ValueError(
            f"model_from_json: expected what model.to_json() gives: {type(error).__name__}: {error}"
        ) from error


Model.to_json = to_json  # type: ignore[assignment, method-assign]
