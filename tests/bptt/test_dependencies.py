"""A step that was traced is not traced again until something that it refers to is another one: then it always is.

Each case is a factor (a function that the step calls) and a change to what the factor refers to. `REMEMBERED` ones must
not be traced at the third call, `UNSURE` ones at every call; both must be right after the change.
"""

from __future__ import annotations

import builtins
import collections
import contextvars
import copy
import ctypes
import dataclasses
import enum
import functools
import gc
import importlib
import operator
import os
import pickle
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from bptt.steps import H, N, equal, inputs, weight

import tinygrad_rnn as tg
from tinygrad_rnn import config, layers, ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.dependencies import LARGEST, Dependencies, Unsure

Case = tuple[Callable[[], Any], Callable[[], Any]]
REMEMBERED: dict[str, Callable[[], Case]] = {}
UNSURE: dict[str, Callable[[], Case]] = {}


def remembered(make: Callable[[], Case]) -> Callable[[], Case]:
    REMEMBERED[make.__name__] = make
    return make


def unsure(make: Callable[[], Case]) -> Callable[[], Case]:
    UNSURE[make.__name__] = make
    return make


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for every time that a step was traced."""
    found: list[Any] = []
    real = derived.examine
    monkeypatch.setattr(derived, "examine", lambda step, *rest: (found.append(None), real(step, *rest))[1])
    return found


def run(step: Any, derive: bool, constants: Any = (), leaves: Any = ()) -> list[Any]:
    """Values and gradients."""
    x = tg.tensor(inputs(), requires_grad=True)
    h = tg.tensor(np.full((N, H), 0.3), requires_grad=True)
    y, last = tg.scan(step, x, [h], constants, derive=derive)
    end = (y * y).sum() + last[0].sum()
    return [y, *last, *[g for g in tg.grad(end, [x, h, *leaves])]]


def right(step: Any, constants: Any = (), leaves: Any = ()) -> np.ndarray[Any, Any]:
    """Derived and unrolled agree; the values."""
    found = run(step, True, constants, leaves)
    equal(found, run(step, False, constants, leaves), 1e-10)
    return np.array(found[0])


def stepping(factor: Any) -> Any:
    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x * factor() + 0.5 * s[0])
        return h, [h]

    return step


def check(step: Any, change: Any, traced: list[Any], known: bool) -> None:
    before = [right(step) for _ in range(3)][-1]
    count = len(traced)
    right(step)
    assert (len(traced) == count) is known
    change()
    after = right(step)
    assert not np.array_equal(before, after), "the change shows nowhere"
    np.testing.assert_array_equal(right(step), after)
    np.testing.assert_array_equal(right(step), after)


# --- variables -------------------------------------------------------------------------------------------


@remembered
def a_closure() -> Case:
    scale = 2.0

    def change() -> None:
        nonlocal scale
        scale = 3.0

    return lambda: scale, change


@remembered
def a_closure_of_a_closure() -> Case:
    scale = 2.0

    def change() -> None:
        nonlocal scale
        scale = 3.0

    def outer() -> Any:
        def inner() -> float:
            return scale

        return inner()

    return outer, change


@remembered
def zero_and_minus_zero() -> Case:
    scale = 0.0

    def change() -> None:
        nonlocal scale
        scale = -0.0

    return lambda: float(np.copysign(2.0, scale)), change


SCALE: Any = 2.0
OTHER: Any = 3.0


def global_factor() -> Any:
    return SCALE


@remembered
def a_global() -> Case:
    globals()["SCALE"] = 2.0
    return global_factor, lambda: globals().update(SCALE=3.0)


@remembered
def a_global_of_a_helper() -> Case:
    globals()["SCALE"] = 2.0
    return lambda: global_factor() + 1.0, lambda: globals().update(SCALE=3.0)


@remembered
def a_global_that_is_deleted() -> Case:
    globals()["GONE"] = None

    def factor() -> float:
        try:
            return 2.0 if GONE is None else 4.0  # type: ignore[name-defined]  # noqa: F821
        except NameError:
            return 3.0

    return factor, lambda: globals().pop("GONE")


@remembered
def a_builtin_that_is_shadowed() -> Case:
    globals().pop("abs", None)
    return lambda: abs(-2.0), lambda: globals().update(abs=lambda v: 3.0)


@remembered
def a_name_that_comes_into_builtins() -> Case:
    vars(builtins).pop("NEW_SCALE", None)

    def factor() -> float:
        try:
            return NEW_SCALE  # type: ignore[name-defined,no-any-return]  # noqa: F821
        except NameError:
            return 2.0

    return factor, lambda: setattr(builtins, "NEW_SCALE", 3.0)


@remembered
def a_class_in_the_step() -> Case:
    globals()["SCALE"] = 2.0

    def factor() -> Any:
        class Inner:
            scale = SCALE

        return Inner.scale

    return factor, lambda: globals().update(SCALE=3.0)


# --- functions -------------------------------------------------------------------------------------------


@remembered
def a_default() -> Case:
    def factor(scale: float = 2.0) -> float:
        return scale

    return factor, lambda: setattr(factor, "__defaults__", (3.0,))


@remembered
def a_keyword_default() -> Case:
    def factor(*, scale: float = 2.0) -> float:
        return scale

    def change() -> None:
        assert factor.__kwdefaults__ is not None
        factor.__kwdefaults__["scale"] = 3.0

    return factor, change


@remembered
def an_attribute_of_a_function() -> Case:
    def factor() -> Any:
        return factor.scale  # type: ignore[attr-defined]

    factor.scale = 2.0  # type: ignore[attr-defined]
    return factor, lambda: setattr(factor, "scale", 3.0)


@remembered
def an_attribute_that_a_function_gets() -> Case:
    def factor() -> Any:
        return getattr(factor, "scale", 2.0)

    return factor, lambda: setattr(factor, "scale", 3.0)


@remembered
def the_attributes_of_a_function_replaced() -> Case:
    def factor() -> Any:
        return factor.scale  # type: ignore[attr-defined]

    factor.scale = 2.0  # type: ignore[attr-defined]
    return factor, lambda: setattr(factor, "__dict__", {"scale": 3.0})


@remembered
def code() -> Case:
    def factor() -> float:
        return 2.0

    return factor, lambda: setattr(factor, "__code__", (lambda: 3.0).__code__)


@remembered
def a_wrapped_function() -> Case:
    scale = 2.0

    def inner() -> float:
        return scale

    @functools.wraps(inner)
    def outer() -> float:
        return inner() + 1.0

    def change() -> None:
        nonlocal scale
        scale = 3.0

    return outer, change


@remembered
def a_function_that_pretends_to_be_the_library() -> Case:
    globals()["SCALE"] = 2.0

    @functools.wraps(ops.tanh)
    def factor() -> Any:
        return SCALE

    return factor, lambda: globals().update(SCALE=3.0)


@remembered
def a_function_in_a_decorator_of_the_library() -> Case:
    scale = 2.0

    @tg.no_grad()
    def factor() -> float:
        return scale

    def change() -> None:
        nonlocal scale
        scale = 3.0

    return factor, change


@remembered
def a_partial() -> Case:
    found = functools.partial(lambda scale: scale, scale=2.0)
    return found, lambda: found.keywords.update(scale=3.0)


@remembered
def a_partial_set() -> Case:
    found = functools.partial(lambda scale: scale, 2.0)
    return found, lambda: found.__setstate__((found.func, (3.0,), {}, {}))  # type: ignore[attr-defined]


@remembered
def a_function_of_the_library_replaced() -> Case:
    module = types.SimpleNamespace(f=ops.tanh)
    return lambda: module.f(np.ones(H)), lambda: setattr(module, "f", ops.exp)


# --- modules ---------------------------------------------------------------------------------------------


def module(text: str) -> Any:
    found = types.ModuleType("mine")
    exec(text, vars(found))
    return found


@remembered
def a_module() -> Case:
    mine = module("SCALE = 2.0")
    return lambda: mine.SCALE, lambda: setattr(mine, "SCALE", 3.0)


@remembered
def a_function_of_a_module() -> Case:
    mine = module("SCALE = 2.0\ndef f(): return SCALE")
    return lambda: mine.f(), lambda: setattr(mine, "SCALE", 3.0)


@remembered
def a_module_in_a_module() -> Case:
    mine = module("")
    mine.inner = module("SCALE = 2.0")
    return lambda: mine.inner.SCALE, lambda: setattr(mine.inner, "SCALE", 3.0)


@remembered
def a_module_in_a_list() -> Case:
    held = [module("SCALE = 2.0")]

    def factor() -> Any:
        (one,) = held
        return one.SCALE

    return factor, lambda: setattr(held[0], "SCALE", 3.0)


@remembered
def a_module_that_gets_a_name() -> Case:
    mine = module("")

    def factor() -> Any:
        try:
            return mine.SCALE
        except AttributeError:
            return 2.0

    return factor, lambda: setattr(mine, "SCALE", 3.0)


@remembered
def a_library_that_somebody_changes() -> Case:
    real = ops.exp
    vars(ops)["exp"] = real

    def change() -> None:
        vars(ops)["exp"] = lambda v: v * 0.5
        weakref.finalize(change, vars(ops).__setitem__, "exp", real)

    return lambda: ops.exp(np.ones(H)), change


# --- objects ---------------------------------------------------------------------------------------------


class Plain:
    scale: Any = 2.0

    def method(self) -> Any:
        return self.scale


@remembered
def an_attribute() -> Case:
    one = Plain()
    one.scale = 2.0
    return lambda: one.scale, lambda: setattr(one, "scale", 3.0)


@remembered
def an_attribute_that_hides_that_of_the_class() -> Case:
    one = Plain()
    return lambda: one.scale, lambda: setattr(one, "scale", 3.0)


@remembered
def an_attribute_deleted() -> Case:
    one = Plain()
    one.scale = 3.0
    return lambda: one.scale, lambda: delattr(one, "scale")


@remembered
def an_attribute_that_was_none() -> Case:
    one = types.SimpleNamespace(a=None)
    return lambda: 2.0 if "a" in vars(one) else 3.0, lambda: vars(one).update({"b": vars(one).pop("a")})


@remembered
def all_attributes_replaced() -> Case:
    one = Plain()
    one.scale = 2.0
    return lambda: one.scale, lambda: setattr(one, "__dict__", {"scale": 3.0})


@remembered
def a_bound_method() -> Case:
    one = Plain()
    return one.method, lambda: setattr(one, "scale", 3.0)


@remembered
def an_object_that_is_called() -> Case:
    class Called(Plain):
        def __call__(self) -> Any:
            return self.scale

    one = Called()
    return one, lambda: setattr(one, "scale", 3.0)


@remembered
def another_class() -> Case:
    class Other(Plain):
        scale = 3.0

    one = Plain()
    return lambda: one.scale, lambda: setattr(one, "__class__", Other)


@remembered
def a_class_attribute() -> Case:
    class One:
        scale = 2.0

    return lambda: One.scale, lambda: setattr(One, "scale", 3.0)


@remembered
def an_attribute_of_the_class_of_an_object() -> Case:
    class Base:
        scale = 2.0

    class One(Base):
        pass

    one = One()
    return lambda: one.scale, lambda: setattr(One, "scale", 3.0)


@remembered
def a_class_attribute_with_underscores() -> Case:
    class One:
        __scale__ = 2.0

    return lambda: One.__scale__, lambda: setattr(One, "__scale__", 3.0)


@remembered
def bases() -> Case:
    class A:
        scale = 2.0

    class B:
        scale = 3.0

    class One(A):
        pass

    return lambda: One.scale, lambda: setattr(One, "__bases__", (B,))


@remembered
def a_method_replaced() -> Case:
    class One(Plain):
        def method(self) -> Any:
            return 2.0

    one = One()
    return lambda: one.method(), lambda: setattr(One, "method", lambda self: 3.0)


@remembered
def a_static_method() -> Case:
    class One:
        scale = 2.0

        @staticmethod
        def static() -> Any:
            return One.scale

        @classmethod
        def of_class(cls) -> Any:
            return cls.static()

    return lambda: One.of_class(), lambda: setattr(One, "scale", 3.0)


@remembered
def a_metaclass() -> Case:
    class Meta(type):
        scale = 2.0

    class One(metaclass=Meta):
        pass

    return lambda: One.scale, lambda: setattr(Meta, "scale", 3.0)


@remembered
def slots() -> Case:
    class One:
        __slots__ = ("_One__hidden", "scale")

    one = One()
    one.scale, one._One__hidden = 2.0, 1.0  # type: ignore[attr-defined]
    return lambda: one.scale, lambda: setattr(one, "scale", 3.0)  # type: ignore[attr-defined]


@remembered
def a_property() -> Case:
    class One:
        inner = 2.0

        @property
        def scale(self) -> Any:
            return self.inner + OTHER

    globals()["OTHER"] = 3.0
    one = One()
    return lambda: one.scale, lambda: globals().update(OTHER=4.0)


@remembered
def a_cached_property() -> Case:
    class One:
        inner = 2.0

        @functools.cached_property
        def scale(self) -> Any:
            return self.inner

    one = One()
    assert one.scale == 2.0
    return lambda: one.scale, lambda: setattr(one, "scale", 3.0)


@remembered
def a_descriptor() -> Case:
    class Descriptor:
        value = 2.0

        def __get__(self, one: Any, kind: Any) -> Any:
            return self.value

    class One:
        scale = Descriptor()

    one = One()
    return lambda: one.scale, lambda: setattr(vars(One)["scale"], "value", 3.0)


@remembered
def an_attribute_made_up() -> Case:
    class One:
        def __init__(self) -> None:
            self.held = {"scale": 2.0}

        def __getattr__(self, name: str) -> Any:
            return self.held[name]

    one = One()
    return lambda: one.scale, lambda: one.held.update(scale=3.0)


@remembered
def a_name_that_is_computed() -> Case:
    one, name = Plain(), "scale"
    return lambda: getattr(one, name[:2] + "ale"), lambda: setattr(one, "scale", 3.0)


@remembered
def a_data_class() -> Case:
    @dataclasses.dataclass
    class Config:
        scale: float = 2.0
        inner: Any = None

    one = Config(inner=Config())
    return lambda: one.inner.scale, lambda: setattr(one.inner, "scale", 3.0)


class Named(NamedTuple):
    scale: Any
    held: Any


@remembered
def a_named_tuple() -> Case:
    one = Named(2.0, [1.0])
    return lambda: one.scale * one.held[0], lambda: one.held.__setitem__(0, 2.0)


@remembered
def a_tuple_with_attributes() -> Case:
    class One(tuple[Any, ...]):
        scale: Any

    one = One([1.0])
    one.scale = 2.0
    return lambda: one[0] * one.scale, lambda: setattr(one, "scale", 3.0)


@remembered
def a_number_with_attributes() -> Case:
    class Number(float):
        scale: Any = 2.0

    one = Number(1.0)
    return lambda: one * one.scale, lambda: setattr(one, "scale", 3.0)


@remembered
def a_class_made_at_run_time() -> Case:
    one = types.new_class("Made", (), {}, lambda space: space.update(scale=2.0))
    return lambda: one.scale, lambda: setattr(one, "scale", 3.0)


@remembered
def an_enumeration_with_state() -> Case:
    class Kind(enum.Enum):
        A = 2.0

    held = Kind.A
    return lambda: held.value if held._value_ < 2.5 else 3.0, lambda: setattr(held, "_value_", 3.0)


# --- lists, dicts, arrays --------------------------------------------------------------------------------


@remembered
def a_list() -> Case:
    held: list[Any] = [1.0, [2.0]]
    return lambda: held[1][0], lambda: held[1].__setitem__(0, 3.0)


@remembered
def the_length_of_a_list() -> Case:
    held = [1.0, 2.0]
    return lambda: len(held), lambda: held.append(3.0)


@remembered
def a_list_with_itself_inside() -> Case:
    held: list[Any] = [2.0]
    held.append(held)
    return lambda: held[1][1][0], lambda: held.__setitem__(0, 3.0)


@remembered
def a_deep_list() -> Case:
    deepest = held = [2.0]
    for _ in range(1500):
        held = [held]  # type: ignore[list-item]

    def factor() -> Any:
        inner: Any = held
        for _ in range(1500):
            (inner,) = inner
        return inner[0]

    return factor, lambda: deepest.__setitem__(0, 3.0)


@remembered
def a_set() -> Case:
    held = {2.0}
    return lambda: sum(held), lambda: held.add(3.0)


@remembered
def a_dict() -> Case:
    held: dict[str, Any] = {"a": {"b": 2.0}}
    return lambda: held["a"]["b"], lambda: held["a"].update(b=3.0)


@remembered
def the_keys_of_a_dict() -> Case:
    held = {2: None}
    return lambda: max(held), lambda: held.update({3: held.pop(2)})


@remembered
def an_attribute_of_a_key() -> Case:
    class Key:
        scale = 2.0

    key = Key()
    held = {key: 1.0}
    return lambda: next(iter(held)).scale, lambda: setattr(key, "scale", 3.0)


@remembered
def the_order_of_a_dict() -> Case:
    held = {"a": 2.0, "b": 3.0}
    return lambda: list(held.values())[0], lambda: held.update(a=held.pop("a"))


@remembered
def the_order_of_an_ordered_dict() -> Case:
    held = collections.OrderedDict(a=2.0, b=3.0)
    return lambda: list(held.values())[0], lambda: held.move_to_end("a")


@remembered
def an_array_in_the_op() -> Case:
    held = np.full(H, 2.0)
    return lambda: held, lambda: held.fill(3.0)


@remembered
def an_array_in_an_expression() -> Case:
    held = np.full(H, 2.0)
    return lambda: np.exp(held), lambda: held.fill(3.0)


@remembered
def an_array_in_the_op_and_in_an_expression() -> Case:
    held = np.full(H, 2.0)
    return lambda: held * 2.0 + float(held[0]) * tg.tensor(held), lambda: held.fill(3.0)


@remembered
def a_number_out_of_an_array() -> Case:
    held = [np.full(H, 2.0)]
    return lambda: float(held[0][1]), lambda: held[0].fill(3.0)


@remembered
def a_view_that_cannot_be_written() -> Case:
    base = np.full(H, 2.0)
    view = base[:]
    view.flags.writeable = False
    return lambda: float(view.sum()), lambda: base.fill(3.0)


@remembered
def an_array_that_could_not_be_written() -> Case:
    held = np.full(H, 2.0)
    held.flags.writeable = False

    def change() -> None:
        held.flags.writeable = True
        held[:] = 3.0
        held.flags.writeable = False

    return lambda: float(held.sum()), change


@remembered
def the_shape_of_an_array() -> Case:
    held = np.arange(1.0, 7.0)
    return lambda: held.shape[0], lambda: setattr(held, "shape", (2, 3))


@remembered
def a_number_of_numpy() -> Case:
    one = types.SimpleNamespace(scale=np.float64(2.0))
    return lambda: one.scale, lambda: setattr(one, "scale", np.float64(3.0))


# --- Tensors ---------------------------------------------------------------------------------------------


@remembered
def a_variable() -> Case:
    w = tg.Variable(np.full(H, 2.0))
    return lambda: w, lambda: w.assign(np.full(H, 3.0))


@remembered
def a_variable_replaced() -> Case:
    one = types.SimpleNamespace(w=tg.Variable(np.full(H, 2.0)))
    return lambda: one.w, lambda: setattr(one, "w", tg.Variable(np.full((1, H), 3.0)))


@remembered
def whether_a_variable_is_trainable() -> Case:
    w = tg.Variable(np.full(H, 2.0))
    return lambda: 2.0 if w.trainable else 3.0, lambda: setattr(w, "trainable", False)


@remembered
def a_tensor() -> Case:
    one = types.SimpleNamespace(w=weight((H,)))
    return lambda: one.w, lambda: setattr(one, "w", weight((H,), 1))


@remembered
def tensors_made_in_the_step() -> Case:
    one = Plain()
    return lambda: ops.ones((H,)) * tg.tensor(one.scale), lambda: setattr(one, "scale", 3.0)


# --- what cannot be watched ------------------------------------------------------------------------------


@unsure
def the_value_of_a_variable() -> Case:
    w = tg.Variable(2.0, dtype="float64")
    return lambda: float(w), lambda: w.assign(3.0)


@unsure
def the_array_of_a_variable() -> Case:
    w = tg.Variable(np.full(H, 2.0))
    return lambda: np.asarray(w), lambda: w.assign(np.full(H, 3.0))


@unsure
def a_variable_without_its_gradient() -> Case:
    w = tg.Variable(np.full(H, 2.0))
    return lambda: w.detach(), lambda: w.assign(np.full(H, 3.0))


@unsure
def the_gradient_of_a_variable() -> Case:
    w = tg.Variable(np.full(H, 2.0))
    w.grad = np.full(H, 2.0)
    return lambda: w.grad, lambda: setattr(w, "grad", np.full(H, 3.0))


@unsure
def a_name_in_globals() -> Case:
    globals()["SCALE"] = 2.0
    return lambda: globals()["SCA" + "LE"], lambda: globals().update(SCALE=3.0)


@unsure
def evaluated() -> Case:
    globals()["SCALE"] = 2.0
    return lambda: eval("SCA" + "LE"), lambda: globals().update(SCALE=3.0)


@unsure
def the_globals_of_a_function() -> Case:
    globals()["SCALE"] = 2.0
    f = global_factor
    return lambda: f.__globals__["SCA" + "LE"], lambda: globals().update(SCALE=3.0)


@unsure
def a_computed_name_in_a_module() -> Case:
    mine = module("SCALE = 2.0")
    return lambda: getattr(mine, "SCA" + "LE"), lambda: setattr(mine, "SCALE", 3.0)


@unsure
def a_getter_of_a_module() -> Case:
    mine, get = module("SCALE = 2.0"), operator.attrgetter("SCALE")
    return lambda: get(mine), lambda: setattr(mine, "SCALE", 3.0)


@unsure
def getattr_by_another_name() -> Case:
    mine, get = module("SCALE = 2.0"), getattr
    return lambda: get(mine, "SCA" + "LE"), lambda: setattr(mine, "SCALE", 3.0)


@unsure
def the_dict_of_a_module() -> Case:
    mine = module("SCALE = 2.0")
    return lambda: mine.__dict__["SCA" + "LE"], lambda: setattr(mine, "SCALE", 3.0)


@unsure
def a_module_that_makes_up_names() -> Case:
    mine = module("held = [2.0]\ndef __getattr__(name): return held[0]")
    return lambda: mine.SCALE, lambda: mine.held.__setitem__(0, 3.0)


@unsure
def an_import() -> Case:
    sys.modules["mine"] = module("SCALE = 2.0")

    def factor() -> Any:
        import mine

        return mine.SCALE

    return factor, lambda: setattr(sys.modules["mine"], "SCALE", 3.0)


@unsure
def a_module_out_of_sys() -> Case:
    sys.modules["mine"] = module("SCALE = 2.0")
    return lambda: sys.modules["mine"].SCALE, lambda: setattr(sys.modules["mine"], "SCALE", 3.0)


@unsure
def a_module_that_is_imported() -> Case:
    sys.modules["mine"] = module("SCALE = 2.0")
    return lambda: importlib.import_module("mine").SCALE, lambda: setattr(sys.modules["mine"], "SCALE", 3.0)


@unsure
def the_environment() -> Case:
    os.environ["SCALE_OF_STEP"] = "2.0"
    return lambda: float(os.environ["SCALE_OF_STEP"]), lambda: os.environ.update(SCALE_OF_STEP="3.0")


@unsure
def a_deque() -> Case:
    held = collections.deque([2.0])
    return lambda: held[0], lambda: held.appendleft(3.0)


@unsure
def a_default_dict() -> Case:
    held: Any = collections.defaultdict(float, a=2.0)
    return lambda: held["a"], lambda: held.update(a=3.0)


@unsure
def a_subclass_of_list() -> Case:
    class Mine(list[float]):
        pass

    held = Mine([2.0])
    return lambda: held[0], lambda: held.__setitem__(0, 3.0)


@unsure
def a_counter() -> Case:
    held = collections.Counter(a=2)
    return lambda: held["a"], lambda: held.update(a=3)


@unsure
def a_method_of_a_list() -> Case:
    held = [2.0, 3.0]
    get = types.MappingProxyType({"a": held}).get
    return lambda: get("a")[0], lambda: held.__setitem__(0, 3.0)  # type: ignore[index]


@unsure
def a_byte_array() -> Case:
    held = bytearray([2])
    return lambda: held[0], lambda: held.__setitem__(0, 3)


@unsure
def a_memory_view() -> Case:
    held = bytearray([2])
    view = memoryview(held)
    return lambda: view[0], lambda: held.__setitem__(0, 3)


@unsure
def memory_of_ctypes() -> Case:
    held = ctypes.c_double(2.0)
    return lambda: held.value, lambda: setattr(held, "value", 3.0)


@unsure
def a_view_of_a_dict() -> Case:
    held = {"a": 2.0}
    values = held.values()
    return lambda: sum(values), lambda: held.update(a=3.0)


@unsure
def a_weak_reference() -> Case:
    one = Plain()
    one.scale = 2.0
    reference = weakref.ref(one)
    return lambda: reference().scale, lambda: setattr(one, "scale", 3.0)  # type: ignore[union-attr]


@unsure
def a_context_variable() -> Case:
    held = contextvars.ContextVar("held", default=2.0)
    return lambda: held.get(), lambda: held.set(3.0)


@unsure
def of_a_thread() -> Case:
    held = threading.local()
    held.scale = 2.0
    return lambda: held.scale, lambda: setattr(held, "scale", 3.0)


@unsure
def kept_results() -> Case:
    one = Plain()
    one.scale = 2.0
    found = functools.lru_cache(lambda: one.scale)

    def change() -> None:
        one.scale = 3.0
        found.cache_clear()

    return lambda: found(), change


@unsure
def a_large_array() -> Case:
    held = np.full(LARGEST, 2.0)
    return lambda: float(held[0]), lambda: held.fill(3.0)


@unsure
def an_array_of_objects() -> Case:
    held = np.array([[2.0], None], object)
    return lambda: held[0][0], lambda: held[0].__setitem__(0, 3.0)


@unsure
def a_subclass_of_array() -> Case:
    class Mine(np.ndarray[Any, Any]):
        scale: Any

    held = np.ones(H).view(Mine)
    held.scale = 2.0
    return lambda: held.scale, lambda: setattr(held, "scale", 3.0)


@unsure
def a_masked_array() -> Case:
    held = np.ma.array([2.0, 3.0], mask=[False, True])
    return lambda: float(held.sum()), lambda: held.__setitem__(1, 3.0)


@unsure
def a_record_of_numpy() -> Case:
    held = np.zeros(1, [("scale", float)])[0]
    held["scale"] = 2.0
    return lambda: float(held["scale"]), lambda: held.__setitem__("scale", 3.0)


@unsure
def a_ufunc_of_the_users() -> Case:
    globals()["SCALE"] = 2.0
    f = np.frompyfunc(lambda v: v * SCALE, 1, 1)
    return lambda: f(1.0), lambda: globals().update(SCALE=3.0)


@unsure
def a_registered_activation() -> Case:
    held = [2.0]
    objects = tg.utils.get_custom_objects()
    objects["mine_for_steps"] = lambda v: v * held[0]

    def change() -> None:
        objects["mine_for_steps"] = lambda v: v * 3.0

    return lambda: tg.activations.get("mine_for_steps")(1.0), change


@pytest.mark.parametrize("name", REMEMBERED)
def test_what_is_remembered_until_it_changes(name: str, traced: list[Any]) -> None:
    factor, change = REMEMBERED[name]()
    check(stepping(factor), change, traced, True)


@pytest.mark.parametrize("name", UNSURE)
def test_what_is_traced_at_every_call(name: str, traced: list[Any]) -> None:
    factor, change = UNSURE[name]()
    check(stepping(factor), change, traced, False)
