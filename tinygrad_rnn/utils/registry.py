"""Objects by name: a table per kind (initializer, loss ...), and the config dicts they are saved as.

A table is closed: a name that is neither in it nor among the users' own (`custom_objects`) is an error, nothing
is imported by name. A config is plain data, `{"class_name": "L2", "config": {"l2": 0.01}}`.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from .custom_objects import custom_objects, get_registered_name


def snake_case(name: str) -> str:
    """The Keras name of a class: words in lower case, joined by underscores.

    >>> snake_case("GlorotUniform"), snake_case("KLDivergence"), snake_case("L1L2")
    ('glorot_uniform', 'kl_divergence', 'l1l2')
    """
    name = name.replace("RMSprop", "Rmsprop")  # the one name whose words the capitals do not show
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", name).lower()


def parameters(cls: type) -> list[str]:
    """Names of what `cls(...)` accepts, those that `**options` hands to the base classes included.

    >>> class Base:
    ...     def __init__(self, name=None): ...
    >>> class Derived(Base):
    ...     def __init__(self, rate, **options): ...
    >>> parameters(Derived)
    ['rate', 'name']
    """
    return [p.name for _, p in accepted(cls)]


def accepted(cls: type) -> list[tuple[type, inspect.Parameter]]:
    """What `cls(...)` accepts, each with the class whose `__init__` names it."""
    found: dict[str, tuple[type, inspect.Parameter]] = {}
    for owner in cls.__mro__:
        init = owner.__dict__.get("__init__")
        if init is None or owner is object:
            continue
        known = list(inspect.signature(init).parameters.values())[1:]
        for p in known:
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                found.setdefault(p.name, (owner, p))
        if not any(p.kind is p.VAR_KEYWORD for p in known):
            break
    return list(found.values())


class Serializable:
    """Base of everything with a config: the arguments of `__init__`, kept as attributes of the same names.

    >>> class Scale(Serializable):
    ...     def __init__(self, factor=2.0):
    ...         self.factor = factor
    >>> Scale.from_config(Scale(3.0).get_config()).factor
    3.0
    """

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object, as plain data."""
        return {name: plain(getattr(self, name)) for name in parameters(type(self))}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new object from `get_config()`."""
        return cls(**config)


def plain(value: Any) -> Any:
    """`value` as plain data where that is possible: arrays as lists, configured objects as dicts.

    >>> plain((1, 2.0)), plain(None)
    ([1, 2.0], None)
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if hasattr(value, "get_config") and not isinstance(value, type):
        return {"class_name": saved_name(type(value)), "config": value.get_config()}
    return value


class Saved(dict[str, Any]):
    """An object as plain data in Keras's form: module, class_name, config and registered_name.

    In this process it knows the object, so that a class that is not registered is found again, a layer that
    occurs twice is one, and an array need not be written as text.
    """

    def __init__(
        self, origin: Any, module: str, class_name: str, config: Any, registered: Any = None
    ) -> None:
        super().__init__(module=module, class_name=class_name, config=config, registered_name=registered)
        self.origin = origin

    def __deepcopy__(self, memo: Any) -> Saved:
        """The object is not copied: it is only looked at."""
        return Saved(self.origin, *copy.deepcopy(list(self.values()), memo))

    def __reduce__(self) -> Any:
        """Pickled as what it shows."""
        return dict, (dict(self),)


def is_saved(value: Any) -> bool:
    """Whether it is an object in Keras's form."""
    return isinstance(value, dict) and {"module", "class_name", "config", "registered_name"} <= value.keys()


def is_ours(cls: type) -> bool:
    """Whether a class is one of this package."""
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def public_module(cls: type) -> str:
    """Where users find a class: `tinygrad_rnn.layers` for one of `tinygrad_rnn.layers.lstm`.

    >>> from tinygrad_rnn.layers import LSTM
    >>> public_module(LSTM)
    'tinygrad_rnn.layers'
    """
    outer = cls.__module__.rpartition(".")[0]
    shown = getattr(sys.modules.get(outer), "__all__", ())
    return outer if is_ours(cls) and cls.__name__ in shown and "." in outer else cls.__module__


def class_of(data: Mapping[str, Any], default: Any = None) -> Any:
    """The class that an object in Keras's form is of; a user's must be known by name, nothing is imported.

    Raises `ValueError` for one that is not known.
    """
    if isinstance(data, Saved):
        return type(data.origin)
    own, name = custom_objects(), data["class_name"]
    for known in (data["registered_name"], name):
        if known in own:
            return own[known]
    package, _, place = str(data["module"]).partition(".")
    if package in ("keras", __name__.partition(".")[0]):
        found = [default] if default is not None else _claimed.get(name, [])
        for cls in [c for c in found if public_module(c).partition(".")[2] == place] or found:
            return cls
    raise ValueError(
        f"{name!r} of {data['module']} is not known here: register it with utils.register_serializable(), or hand it "
        "over in custom_objects"
    )


_claimed: dict[str, list[type]] = {}  # the classes of this package by name, one of each kind


