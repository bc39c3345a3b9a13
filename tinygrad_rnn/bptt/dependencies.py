"""What a step function refers to. As long as all of it is the same, tracing it again would give the same ops."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from operator import is_
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from ..config import Scope, SeedGenerator
from ..core.op import Op
from ..core.tensor import Tensor
from .purity import Traces, content

PACKAGE = __package__.split(".")[0]
FIXED = frozenset({PACKAGE, "numpy", "builtins", "math", "functools", "operator", "typing", "_operator"})
CONSTANT = (
    type(None), bool, int, float, complex, str, bytes, type(...), slice, range, np.generic, np.dtype, np.ufunc,
    CodeType, Tensor, SeedGenerator, np.random.Generator, np.random.RandomState,
    GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType, type(Scope.layer),
)  # fmt: skip
OF_CALLS = frozenset({"output_shape", "nodes", "held_masks", "arguments"})  # a layer's: set by calls
MOST = 2000  # objects that are looked at
MISSING = object()  # what is not there


class Unsure(Exception):
    """A step refers to something that may change without being seen."""


class Dependencies:
    """The closures, globals, attributes, lists and dicts that a step can reach, as they are now.

    Arrays that could be written into must be among `bound`, which reach the derived loop by their identity.
    Raises `Unsure` for what cannot be watched.
    """

    def __init__(self, step: Any, bound: list[Any]) -> None:
        self.dicts: list[tuple[Mapping[Any, Any], list[Any], list[Any], int]] = []
        self.lists: list[tuple[list[Any], list[Any]]] = []
        self.functions: list[tuple[Any, Any, Any, Any]] = []  # code and defaults
        self.cells: list[tuple[CellType, Any]] = []
        self.slots: list[tuple[Any, str, Any]] = []
        self.seen: dict[Any, Any] = {}
        self.bound = {id(b) for b in bound}
        objects = getattr(getattr(step, "__self__", None), "step_objects", None)
        for value in objects() if objects else [step]:
            self._enter(value)

    def unchanged(self) -> bool:
        """Whether all is as it was."""
        for inner, keys, values, count in self.dicts:
            if (count >= 0 and len(inner) != count) or not all(map(is_, map(inner.get, keys), values)):
                return False
        for now, before in self.lists:
            if len(now) != len(before) or not all(map(is_, now, before)):
                return False
        for function, code, defaults, keywords in self.functions:
            if not (function.__code__ is code and function.__defaults__ is defaults):
                return False
            if function.__kwdefaults__ is not keywords:
                return False
        for cell, held in self.cells:
            if content(cell) is not held:
                return False
        return all([getattr(one, name, MISSING) is value for one, name, value in self.slots])

    def _enter(self, value: Any) -> None:
        if isinstance(value, CONSTANT) or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if len(self.seen) > MOST:
            raise Unsure("it refers to too much")
        if isinstance(value, np.ndarray):
            if value.flags.writeable and id(value) not in self.bound:
                raise Unsure("an array that could be written into")
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, MethodType):
            self._enter(value.__self__)
            self._enter(value.__func__)
        elif isinstance(value, functools.partial):
            self._all([value.func, value.args, value.keywords])
        elif isinstance(value, BuiltinFunctionType):
            self._builtin(value)
        elif isinstance(value, (staticmethod, classmethod)):
            self._enter(value.__func__)
        elif isinstance(value, property):
            self._all([value.fget, value.fset])
        elif isinstance(value, ModuleType):
            pass  # what is taken from it is looked at where it is used
        elif isinstance(value, type):
            self._class(value)
        else:
            self._object(value)

    def _all(self, values: Any) -> None:
        for value in values:
            self._enter(value)

    def _dict(self, inner: Mapping[Any, Any], keys: list[Any], count: int) -> None:
        values = [inner.get(key) for key in keys]
        self.dicts.append((inner, keys, values, count))
        self._all(values)

    def _builtin(self, value: Any) -> None:
        if isinstance(value.__self__, ModuleType) or value.__self__ is None:
            if not fixed(value):
                raise Unsure(f"{value.__name__}()")
        else:
            self._enter(value.__self__)

    def _function(self, function: FunctionType) -> None:
        if fixed(function):  # but what a decorator wraps may be the user's
            self._all([v for v in map(content, function.__closure__ or ()) if not isinstance(v, Op)])
            return
        defaults = function.__defaults__, function.__kwdefaults__
        self.functions.append((function, function.__code__, *defaults))
        self._all(defaults)
        for cell in function.__closure__ or ():
            self.cells.append((cell, content(cell)))
            self._enter(content(cell))
        names = list(_names(function.__code__))
        found = [name for name in names if name in function.__globals__]
        self._dict(function.__globals__, found, -1)
        modules = [function.__globals__[name] for name in found]
        modules += [content(cell) for cell in function.__closure__ or ()]
        self._modules([m for m in modules if isinstance(m, ModuleType)], names)

    def _modules(self, modules: list[ModuleType], names: list[str]) -> None:
        """What code could take out of modules, and out of the modules inside."""
        while modules:
            module = modules.pop()
            if (id(module), *names) in self.seen or module.__name__.split(".")[0] in FIXED:
                continue
            self.seen[id(module), *names] = module
            taken = [name for name in names if name in vars(module)]
            self._dict(vars(module), taken, -1)
            modules += [vars(module)[n] for n in taken if isinstance(vars(module)[n], ModuleType)]

    def _class(self, kind: type) -> None:
        """The methods of a class that a user wrote."""
        for one in kind.__mro__:
            if fixed(one):
                continue
            self.seen[id(one)] = one
            held = vars(one)
            self._dict(held, [n for n, v in held.items() if callable(v) or not n.startswith("__")], len(held))

    def _object(self, value: Any) -> None:
        kind = type(value)
        if id(kind) not in self.seen:
            self._class(kind)
        inner = getattr(value, "__dict__", None)
        if isinstance(value, (tuple, frozenset)):
            self._all(value)
        elif isinstance(value, list):
            self.lists.append((value, list(value)))
            self._all(value)
        elif isinstance(value, dict):
            self._dict(value, list(value), len(value))
        elif isinstance(inner, dict) and not isinstance(value, Iterator):
            keys = [key for key in inner if key not in OF_CALLS and not isinstance(inner[key], Traces)]
            self._dict(inner, keys, len(inner))
        elif not fixed(kind):
            raise Unsure(f"a {kind.__name__}")
        for one in kind.__mro__:
            slots = () if fixed(one) else vars(one).get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                hidden = slot.startswith("__") and not slot.endswith("__")
                name = f"_{one.__name__.lstrip('_')}{slot}" if hidden else slot
                self.slots.append((value, name, getattr(value, name, MISSING)))
                self._enter(self.slots[-1][2])


def fixed(value: Any) -> bool:
    """Whether a class or function belongs to a library that nobody changes."""
    return str(getattr(value, "__module__", None)).split(".")[0] in FIXED


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a function, and in the functions inside."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
