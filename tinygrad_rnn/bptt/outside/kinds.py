"""Kinds of objects: what is the same for good, what belongs to a library, and what hides something."""

from __future__ import annotations

import sys
from types import (
    CodeType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    NotImplementedType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from ...config import Scope

PACKAGE = __package__.split(".")[0]
# Libraries that nobody changes: what their functions do depends on what they are given alone.
LIBRARIES = frozenset(
    "numpy builtins math functools _functools operator _operator typing abc collections enum dataclasses "
    "contextlib".split()
) | {PACKAGE}
CONSTANT = frozenset((
    type(None), bool, int, float, complex, str, bytes, type(...), NotImplementedType, range, CodeType,
    np.random.Generator, np.random.RandomState,  # a step that draws from one is not derived
    GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType, type(Scope.layer),
))  # fmt: skip
OWN = (WrapperDescriptorType, MethodDescriptorType)  # a class written in C has some of its own
# That hide nothing.
OPEN = frozenset((object, tuple, frozenset, int, float, complex, str, bytes, SimpleNamespace))
# Attributes and functions that reach what is not looked at.
HIDDEN = frozenset(
    "globals() locals() eval() exec() compile() open() input() id() __import__() breakpoint() "
    "__globals__ __closure__ __builtins__ cell_contents __subclasses__ bit_generator "
    "constraint regularizer grad _data _node "  # of Variables
    "load() loadtxt() genfromtxt() fromfile() memmap geterr() get_state() "
    "get() deserialize() get_registered_object() get_custom_objects()".split()
)
# Those that do so for modules, of which only the names that stand in code are looked at.
BY_NAME = frozenset(
    "getattr() hasattr() vars() dir() attrgetter methodcaller __dict__ __getattribute__".split()
)
OF_CALLS = frozenset(  # attributes of a layer that calls set, and on which no number depends
    ("output_shape", "nodes", "arguments", "dropout_masks", "_contents", "_looked_for_padding")
)


def constant(value: Any) -> bool:
    """Whether an object without attributes is what it is for good.

    >>> constant(2.0), constant(np.float32(2.0)), constant([2.0])
    (True, True, False)
    """
    kind = type(value)
    if kind is np.ufunc:  # a user can make some, of any function
        return getattr(np, value.__name__, None) is value
    if isinstance(value, np.generic):
        return kind is not np.void and fixed(kind)
    return kind in CONSTANT or isinstance(value, np.dtype)


def library(module: Any) -> bool:
    """Whether the module of this name belongs to a library that nobody changes.

    >>> library("numpy.linalg"), library("__main__")
    (True, False)
    """
    return str(module).split(".")[0] in LIBRARIES


def fixed(value: Any) -> bool:
    """Whether a class or function is that of a library which has its name: a user's may pretend to be.

    >>> fixed(np.float32), fixed(type("float32", (), {"__module__": "numpy"}))
    (True, False)
    """
    module = sys.modules.get(value.__module__)
    return library(value.__module__) and getattr(module, value.__name__, None) is value


def hides(kind: type) -> bool:
    """Whether a class is written in C and keeps something that Python cannot see.

    >>> import collections
    >>> hides(collections.deque), hides(SimpleNamespace)
    (True, False)
    """
    return kind not in OPEN and any(
        isinstance(v, OWN) and v.__objclass__ is kind for v in vars(kind).values()
    )


def is_layer(value: Any) -> bool:
    """Whether an object is a `Layer`, which is above this floor."""
    return any(kind.__module__ == f"{PACKAGE}.layers.layer" for kind in type(value).__mro__)
