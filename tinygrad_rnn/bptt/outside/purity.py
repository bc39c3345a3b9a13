"""What a step function changes outside of itself: found out by looking at its surroundings before and after."""

from __future__ import annotations

import random
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import partial
from operator import eq
from types import BuiltinFunctionType, CellType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from ...config import SeedGenerator, generator
from ...core.tensor import Tensor
from ..step.body import Underivable
from ..step.tracer import Tracer
from .kinds import OF_CALLS, is_layer
from .reached import MISSING, cells_of, content, foreign, modules, names_in, reached

LARGE_ARRAY = 1_000_000  # elements; larger ones are not watched
FIXED = (tuple, frozenset)
# Of a container, the first that fits has the methods that read and fill it: a subclass may do something else.
CONTAINERS = (list, OrderedDict, dict, set, deque, *FIXED)


class Stream(NamedTuple):
    """A random stream that all code shares."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    same: Callable[[Any, Any], bool]


SHARED = {
    "Python's random stream": Stream(random.getstate, random.setstate, eq),  # 625 numbers, at once
    "NumPy's random stream": Stream(np.random.get_state, np.random.set_state, lambda a, b: _same(a, b)),
}


class Traces(dict[Any, Any]):
    """What was found out about the step of an owner. It stays with that: a copy of it knows nothing."""

    def __init__(self, owner: Any = None) -> None:
        self.owner = None if owner is None else weakref.ref(owner)
        self.failures = 0  # how often in a row what the step depends on had changed
        self.rested = 0  # calls since then
        self.dependencies: dict[Any, Any] = {}  # of each method that is a step, as they were seen last

    def of(self, owner: Any) -> bool:
        """Whether this is the owner: the attributes of functions and layers may be copied to others."""
        return self.owner is not None and self.owner() is owner

    def __reduce__(self) -> Any:
        """For pickle and copy: an empty one."""
        return Traces, ()


_CONTENT: Any = CellType.cell_contents  # of a variable that a function closes over
HOLD_NOTHING = (type(None), bool, int, float, complex, str, bytes, Traces)  # hold nothing that could change


class Surroundings:
    """The lists, dicts, sets, queues, random streams, names and counters that a step can reach, as they are now.

    Attributes of the objects it is bound to or closes over are among them. Of this package's random streams the names
    are enough, as a trace draws from copies. Raises `Underivable` for what cannot be looked at.
    """

    def __init__(self, step: Any, constants: Any) -> None:
        self.found: list[tuple[str, Any, Any, Callable[[Any], None]]] = []
        self.seen: set[int] = set()
        self.streams = {id(generator()): "the package's random stream"}
        self.shared = {name: stream.read() for name, stream in SHARED.items()}
        self.members: dict[type, list[Any]] = {}  # of the classes that were met, their slots
        self.functions: list[Any] = []
        self.entered = 0  # how many of these
        self._enter_function(step, 0)
        self._enter("constants", constants, 0)

    def _enter_function(self, function: Any, depth: int) -> None:
        """What a function refers to, its attributes, and the names that it could assign to."""
        for name, value in reached(function, self.functions):
            self._enter(name, value, depth)
        while self.entered < len(self.functions):
            inner = self.functions[self.entered]
            self.entered += 1
            self._enter_names(inner)
            self._enter_object(inner.__name__, inner, depth)

    def _enter_names(self, function: FunctionType) -> None:
        """The closure of a function, what it assigns to in modules, and the global numbers that it names."""
        for name, cell in cells_of(function):
            self._note(
                f"the variable {name!r}", partial(content, cell, MISSING), partial(_set_slot, _CONTENT, cell)
            )
        names, assigned = names_in(function.__code__)
        module = function.__globals__
        numbers = [name for name in names if issubclass(type(module.get(name)), (int, float, str))]
        for name in dict.fromkeys(assigned + numbers):
            read, write = partial(module.get, name, MISSING), partial(_set_item, module, name)
            self._note(f"the global {name!r}", read, write)
        for own in modules(function) if assigned else ():
            for name in assigned:
                read, write = partial(vars(own).get, name, MISSING), partial(_set_item, vars(own), name)
                self._note(f"the attribute {name!r} of the module {own.__name__}", read, write)

    def _note(self, name: str, read: Callable[[], Any], write: Callable[[Any], None]) -> Any:
        """Remember something with its value, which is returned."""
        self.found.append((name, read, read(), write))
        return self.found[-1][2]

    def _enter(self, name: str, value: Any, depth: int) -> None:
        kind = type(value)
        if kind in HOLD_NOTHING or id(value) in self.seen or depth > 4:
            return
        self.seen.add(id(value))
        try:
            self._look_at(name, value, kind, depth)
        except Underivable:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise Underivable(f"the {kind.__name__} {name!r} cannot be looked at ({why})") from error

    def _look_at(self, name: str, value: Any, kind: type, depth: int) -> None:
        base = next((base for base in CONTAINERS if issubclass(kind, base)), None)
        if base is not None:
            items = _items(base, value)
            if base not in FIXED:
                self._note(
                    f"the {kind.__name__} {name!r}",
                    partial(_items, base, value),
                    partial(_refill, base, value),
                )
            for key, item in (items if issubclass(base, dict) else list(enumerate(items)))[:100]:
                self._enter(f"{name}[{key!r}]", item, depth + 1)
            if kind is not base:
                self._enter_object(name, value, depth)
        elif issubclass(kind, SeedGenerator):
            self.streams[id(value.numpy)] = f"the random stream {name!r}"
        elif issubclass(kind, np.random.Generator):
            self._enter(name, value.bit_generator, depth)
        elif issubclass(kind, np.random.BitGenerator):
            read, write = partial(getattr, value, "state"), partial(setattr, value, "state")
            self._note(f"the random stream {name!r}", read, write)
        elif issubclass(kind, np.random.RandomState):
            self._note(f"the random stream {name!r}", value.get_state, value.set_state)
        elif issubclass(kind, random.Random):
            self._note(f"the random stream {name!r}", value.getstate, value.setstate)
        elif kind is FunctionType:
            self._enter_function(value, depth + 1)
        elif issubclass(kind, np.ndarray):
            if value.flags.writeable and value.size <= LARGE_ARRAY:
                self._note(f"the array {name!r}", value.copy, partial(np.copyto, value))
        elif issubclass(kind, Iterator) and kind not in weakref.ProxyTypes:
            raise Underivable(
                f"the step uses the iterator {name!r}, whose next value depends on how often it was asked"
            )
        elif kind is BuiltinFunctionType:
            self._enter(name, value.__self__, depth)
        elif issubclass(kind, weakref.ref):
            self._enter(name, value(), depth)
        elif issubclass(kind, type):
            self._enter_classes(value, depth)
        elif not issubclass(kind, (Tensor, ModuleType)):
            self._enter_object(name, value, depth)

    def _enter_classes(self, kind: type, depth: int) -> None:
        """What is in a class that a user wrote, and in those that it comes from."""
        for one in (*kind.__mro__, type(kind)):
            if one in self.members:
                continue
            self.members[one] = [m for m in vars(one).values() if type(m) is MemberDescriptorType]
            if foreign(one.__module__):
                continue
            write = partial(_set_class_attributes, one)
            held = self._note(f"an attribute of the class {one.__name__!r}", vars(one).copy, write)
            for name, item in held.items():
                label = f"{one.__name__}.{name}"
                if type(item) is FunctionType:
                    self._enter(label, item, 0)
                elif not name.startswith("__") and not issubclass(type(item), Iterator):
                    self._enter(label, item, depth + 1)

    def _enter_object(self, name: str, value: Any, depth: int) -> None:
        """What hangs on an object, in its dict, in slots or held in C, and its class."""
        kind, held = type(value), {}
        if isinstance(getattr(value, "__dict__", None), dict):
            read, write = partial(_attributes, value), partial(_set_attributes, value)
            held = dict(self._note(f"an attribute of {name!r}", read, write))
        self._enter_classes(kind, depth)
        for one in kind.__mro__ if kind is not FunctionType else ():
            for member in self.members[one]:
                slot = member.__name__
                held[slot] = _slot(member, value)
                if "__slots__" in vars(one):  # what C holds may be for reading alone
                    read, write = partial(_slot, member, value), partial(_set_slot, member, value)
                    self._note(f"the attribute {slot!r} of {name!r}", read, write)
        deeper = depth + (not is_layer(value))  # layers in layers are looked into at any depth
        for key, item in held.items():
            self._enter(f"{name}.{key}", item, deeper)

    def built(self) -> bool:
        """Whether a layer has made its weights since, as layers do when they are called for the first time."""
        for _, read, before, _ in self.found:
            if isinstance(before, dict) and before.get("built") is False and read().get("built") is True:
                return True
        return False

    def drawn(self, tracer: Tracer) -> str:
        """From which of this package's random streams a trace drew, or nothing."""
        return next((self.streams.get(i, "a random stream") for i in tracer.drawn()), "")

    def moved(self) -> str:
        """Which of the random streams that all code shares stands elsewhere now, or nothing."""
        return next((n for n, of in SHARED.items() if not of.same(of.read(), self.shared[n])), "")

    def rewind(self) -> None:
        """Put these back: whatever other threads drew meanwhile comes again, so it is done for a reason only."""
        for name, stream in SHARED.items():
            stream.write(self.shared[name])

    def changed(self, tracer: Tracer) -> bool:
        """Whether a trace changed something, or drew."""
        return bool(self.changes() or self.moved() or self.drawn(tracer))

    def changes(self) -> str:
        """What has changed since, or nothing."""
        for name, read, before, _ in self.found:
            now = read()
            if not _same(now, before):
                return name.replace("an attribute", _changed_attribute(before, now))
        return ""

    def undo(self) -> None:
        """Put back what has changed since."""
        for _, read, before, write in self.found:
            if not _same(read(), before):
                write(before)


