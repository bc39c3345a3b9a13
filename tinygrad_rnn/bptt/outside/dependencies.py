"""What a step function refers to. As long as all of it is the same, tracing it again would give the same ops.

The code of the step, and of every function and method that it can reach, says which names it uses; what it can reach
is looked at, down to the Tensors, numbers and arrays. What cannot be watched makes the step `Unsure`.
"""

from __future__ import annotations

import dis
import functools
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import repeat
from operator import attrgetter, is_
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np

from ...core.op import Op
from ...core.tensor import Tensor, Variable
from .kinds import BY_NAME, HIDDEN, OF_CALLS, constant, fixed, hides, is_layer, library
from .purity import Traces
from .reached import MISSING, content

# Bytes of an array whose values are compared: a matrix of 500 × 500 in float32, as of a fixed reservoir, takes 0.1 ms,
# where tracing the step again takes 0.7 ms at least.
LARGEST = 1_000_000
MOST = 2000  # objects that are looked at
# Methods that no call of a built layer runs: looked at where code has their names, or a layer may be made in it.
ASIDE = frozenset(("build", "get_config", "from_config", "compute_output_shape"))
CONSTRUCTING = frozenset(("type", "__class__", "__init__", "__new__"))  # names with which classes are called

_code, _defaults, _keywords = map(attrgetter, ("__code__", "__defaults__", "__kwdefaults__"))
_cell, _inner, _mro = map(attrgetter, ("cell_contents", "__dict__", "__mro__"))
_partial, _builtins = attrgetter("func", "args", "keywords"), attrgetter("__builtins__")
_trainable, _path, _wrapped = map(attrgetter, ("_trainable", "path", "func"))


class Unsure(Exception):
    """A step refers to something that may change without being seen."""


