"""Configurations of layers: what the constructor was called with, as plain data in Keras's form, and back.

`settings()` holds the objects themselves; copies are made from it, and files. `get_config()` is for users: all
arguments, JSON throughout as far as their objects can be named.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import activations
from ..core.tensor import Tensor
from ..utils.custom_objects import custom_object_scope, get_registered_name
from ..utils.custom_objects import custom_objects as known_objects
from ..utils.registry import Saved, accepted, class_of, is_ours, is_saved, parameters, public_module
from .arguments import RETIRED, bound
from .symbolic import Input, Symbol

_RESOLVED = ("initializer", "regularizer", "constraint")  # arguments that end so name an object


class Configured:
    """What has a configuration: the arguments of its constructor, recorded when it is made."""

    arguments: dict[str, Any]
    unlisted = frozenset({"input_shape", "input_length", "weights"})  # in the configuration only if given

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Record what the constructor is called with."""
        for key in RETIRED.keys() & kwargs.keys():
            if key not in parameters(cls):
                raise TypeError(f"{cls.__name__}: the argument {key!r} is no more; instead: {RETIRED[key]}")
        self = super().__new__(cls)
        object.__setattr__(self, "arguments", bound(cls, args, kwargs))
        return self

    def settings(self) -> dict[str, Any]:
        """The arguments that were given, as they are, with the name, float type and `trainable` of now."""
        known = parameters(type(self))
        own: dict[str, Any] = {k: getattr(self, k) for k in ("name", "dtype", "trainable") if k in known}
        return {**self.arguments, **own}

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor as plain data, objects in Keras's form.

        What has no name, as a lambda, stays what it is: it can be copied, but not written to a file.
        """
        return {key: self._written(key, value) for key, value in (_defaults(self) | self.settings()).items()}

    def _written(self, key: str, value: Any) -> Any:
        own = [owner for owner, p in accepted(type(self)) if p.name == key]
        if own and is_ours(own[0]):  # names of objects become the objects
            if key.endswith("activation") and (value is None or callable(value)):
                return activations.serialize(activations.get(value)) if _is_known(value) else serialize(value)
            if key.endswith(_RESOLVED) and value is not None:
                found = getattr(self, key, value)
                value = found if hasattr(found, "get_config") else value
        return serialize(value)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make an object from `get_config()`; its weights, and the layers that it holds, are new."""
        return cls(**revived(config))


def settings_of(layer: Any) -> dict[str, Any]:
    """What copies and files are made from: the settings, or what a `get_config` of the user's own says."""
    found: dict[str, Any] = (
        layer.settings() if is_ours_method(type(layer), "get_config") else layer.get_config()
    )
    return found


def is_ours_method(cls: type, name: str) -> bool:
    """Whether a class has this method from this package."""
    return is_ours(next(owner for owner in cls.__mro__ if name in vars(owner)))


def copied(layer: Any, **changes: Any) -> Any:
    """A new layer of the same configuration; the layers that it holds are new, too."""
    return _made(type(layer), revived({**settings_of(layer), **changes}))


def serialize(value: Any) -> Any:
    """Any value as plain data: `{"module", "class_name", "config", "registered_name"}` for an object.

    >>> from tinygrad_rnn.initializers import Constant
    >>> serialize(Constant(2.0))["class_name"], serialize([1, (2.0, None)])
    ('Constant', [1, (2.0, None)])
    >>> deserialize(serialize(Constant(2.0))).value
    2.0
    """
    if isinstance(value, (list, tuple)):
        return type(value)([serialize(v) for v in value])
    if isinstance(value, dict):
        return value if isinstance(value, Saved) else {k: serialize(v) for k, v in value.items()}
    if isinstance(value, (np.generic, np.ndarray, Tensor)):
        return _array(value)
    if isinstance(value, Symbol):
        config = {"batch_shape": value.shape, "dtype": value.dtype, "name": value.name}
        return Saved(value, "tinygrad_rnn.layers", "InputLayer", config)
    if isinstance(value, type):
        return value
    if hasattr(value, "get_config"):
        cls = type(value)
        registered = None if is_ours(cls) else get_registered_name(cls)
        return Saved(value, public_module(cls), cls.__name__, value.get_config(), registered)
    if callable(value) and getattr(value, "__name__", "<lambda>") != "<lambda>":
        return Saved(value, "builtins", "function", _name(value), get_registered_name(value))
    return value


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """What `serialize` wrote down, made anew; anything else as it is.

    Your own classes and functions are found by name in `custom_objects`, in a `custom_object_scope` or among
    the registered. Raises `ValueError` for a name that is not known.
    """
    with custom_object_scope(custom_objects or {}):
        return revived(config, copies=False)


def revived(value: Any, made: dict[int, Any] | None = None, copies: bool = True) -> Any:
    """`value` with objects in place of what `serialize` made of them; layers are copied if `copies`, each once."""
    made = {} if made is None else made
    if isinstance(value, Configured) or is_saved(value):
        key = id(value.origin if isinstance(value, Saved) else value)
        if key not in made:
            if isinstance(value, Configured):
                made[key] = copied(value) if copies else value
            else:
                made[key] = _revive(value)
        return made[key]
    if isinstance(value, dict):
        return {k: revived(v, made, copies) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([revived(v, made, copies) for v in value])
    return value


def _revive(data: Any) -> Any:
    """The object that one piece of data describes."""
    config = data["config"]
    match data["class_name"]:
        case "DTypePolicy":
            return config["name"]
        case "InputLayer":
            return Input(batch_shape=config["batch_shape"], dtype=config["dtype"], name=config.get("name"))
        case "__numpy__":
            return np.asarray(config["value"], config["dtype"])
        case "function":
            return data.origin if isinstance(data, Saved) else _function(data)
    if isinstance(data, Saved) and not hasattr(type(data.origin), "from_config"):
        return data.origin
    cls = class_of(data)
    if str(data["module"]).startswith("keras"):  # what Keras has and nobody gave
        config = {k: v for k, v in config.items() if v is not None or k in parameters(cls)}
    return _made(cls, revived(config))


def _made(cls: Any, config: dict[str, Any]) -> Any:
    """An object of a class from a config with objects in it, which `Configured.from_config` would copy again."""
    inherited = getattr(cls.from_config, "__func__", None) is Configured.from_config.__func__  # type: ignore[attr-defined]
    return cls(**config) if inherited else cls.from_config(config)


def _array(value: Any) -> Any:
    array = np.asarray(value)
    if not array.ndim or array.dtype.kind in "UOS":
        return array.tolist()
    return Saved(
        value, "builtins", "__numpy__", {"value": array.tolist(), "dtype": array.dtype.name}, "ndarray"
    )


def _is_known(function: Any) -> bool:
    return function is None or isinstance(activations.serialize(function), str)


def _name(function: Any) -> str:
    name = activations.serialize(function)
    return name if isinstance(name, str) else str(function.__name__)


def _function(data: Any) -> Any:
    own = known_objects()
    for name in (data["registered_name"], data["config"]):
        if name in own:
            return own[name]
    return activations.get(data["config"])


def _defaults(layer: Configured) -> dict[str, Any]:
    """The defaults of the constructor; not those behind `**options` of a user's, who may give them themselves."""
    found: dict[str, Any] = {}
    users = False
    for owner, p in accepted(type(layer)):
        if users and is_ours(owner):
            break
        users = users or not is_ours(owner)
        if p.default is not p.empty and not (p.default is None and p.name in layer.unlisted):
            found[p.name] = p.default
    return found
