"""What a step function changes outside of itself: found out by looking at its surroundings before and after."""

from __future__ import annotations

import functools
import random
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..config import SeedGenerator, generator
from ..core.tensor import Tensor
from .body import Underivable
from .kinds import OF_CALLS, is_layer, library
from .reached import cells_of, content, reached
from .tracer import Tracer

LARGE_ARRAY = 1_000_000  # elements; larger ones are not watched
CONTAINERS = (list, dict, set, deque)
STREAMS = (np.random.Generator, np.random.RandomState, random.Random)
SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {  # random streams, read and put back
    "Python's random stream": (random.getstate, random.setstate),
    "NumPy's random stream": (lambda: np.random.get_state(), lambda state: np.random.set_state(state)),
}


class Traces(dict[Any, Any]):
    """What was found out about the step of an owner. It stays with that: a copy of it knows nothing."""

    def __init__(self, owner: Any = None) -> None:
        self.owner = None if owner is None else weakref.ref(owner)
        self.failures = 0  # how often in a row what the step depends on had changed

    def of(self, owner: Any) -> bool:
        """Whether this is the owner: the attributes of functions and layers may be copied to others."""
        return self.owner is not None and self.owner() is owner

    def __reduce__(self) -> Any:
        """For pickle and copy: an empty one."""
        return Traces, ()