def claim(name: str, cls: type) -> None:
    """Let `name` mean this class of the package in configs."""
    _claimed.setdefault(name, []).append(cls)


def saved_name(cls: type) -> str:
    """The name that configs have for a class: the one under which it was registered, else its own.

    Raises `ValueError` for a class that is not registered and has the name of one of this package.

    >>> saved_name(dict)
    'dict'
    """
    name = get_registered_name(cls)
    if cls not in _claimed.get(name, [cls]) and custom_objects().get(name) is not cls:
        raise ValueError(
            f"save: the class {name} of {cls.__module__} has the name of another one in this package; register it "
            "under a name of its own with utils.register_serializable()"
        )
    return name


class Registry:
    """The known classes and functions of one kind, by name.

    A name is looked up as it is written, then without regard to case and underscores, so that
    `"GlorotUniform"`, `"glorot_uniform"` and `"glorotuniform"` mean the same class.

    >>> table = Registry("rule", [max, min], {"largest": max})
    >>> table.get("Largest")(1, 2)
    2
    >>> table.get("minn")
    Traceback (most recent call last):
    ...
    ValueError: unknown rule 'minn'; did you mean 'min'? Known: largest, max, min
    """

    def __init__(
        self,
        kind: str,
        members: Iterable[Callable[..., Any]] = (),
        aliases: Mapping[str, Callable[..., Any]] | None = None,
        base: type | None = None,
    ) -> None:
        self.kind = kind
        self.base = base
        self._entries: dict[str, Callable[..., Any]] = {}
        for member in members:
            self.add(member)
        for name, member in (aliases or {}).items():
            self.add(member, name)

    def add(self, member: Callable[..., Any], name: str | None = None) -> None:
        """Enter a class or function under `name` (default: its own).

        Raises `ValueError` if another one has that name.
        """
        name = name or member.__name__
        if self._entries.setdefault(name, member) is not member:
            raise ValueError(f"there is another {self.kind} named {name!r}")
        if isinstance(member, type):
            claim(name, member)

    def find(self, name: str) -> Callable[..., Any]:
        """The class or function called `name`; `ValueError` with the nearest known name if there is none.

        A name of `custom_objects` counts before the table's.
        """
        if (own := custom_objects().get(name)) is not None:
            return own  # type: ignore[no-any-return]
        if name in self._entries:
            return self._entries[name]
        loose = {_loose(known): known for known in reversed(self._entries)}
        if (known := loose.get(_loose(name))) is not None:
            return self._entries[known]
        (near,) = difflib.get_close_matches(_loose(name), loose, n=1, cutoff=0.0)
        hint = snake_case(loose[near]) if name == name.lower() else loose[near]
        raise ValueError(
            f"unknown {self.kind} {name!r}; did you mean {hint!r}? Known: {', '.join(sorted(self._entries))}"
        )

    def holds(self, member: Any) -> bool:
        """Whether this class or function is an entry."""
        return any(member is entry for entry in self._entries.values())

    def get(self, identifier: Any) -> Any:
        """The object that `identifier` means: a name, a config dict, a class, or the object itself.

        A class is instantiated with its defaults, anew at each call; a function is returned as it is, and
        so is None. Raises `ValueError` for anything else.
        """
        if identifier is None or (self.base is not None and isinstance(identifier, self.base)):
            return identifier
        if isinstance(identifier, str):
            identifier = self.find(identifier)
        if is_saved(identifier):
            identifier = {**identifier, **self._named(identifier)}
        if isinstance(identifier, Mapping):
            if not {"class_name", "config"} <= set(identifier):
                raise ValueError(
                    f"{self.kind}: a config dict has the keys 'class_name' and 'config', "
                    f"received {dict(identifier)}"
                )
            named = identifier["class_name"]
            cls: Any = self.find(named) if isinstance(named, str) else named
            return cls.from_config(identifier["config"]) if hasattr(cls, "from_config") else cls
        if isinstance(identifier, type):
            return identifier()
        if callable(identifier):
            return identifier
        raise ValueError(
            f"{self.kind}: expected a name, a config dict or a callable, received {identifier!r} "
            f"({type(identifier).__name__})"
        )

    def _named(self, data: Any) -> dict[str, Any]:
        """What Keras's form of an object means here, of the other form: the class itself, and its config."""
        if data["class_name"] == "function":
            return {"class_name": getattr(data, "origin", None) or data["config"]}
        cls = class_of(data, self._entries.get(data["class_name"]))
        known = parameters(cls) if data["module"].startswith("keras") else data["config"]
        return {
            "class_name": cls,
            "config": {k: v for k, v in data["config"].items() if k in known or v is not None},
        }

    def serialize(self, value: Any) -> Any:
        """What `get` turns back into `value`: the name of a known function, the config dict of an object.

        Other callables come back as they are: a layer can still be copied with them, but not be saved.
        """
        for name, member in self._entries.items():
            if member is value:
                return name
        return plain(value)


def _loose(name: str) -> str:
    return name.replace("_", "").lower()
