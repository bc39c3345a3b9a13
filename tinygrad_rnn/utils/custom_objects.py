"""The users' own classes and functions by name, so that what is saved with them can be loaded again.

A file holds names, never code. A name means something only after its owner has registered it
(`register_serializable`) or while a `custom_object_scope` lasts; nothing is imported by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, TypeVar

T = TypeVar("T")

_registered: dict[str, Any] = {}
_scoped: ContextVar[Mapping[str, Any]] = ContextVar("tinygrad_rnn_custom_objects")


def register_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Decorator that registers a class or function under `"package>name"`; `name` defaults to its own.

    Files and configs then hold that name. Registering again under the same name replaces what was there (a
    notebook cell that runs twice). Raises `TypeError` for a class without `get_config`, and for anything
    without a name.

    >>> @register_serializable(package="mine")
    ... def double(x):
    ...     return 2 * x
    >>> get_registered_name(double), get_registered_object("mine>double") is double
    ('mine>double', True)
    >>> del get_custom_objects()["mine>double"]
    """
    if not isinstance(package, str):
        raise TypeError(
            f"register_serializable: package is a text, received {package!r}; write "
            '@register_serializable("package") above the class, with the brackets'
        )

    def register(member: T) -> T:
        if isinstance(member, type) and not hasattr(member, "get_config"):
            raise TypeError(
                f"register_serializable: {member.__name__} needs a method get_config() that returns the "
                "arguments of its constructor"
            )
        own = name or getattr(member, "__name__", None)
        if not own or own == "<lambda>":
            raise TypeError(f"register_serializable: {member!r} has no name; give name=...")
        _registered[f"{package}>{own}"] = member
        return member

    return register


register_keras_serializable = register_serializable  # Keras's name for it


class custom_object_scope:
    """Context manager in which names mean the given classes and functions, in this thread or task only.

    Scopes inside one another add up; the inner one counts first.

    >>> def thrice(x):
    ...     return 3 * x
    >>> with custom_object_scope({"thrice": thrice}):
    ...     get_registered_object("thrice") is thrice
    True
    >>> get_registered_object("thrice") is None
    True
    """

    def __init__(self, custom_objects: Mapping[str, Any]) -> None:
        self.custom_objects = dict(custom_objects)
        self.tokens: list[Token[Mapping[str, Any]]] = []

    def __enter__(self) -> custom_object_scope:
        self.tokens.append(_scoped.set({**_scoped.get({}), **self.custom_objects}))
        return self

    def __exit__(self, *_: object) -> None:
        _scoped.reset(self.tokens.pop())


CustomObjectScope = custom_object_scope


def get_custom_objects() -> dict[str, Any]:
    """The dict of everything registered, by name; entries may be added and removed.

    >>> get_custom_objects()["half"] = lambda x: x / 2
    >>> get_registered_object("half")(4)
    2.0
    >>> del get_custom_objects()["half"]
    """
    return _registered


def custom_objects(given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All names that are known here: those given count before those of the scope, and these before the registered.

    >>> custom_objects({"a": max})["a"](1, 2)
    2
    """
    return {**_registered, **_scoped.get({}), **(given or {})}


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """What `name` means in the scope, among the registered, in `custom_objects` or in `module_objects`; else None.

    >>> get_registered_object("nobody") is None
    True
    """
    for known in (_scoped.get({}), _registered, custom_objects or {}, module_objects or {}):
        if name in known:
            return known[name]
    return None


def get_registered_name(obj: Any) -> str:
    """The name under which a class or function was registered, else its own.

    >>> get_registered_name(max)
    'max'
    """
    for name, member in _registered.items():
        if member is obj:
            return name
    return str(obj.__name__)