class Surroundings:
    """The lists, dicts, sets, queues, random streams and counters that a step function can reach, as they are now.

    Attributes of the objects it is bound to or closes over are among them. Of this package's random streams the names
    are enough, as a trace draws from copies.
    """

    def __init__(self, step: Any, constants: Any) -> None:
        self.found: list[tuple[str, Any, Any, Callable[[Any], None]]] = []
        self.seen: set[int] = set()
        self.streams = {id(generator()): "the package's random stream"}
        self.shared = {name: read() for name, (read, _) in SHARED.items()}
        self.classes: set[type] = set()
        self.functions: list[Any] = []
        self._enter_function(step, 0)
        self._enter("constants", constants, 0)

    def _enter_function(self, function: Any, depth: int) -> None:
        """What a function refers to, and the numbers that it could assign."""
        first = len(self.functions)
        for name, value in reached(function, self.functions):
            self._enter(name, value, depth)
        for inner in self.functions[first:]:
            self._names_of_numbers(inner)
            self._enter_object(getattr(inner, "__name__", "the step"), inner, depth)
            for name, cell in cells_of(inner):
                if isinstance(content(cell), (int, float, str, Tensor)):
                    read, write = functools.partial(content, cell), _cell_setter(cell)
                    self._note(f"the variable {name!r}", read, write)

    def _note(self, name: str, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self.found.append((name, read, read(), write))

    def _names_of_numbers(self, function: Any) -> None:
        """Numbers in the module of a function that it could assign (`global`)."""
        module = getattr(function, "__globals__", {})
        for name in getattr(getattr(function, "__code__", None), "co_names", ()):
            if isinstance(module.get(name), (int, float, str)):
                read = functools.partial(module.get, name)
                self._note(f"the global {name!r}", read, functools.partial(module.__setitem__, name))

    def _enter(self, name: str, value: Any, depth: int) -> None:
        if id(value) in self.seen or depth > 4 or isinstance(value, Traces):
            return
        self.seen.add(id(value))
        if isinstance(value, CONTAINERS):
            kind = f"the {type(value).__name__} {name!r}"
            self._note(kind, lambda: _copy(value), lambda old: _restore(value, old))
            items = (
                value.items()
                if isinstance(value, dict)
                else enumerate(value)
                if isinstance(value, (list, deque))
                else ()
            )
            for key, item in list(items)[:100]:
                self._enter(f"{name}[{key!r}]", item, depth + 1)
        elif isinstance(value, SeedGenerator):
            self.streams[id(value.numpy)] = f"the random stream {name!r}"
        elif isinstance(value, np.random.Generator):
            stream = value.bit_generator
            self._note(f"the random stream {name!r}", lambda: stream.state, _state_setter(value))
        elif isinstance(value, np.random.RandomState):
            self._note(f"the random stream {name!r}", value.get_state, value.set_state)
        elif isinstance(value, random.Random):
            self._note(f"the random stream {name!r}", value.getstate, value.setstate)
        elif type(value) in (tuple, frozenset):
            for i, item in enumerate(value):
                self._enter(f"{name}[{i}]", item, depth + 1)
        elif isinstance(value, FunctionType):
            self._enter_function(value, depth + 1)
        elif isinstance(value, np.ndarray):
            if value.flags.writeable and value.size <= LARGE_ARRAY:
                self._note(f"the array {name!r}", value.copy, functools.partial(np.copyto, value))
        elif isinstance(value, Iterator):
            raise Underivable(
                f"the step uses the iterator {name!r}, whose next value depends on how often it was asked"
            )
        elif isinstance(value, (BuiltinFunctionType, MethodType)):
            self._enter(name, value.__self__, depth)
        elif isinstance(value, type):
            self._enter_class(value)
        elif not isinstance(value, (Tensor, ModuleType)):
            self._enter_object(name, value, depth)

    def _enter_class(self, kind: type) -> None:
        """Numbers, functions and random streams in a class that is not a library's."""
        if kind not in self.classes and not library(kind.__module__):
            self.classes.add(kind)
            read, write = functools.partial(_numbers, kind), functools.partial(_set_numbers, kind)
            self._note(f"an attribute of the class {kind.__name__!r}", read, write)
            for name, item in list(vars(kind).items()):
                if isinstance(item, FunctionType) or type(item) in STREAMS:
                    self._enter(f"{kind.__name__}.{name}", item, 0)

    def _enter_object(self, name: str, value: Any, depth: int) -> None:
        slots = [s for c in type(value).__mro__ for s in vars(c).get("__slots__", ()) if isinstance(s, str)]
        held = (
            {s: getattr(value, s) for s in slots if hasattr(value, s)}
            if type(value).__module__ != "builtins"
            else {}
        )
        inner = getattr(value, "__dict__", None)
        if isinstance(inner, dict):
            read, write = functools.partial(_attributes, value), functools.partial(_set_attributes, value)
            self._note(f"an attribute of {name!r}", read, write)
            held |= _attributes(value)
        for slot in held.keys() - (inner or {}).keys():
            get, put = functools.partial(getattr, value, slot), functools.partial(setattr, value, slot)
            self._note(f"the attribute {slot!r} of {name!r}", get, put)
        for one in type(value).__mro__:
            self._enter_class(one)
            held |= {k: v for k, v in vars(one).items() if isinstance(v, CONTAINERS) and k not in held}
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
        return next((name for name, (read, _) in SHARED.items() if not _same(read(), self.shared[name])), "")

    def rewind(self) -> None:
        """Put these back: whatever other threads drew meanwhile comes again, so it is done for a reason only."""
        for name, (_, write) in SHARED.items():
            write(self.shared[name])

    def changed(self, tracer: Tracer) -> bool:
        """Whether a trace changed something, or drew."""
        same = all(_same(read(), before) for _, read, before, _ in self.found)
        return bool(not same or self.moved() or self.drawn(tracer))

    def undo(self) -> str:
        """Put back what has changed since; say what it was, or nothing."""
        changed = ""
        for name, read, before, write in self.found:
            now = read()
            if not _same(now, before):
                changed = changed or name.replace("an attribute", _changed_attribute(before, now))
                write(before)
        return changed


def _changed_attribute(before: Any, now: Any) -> str:
    """The first attribute of an object that is another one now."""
    if not isinstance(now, dict):
        return "an attribute"
    names = [k for k in {**before, **now} if not _same((k in before, before.get(k)), (k in now, now.get(k)))]
    return f"the attribute {names[0]!r}"


def _state_setter(rng: np.random.Generator) -> Callable[[Any], None]:
    def write(state: Any) -> None:
        rng.bit_generator.state = state

    return write


def _cell_setter(cell: CellType) -> Callable[[Any], None]:
    def write(value: Any) -> None:
        cell.cell_contents = value

    return write


def _copy(value: Any) -> Any:
    return value.copy()


def _restore(value: Any, old: Any) -> None:
    value.clear()
    if isinstance(value, (list, deque)):
        value.extend(old)
    else:
        value.update(old)


def _attributes(value: Any) -> dict[str, Any]:
    """What hangs on an object, without what every call of a layer sets: another thread may be in one."""
    left_out = OF_CALLS if is_layer(value) else ()
    inner = value.__dict__.copy().items()
    return {name: item for name, item in inner if name not in left_out and not isinstance(item, Traces)}


def _set_attributes(value: Any, old: dict[str, Any]) -> None:
    for name in _attributes(value).keys() - old.keys():
        del value.__dict__[name]
    value.__dict__.update(old)


def _numbers(kind: type) -> dict[str, Any]:
    """The numbers and texts in a class."""
    return {name: item for name, item in vars(kind).items() if isinstance(item, (int, float, str))}


def _set_numbers(kind: type, old: dict[str, Any]) -> None:
    for name in _numbers(kind).keys() - old.keys():
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
    if isinstance(a, (int, float, str, bool, set)):
        return bool(a == b)
    return False


def kind_of(value: Any, depth: int = 3) -> Any:
    """What decides whether a step that was looked at once may be another one now: code, switches, types."""
    function = value.__func__ if isinstance(value, MethodType) else value
    if isinstance(function, FunctionType):
        held = [value.__self__] if isinstance(value, MethodType) else []
        cells = [content(c) for c in function.__closure__ or ()]
        return (function.__code__, tuple([kind_of(v, depth - 1) for v in (*held, *cells)]) if depth else ())
    if value is None or isinstance(value, (bool, str)):
        return value
    inner = getattr(value, "__dict__", None)
    if depth and isinstance(inner, dict) and not isinstance(value, (type, Tensor, ModuleType)):
        return (type(value), tuple([kind_of(v, depth - 1) for v in inner.values()]))
    return type(value)