def _changed_attribute(before: Any, now: Any) -> str:
    """The first attribute of an object that is another one now."""
    if not isinstance(now, dict):
        return "an attribute"
    names = [k for k in {**before, **now} if not _same((k in before, before.get(k)), (k in now, now.get(k)))]
    return f"the attribute {names[0]!r}"


def _set_item(inner: dict[str, Any], name: str, value: Any) -> None:
    if value is MISSING:
        inner.pop(name, None)
    else:
        inner[name] = value


def _slot(member: Any, value: Any) -> Any:
    try:
        return member.__get__(value)
    except AttributeError:  # not assigned yet
        return MISSING


def _set_slot(member: Any, value: Any, item: Any) -> None:
    if item is MISSING:
        member.__delete__(value)
    else:
        member.__set__(value, item)


def _items(base: Any, value: Any) -> list[Any]:
    """What is in a container."""
    return list(base.items(value) if issubclass(base, dict) else base.__iter__(value))


def _refill(base: Any, value: Any, items: list[Any]) -> None:
    base.clear(value)
    if issubclass(base, dict):
        for key, item in items:
            base.__setitem__(value, key, item)
    else:
        (base.update if base is set else base.extend)(value, items)


def _attributes(value: Any) -> dict[str, Any]:
    """What hangs on an object, without what every call of a layer sets: another thread may be in one."""
    left_out = OF_CALLS if is_layer(value) else ()
    inner = dict.copy(value.__dict__).items()
    return {name: item for name, item in inner if name not in left_out and type(item) is not Traces}


def _set_attributes(value: Any, old: dict[str, Any]) -> None:
    for name in _attributes(value).keys() - old.keys():
        del value.__dict__[name]
    value.__dict__.update(old)


def _set_class_attributes(kind: type, old: dict[str, Any]) -> None:
    for name in vars(kind).keys() - old.keys():
        delattr(kind, name)
    for name, item in old.items():
        if vars(kind).get(name) is not item:  # a library may forbid to set the others, as enumerations do
            setattr(kind, name, item)


def _same(a: Any, b: Any) -> bool:
    """Equal, where Tensors and arrays are equal if they are the same object."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple, deque)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return bool(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes())
    if isinstance(a, (int, float, complex, str, bytes, frozenset, np.generic)):
        return bool(a == b)
    return False