class Dependencies:
    """All that a step can reach, as it is now; raises `Unsure` for what cannot be watched."""

    def __init__(self, step: Any) -> None:
        self.reads: dict[Callable[[Any], Any], tuple[list[Any], list[Any]]] = {}  # of objects, their values
        self.contents: list[tuple[Callable[[Any], Collection[Any]], Any, Collection[Any]]] = []
        self.entries: dict[int, tuple[Mapping[Any, Any], list[Any], list[Any]]] = {}  # some of a dict's
        self.counts: tuple[list[Any], list[int]] = [], []  # how many there are
        self.arrays: list[tuple[np.ndarray[Any, Any], Any]] = []
        self.seen: dict[int, Any] = {}  # by identity, so that no identity is used again
        self.names: set[str] = set()  # that stand in code
        self.strings: set[str] = set()  # that could be the names of attributes
        self.modules: list[tuple[ModuleType, set[str]]] = []  # with the names that were looked for
        self.constructors: dict[int, list[Any]] = {}  # of classes of which only instances were met
        self.aside: dict[str, list[Any]] = {}  # methods by name, and of what arrays are a part
        self.left_out: set[str] = set()
        self.waiting: list[Any] = []
        if isinstance(step, MethodType):
            self._layer(step.__self__, step.__func__)
        else:
            self.waiting.append(step)
        self._look_at_all()

    def unchanged(self) -> bool:
        """Whether all is as it was."""
        try:
            for read, (owners, values) in self.reads.items():
                if not all(map(is_, map(read, owners), values)):
                    return False
            for inner, keys, values in self.entries.values():
                if not all(map(is_, map(inner.get, keys, repeat(MISSING)), values)):
                    return False
            for look, owner, before in self.contents:
                now = look(owner)
                if len(now) != len(before) or not all(map(is_, now, before)):
                    return False
            if list(map(len, self.counts[0])) != self.counts[1]:
                return False
            return all([_values(array) == before for array, before in self.arrays])
        except (AttributeError, ValueError, RuntimeError):  # not there any more, or changing just now
            return False

    # --- what is watched ----------------------------------------------------------------------------

    def _watch(self, read: Callable[[Any], Any], owner: Any) -> Any:
        """One attribute, which is not looked at."""
        try:
            value = read(owner)
        except (AttributeError, ValueError):
            raise Unsure("a variable that has no value yet") from None
        owners, values = self.reads.setdefault(read, ([], []))
        owners.append(owner)
        values.append(value)
        return value

    def _read(self, read: Callable[[Any], Any], owner: Any) -> Any:
        """One attribute."""
        self.waiting.append(self._watch(read, owner))
        return self.waiting[-1]

    def _all(self, look: Callable[[Any], Collection[Any]], owner: Any) -> Collection[Any]:
        """Everything in an object that holds others."""
        self.contents.append((look, owner, look(owner)))
        return self.contents[-1][2]

    def _some(self, inner: Mapping[Any, Any], names: Iterable[Any]) -> None:
        """Some entries of a dict, whether they are there or not."""
        for key in names:
            _, keys, values = self.entries.setdefault(id(inner), (inner, [], []))
            keys.append(key)
            values.append(inner.get(key, MISSING))
            if values[-1] is not MISSING:
                self.waiting.append(values[-1])

    # --- what is looked at --------------------------------------------------------------------------

    def _look_at_all(self) -> None:
        while self.waiting:
            self._look_at(self.waiting.pop())
            if not self.waiting and self.names & CONSTRUCTING:
                self.waiting += [one for found in self.constructors.values() for one in found]
                self.constructors.clear()
            for name in self.aside.keys() & self.names:
                self.waiting += self.aside.pop(name)
            if not self.waiting:
                self._take_from_modules()
        suspects = HIDDEN | self.left_out
        if BY_NAME & self.names:
            self.names |= self.strings
            suspects |= self.aside.keys()
            if not all(library(module.__name__) for module, _ in self.modules):
                suspects |= BY_NAME
        if suspects & self.names:
            raise Unsure(", ".join(sorted(suspects & self.names)))

    def _take_from_modules(self) -> None:
        """What code with these names could take out of the modules."""
        for module, taken in self.modules:
            inner, known = vars(module), library(module.__name__)
            if type(module) is not ModuleType or "__getattr__" in inner and not known:
                raise Unsure(f"the module {module.__name__}")
            names = [name for name in self.names - taken if name in inner or not known]
            taken |= self.names
            self._some(inner, names)

    def _look_at(self, value: Any) -> None:
        kind = type(value)
        if kind is str:
            self.strings.add(value)
        if isinstance(value, type):
            self._class(value)
            for one in value.__mro__:
                self.waiting += self.constructors.pop(id(one), ())
                self.names |= (
                    ASIDE & vars(one).keys() if not fixed(one) else set()
                )  # it may be made in the step
            return
        if constant(value) or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if len(self.seen) > MOST:
            raise Unsure("too much")
        if kind is Variable:
            self._read(_trainable, value)
            self._read(_path, value)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, (BuiltinFunctionType, MethodWrapperType)):
            self._builtin(value)
        elif kind is MethodType:
            self.waiting += [value.__self__, value.__func__]
        elif kind is functools.partial:
            self.waiting += self._all(_partial, value)
            self._attributes(value)
        elif kind in (staticmethod, classmethod):
            self.waiting.append(value.__func__)
        elif kind is property:
            self.waiting += [value.fget, value.fset]
        elif isinstance(value, functools.cached_property):
            self._read(_wrapped, value)
        elif kind is slice:
            self.waiting += [value.start, value.stop, value.step]
        elif isinstance(value, ModuleType):
            self.modules.append((value, set()))
        elif kind is np.ndarray:
            self._array(value)
        elif kind in (list, set):
            self.waiting += self._all(list, value)
        elif kind in (dict, OrderedDict):
            self.waiting += self._all(_items, value)
        elif kind is not Tensor:
            self._object(value)

    def _layer(self, layer: Any, function: Any) -> None:
        """A recurrent layer: of its attributes, the step needs few."""
        methods = [self._read(attrgetter(name), type(layer)) for name in layer.step_methods]
        if function not in methods or not all(library(m.__globals__["__name__"]) for m in methods):
            raise Unsure(f"the method {function.__name__}")
        self._some(vars(layer), ["cell", *layer.step_methods])

    def _array(self, array: np.ndarray[Any, Any]) -> None:
        if array.nbytes > LARGEST or array.dtype.hasobject:
            raise Unsure("a large array that could be written into")
        self.arrays.append((array, _values(array)))
        if array.base is not None:
            self.aside.setdefault("base", []).append(array.base)

    def _builtin(self, value: Any) -> None:
        self.names.add(f"{value.__name__}()")
        if isinstance(value.__self__, ModuleType) or value.__self__ is None:
            if not library(value.__module__):
                raise Unsure(f"{value.__name__}()")
        else:
            self.waiting.append(value.__self__)

    def _function(self, function: FunctionType) -> None:
        if library(function.__globals__.get("__name__")):  # but what a decorator wraps may be the user's
            self.names.add(f"{function.__name__}()")
            for cell in () if fixed(function) else function.__closure__ or ():
                if not isinstance(content(cell), Op):
                    self.waiting.append(content(cell))
            return
        for read in (_code, _defaults, _keywords):
            self._read(read, function)
        for cell in function.__closure__ or ():
            self._read(_cell, cell)
        self._attributes(function)
        named: list[str] = []
        self._names(function.__code__, named)
        self._some(function.__globals__, named)
        self._some(_builtins(function), [name for name in named if name not in function.__globals__])

    def _names(self, code: CodeType, named: list[str]) -> None:
        """All names in a function, and in those inside; `named` takes those of globals."""
        self.names.update(code.co_names)
        for one in dis.get_instructions(code):
            if one.opname == "IMPORT_NAME" and not library(one.argval):
                raise Unsure(f"import {one.argval}")
            if one.opname.endswith(("_GLOBAL", "_GLOBALS", "_NAME")):
                named.append(one.argval)
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                self._names(inner, named)
            else:
                self.waiting.append(inner)

    def _attributes(self, value: Any) -> None:
        """What hangs on an object."""
        inner = self._read(_inner, value)
        if type(inner) is not dict:
            raise Unsure(f"the attributes of a {type(value).__name__}")
        self.seen[id(inner)] = inner  # its entries are looked at here
        out = [key for key in inner if isinstance(inner[key], Traces)]
        if is_layer(value):
            out += [key for key in OF_CALLS if key in inner]
            self.left_out |= OF_CALLS
        if inner and not out:
            self.waiting += self._all(_items, inner)
        else:
            self._some(inner, [key for key in inner if key not in out])
            self.counts[0].append(inner)
            self.counts[1].append(len(inner))

    def _class(self, kind: type) -> None:
        """The methods and attributes of a class that a user wrote; `__init__` only if the class can be called."""
        if id(kind) in self.seen or kind is type:
            return
        self.names.add(kind.__name__)
        for one in kind.__mro__:
            if id(one) in self.seen or fixed(one):
                continue
            if hides(one):
                raise Unsure(f"the class {one.__name__}")
            self.seen[id(one)] = one
            self._watch(_mro, one)
            self.waiting.append(type(one))
            self._all(_items, vars(one))
            for name, value in vars(one).items():
                if name in ("__init__", "__new__"):
                    self.constructors.setdefault(id(one), []).append(value)
                elif name in ASIDE:
                    self.aside.setdefault(name, []).append(value)
                elif callable(value) or constant(value) or not name.startswith("__"):
                    self.waiting.append(value)

    def _object(self, value: Any) -> None:
        kind = self._watch(type, value)
        self._class(kind)
        if any(hides(one) for one in kind.__mro__):
            raise Unsure(f"a {kind.__name__}")
        if isinstance(value, (tuple, frozenset)):
            self.waiting += value
        if kind.__dictoffset__:
            self._attributes(value)
        for one in kind.__mro__:
            for member in vars(one).values():
                if type(member) is MemberDescriptorType and member.__name__ != "__dict__":
                    self._read(member.__get__, value)


def _items(inner: Mapping[Any, Any]) -> list[Any]:
    return [*inner, *inner.values()]


def _values(array: np.ndarray[Any, Any]) -> Any:
    return array.shape, array.dtype, array.tobytes()
