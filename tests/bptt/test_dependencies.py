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


# --- constants -------------------------------------------------------------------------------------------


def with_constants(x: Any, s: Any, c: Any) -> Any:
    """Uses whatever the constants are made of."""
    h = ops.tanh(x * product(c) + 0.5 * s[0])
    return h, [h]


def product(value: Any) -> Any:
    if isinstance(value, dict):
        value = [v for pair in value.items() for v in pair]
    if isinstance(value, (list, tuple)):
        return functools.reduce(operator.mul, [product(v) for v in value], 1.0)
    return 2.0 if value is None else len(value) if isinstance(value, str) else value


def tensors(*seeds: int, grad: bool = True) -> list[Any]:
    found = {seed: weight((N, H), seed) for seed in seeds}
    return [found[seed] if grad else found[seed].detach() for seed in seeds]


CONSTANTS: dict[str, Callable[[], tuple[Any, Any]]] = {  # before and after
    "a number": lambda: ([2.0], [3.0]),
    "an integer": lambda: ((2,), (3,)),
    "a boolean": lambda: ([1, 2.0], [True, 2.5]),
    "None": lambda: ([None], [3.0]),
    "a string": lambda: (["ab"], ["abc"]),
    "inside": lambda: ([[2.0, {"a": 1.0}]], [[2.0, {"a": 2.0}]]),
    "a key": lambda: ({2: 3.0}, {4: 3.0}),
    "Tensors": lambda: (tensors(1, 2), tensors(3, 4)),
    "Tensors in turn": lambda: (tensors(1, 2), tensors(2, 1)[:1] * 2),
    "the same twice": lambda: (tensors(1, 1), tensors(1, 2)),
    "no longer the same": lambda: (tensors(1, 2), tensors(3, 3)),
    "no gradient": lambda: (tensors(1), tensors(2, grad=False)),
    "a gradient": lambda: (tensors(1, grad=False), tensors(2)),
    "more of them": lambda: (tensors(1), tensors(1, 2)),
    "another shape": lambda: (tensors(1), [weight((1, H), 2)]),
    "an array": lambda: ([np.full((N, H), 2.0)], [np.full((N, H), 3.0)]),
    "a number of NumPy": lambda: ([np.float64(2.0)], [np.float64(3.0)]),
    "a Variable": lambda: ([tg.Variable(np.full(H, 2.0))], [tg.Variable(np.full(H, 3.0))]),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(name: str) -> None:
    before, after = CONSTANTS[name]()
    step: Any = types.FunctionType(with_constants.__code__, globals())  # a new one
    first = [right(step, before, leaves(before)) for _ in range(4)][-1]
    second = [right(step, after, leaves(after)) for _ in range(4)][-1]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(right(step, before, leaves(before)), first)


def leaves(constants: Any) -> list[Any]:
    """Those that have gradients, once each."""
    found = {id(c): c for c in constants if isinstance(c, tg.Tensor) and c.requires_grad}
    return list(found.values())


def test_constants_that_are_tensors_are_no_reason_to_trace(traced: list[Any]) -> None:
    for seed in range(5):
        c = tensors(seed, 10 + seed)
        right(with_constants, c, c)
    assert len(traced) == 2


def test_zeros_of_either_sign_as_constants() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x * float(np.copysign(2.0, c[0])), [ops.tanh(s[0] + x)]

    assert not np.array_equal(*[[right(step, [zero]) for _ in range(3)][-1] for zero in (0.0, -0.0)])


@pytest.mark.parametrize(
    "read",
    [
        lambda c: np.exp(c) if isinstance(c, np.ndarray) else ops.exp(c),
        lambda c: float(np.asarray(c)[0]),
        lambda c: c[0],
        lambda c: c.detach() if isinstance(c, tg.Tensor) else c[:].copy(),
        lambda c: np.asarray(c) * 2.0,
        lambda c: 2.0 if c.tolist()[0] > 2.5 else 3.0,
    ],
)
@pytest.mark.parametrize("kind", [np.array, tg.tensor])
def test_values_of_constants_that_the_step_reads(read: Any, kind: Any) -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x * read(c[0]), [ops.tanh(s[0] + x)]

    found = [[right(step, [kind([v] * H)]) for _ in range(4)][-1] for v in (2.0, 3.0, 2.0)]
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_an_array_among_the_constants_written_in_place() -> None:
    c = np.full(H, 2.0)

    def step(x: Any, s: Any, c: Any) -> Any:
        return x * c * np.exp(c), [ops.tanh(s[0] + x)]

    for value in (2.0, 2.0, 2.0, 3.0, 2.0):
        c[:] = value
        np.testing.assert_allclose(right(step, c), inputs() * value * np.exp(value))


def test_a_large_array_among_the_constants(traced: list[Any]) -> None:
    c = np.full((LARGEST, H), 2.0)
    for value in (2.0, 2.0, 3.0):
        c[0] = value
        right(lambda_step := with_first, c)
        assert lambda_step is with_first
    assert len(traced) == 3


def with_first(x: Any, s: Any, c: Any) -> Any:
    return x * c[0], [ops.tanh(s[0] + x)]


def test_a_constant_that_the_step_knows_already(traced: list[Any]) -> None:
    w, other = weight((N, H)), weight((N, H), 1)

    def step(x: Any, s: Any, c: Any) -> Any:
        factor = 2.0 if c[0] is w else 3.0
        return x * c[0] * factor, [ops.tanh(s[0] + x * w)]

    for c in (w, w, w, other, other, other, w):
        right(step, [c], [w])
    assert len(traced) <= 5
    count = len(traced)
    right(step, [w], [w])
    assert len(traced) == count


@pytest.mark.parametrize("held", [{1}, Plain(), [Plain()], Named(1.0, []), collections.OrderedDict(a=1.0)])
def test_constants_of_other_kinds(held: Any, traced: list[Any]) -> None:
    for _ in range(3):
        right(lambda_of_nothing, held)
    assert len(traced) == 3


def lambda_of_nothing(x: Any, s: Any, c: Any) -> Any:
    return x, [ops.tanh(s[0] + x)]


def test_constants_that_hold_themselves() -> None:
    held: list[Any] = [2.0]
    held.append(held)
    for value in (2.0, 2.0, 2.0, 3.0):
        held[0] = value
        np.testing.assert_allclose(np.array(tg.scan(with_first, inputs(), [np.ones((N, H))], held, derive=True)[0]),
                                   inputs() * value)  # fmt: skip


# --- settings, inputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "change"),
    [
        (lambda: ops.ones((H,)) * 2.0, lambda: config.set_floatx("float32")),
        (lambda: 1.0 + 1e7 * config.epsilon(), lambda: config.set_epsilon(1e-3)),
    ],
    ids=["floatx", "epsilon"],
)
def test_settings(read: Any, change: Any, traced: list[Any]) -> None:
    before, step = (config.floatx(), config.epsilon()), stepping(read)
    config.set_floatx("float64")
    try:
        for _ in range(3):
            right(step)
        assert len(traced) == 2
        change()
        right(step)
        assert len(traced) == 3
    finally:
        config.set_floatx(before[0])
        config.set_epsilon(before[1])


def test_recording_training_and_passes(traced: list[Any]) -> None:
    step = stepping(lambda: 2.0)
    modes = [config.switched(), config.switched(training=True), tg.no_grad(), config.switched(passes=frozenset({"sums"}))]
    for k in range(4):
        for mode in modes:
            with mode:
                tg.scan(step, inputs(), [np.zeros((N, H))], derive=True)
        assert len(traced) == 4 * min(k + 1, 2)


def test_inputs_that_become_states() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x[0] + s[0] * len(x), list(s)

    x, h = inputs(), np.ones((N, H))
    for xs, states in (((x,), [h, h]), ((x, x), [h])):
        for _ in range(3):
            found, want = [tg.scan(step, xs, states, derive=d)[0] for d in (True, False)]
            np.testing.assert_allclose(np.array(found), np.array(want))


def test_sequences_of_other_lengths_batches_and_types(traced: list[Any]) -> None:
    step = stepping(lambda: 2.0)
    for k in range(3):
        for shape, dtype in (((2, 5), "float64"), ((2, 9), "float64"), ((3, 5), "float64"), ((2, 5), "float32")):
            x = np.ones((*shape, H), dtype)
            y, _ = tg.scan(step, x, [np.zeros((shape[0], H), dtype)], derive=True)
            want, _ = tg.scan(step, x, [np.zeros((shape[0], H), dtype)], derive=False)
            equal([y], [want], 1e-5)
    assert len(traced) == 6  # three kinds: the length does not count


def test_second_derivatives_of_a_step_that_is_remembered() -> None:
    w = weight((H,))
    step, found = stepping(lambda: w), []
    for derive in (True, True, True, True, False):
        y, _ = tg.scan(step, inputs(), [np.zeros((N, H))], derive=derive)
        (g,) = tg.grad((y * y).sum(), [w], create_graph=True)
        found.append(np.array(tg.grad((g * g).sum(), [w])[0]))
    np.testing.assert_allclose(found, [found[-1]] * 5, rtol=1e-10)


def test_segments_of_a_step_that_is_remembered() -> None:
    one = Plain()
    step = stepping(lambda: one.scale)
    for one.scale in (2.0, 2.0, 2.0, 3.0, 3.0):  # noqa: B007
        x = tg.tensor(inputs(), requires_grad=True)
        y, _ = tg.scan(step, x, [np.zeros((N, H))], checkpoint="sqrt")
        z, _ = tg.scan(step, x, [np.zeros((N, H))], derive=False)
        equal([y, *tg.grad((y * y).sum(), [x])], [z, *tg.grad((z * z).sum(), [x])], 1e-10)


# --- owners ----------------------------------------------------------------------------------------------


def test_functions_that_take_over_the_attributes_of_another() -> None:
    step = stepping(lambda: 2.0)
    for _ in range(3):
        right(step)

    @functools.wraps(step)
    def other(x: Any, s: Any, c: Any) -> Any:
        return x * 5.0, [ops.tanh(s[0])]

    np.testing.assert_allclose(right(other), inputs() * 5.0)
    for _ in range(3):
        right(other)
        right(step)


def test_partials_and_copies_of_them(traced: list[Any]) -> None:
    def step(scale: float, x: Any, s: Any, c: Any) -> Any:
        return x * scale, [ops.tanh(s[0])]

    one = functools.partial(step, 2.0)
    for _ in range(3):
        right(one)
    assert len(traced) == 2
    for other in (copy.copy(one), copy.deepcopy(one)):
        other.__setstate__((step, (3.0,), {}, vars(other)))  # type: ignore[attr-defined]
        np.testing.assert_allclose(right(other), inputs() * 3.0)
        np.testing.assert_allclose(right(one), inputs() * 2.0)


class OwnCell(layers.Layer):
    def __init__(self, units: int = H) -> None:
        super().__init__()
        self.units = self.state_size = units
        self.settings = {"scale": 2.0}
        self.dense = layers.Dense(units)
        self.gate: Any = ops.tanh

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight((shape[-1], self.units))

    def call(self, x: Any, states: Any) -> Any:
        h = self.gate(x @ self.kernel * self.settings["scale"] + self.dense(states[0]))
        return h, [h]


def own() -> Any:
    return layers.RNN(OwnCell(), return_sequences=True)


def lstm() -> Any:
    return layers.LSTM(H, return_sequences=True)


def stack() -> Any:
    return layers.RNN([layers.GRUCell(4), OwnCell()], return_sequences=True)


LAYERS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "a number of a cell": (own, lambda one: one.cell.settings.update(scale=3.0)),
    "a function of a cell": (own, lambda one: setattr(one.cell, "gate", ops.sigmoid)),
    "a layer in a cell": (own, lambda one: setattr(one.cell.dense, "activation", ops.sigmoid)),
    "a weight of a cell": (own, lambda one: one.cell.kernel.assign(np.ones((H, H)))),
    "weights not trained": (own, lambda one: setattr(one, "trainable", False)),
    "a method of a cell": (own, lambda one: setattr(one.cell, "call", lambda x, s: (x, [s[0]]))),
    "an activation": (lstm, lambda one: setattr(one.cell, "activation", ops.sigmoid)),
    "an activation of a user": (lstm, lambda one: setattr(one.cell, "activation", lambda x: x * 0.5)),
    "another cell": (lambda: layers.RNN(OwnCell(), True), lambda one: setattr(one, "cell", changed(one.cell))),
    "a cell of a stack": (stack, lambda one: one.cell.cells[1].settings.update(scale=3.0)),
    "another cell of a stack": (stack, lambda one: one.cell.cells.__setitem__(1, changed(one.cell.cells[1]))),
    "a method of a layer": (own, lambda one: setattr(one, "_one_step", lambda x, s, c: (x, [s[0] * 1.0]))),
}


def changed(cell: Any) -> Any:
    found = copy.copy(cell)
    found.settings = {"scale": 3.0}
    return found


def layer_both_ways(layer: Any) -> np.ndarray[Any, Any]:
    found = []
    for switch in (tg.derived(), tg.unrolled()):
        x = tg.tensor(inputs().astype("float32"), requires_grad=True)
        with switch:
            y = layer(x)
        weights = [w for w in layer.weights if w.trainable]
        grads = tg.grad((y * y).sum(), [x, *weights])
        found.append([y, *[g for g in grads if g is not None]])
    equal(*found, 1e-4)
    return np.array(found[0][0])


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, traced: list[Any]) -> None:
    make, change = LAYERS[name]
    layer = make()
    before = [layer_both_ways(layer) for _ in range(3)][-1]
    count = len(traced)
    layer_both_ways(layer)
    assert len(traced) == count, "it was traced again"
    change(layer)
    after = layer_both_ways(layer)
    assert name in ("weights not trained",) or not np.array_equal(before, after)
    np.testing.assert_array_equal(layer_both_ways(layer), after)


def test_a_copy_of_a_layer_with_another_cell() -> None:
    layer = own()
    before = [layer_both_ways(layer) for _ in range(3)][-1]
    other = copy.copy(layer)
    vars(other)["cell"] = changed(layer.cell)
    assert not np.array_equal(layer_both_ways(other), before)
    np.testing.assert_array_equal(layer_both_ways(layer), before)


def test_a_step_of_a_users_layer() -> None:
    class Mine(layers.RNN):
        scale = 2.0

        def my_step(self, x: Any, s: Any, c: Any) -> Any:
            return x * self.scale, [ops.tanh(s[0])]

        def _one_step(self, x: Any, s: Any, c: Any) -> Any:
            return x * self.scale, [ops.tanh(s[0])]

    one = Mine(layers.SimpleRNNCell(H), return_sequences=True)
    for one.scale in (2.0, 2.0, 2.0, 3.0):
        np.testing.assert_allclose(right(one.my_step), inputs() * one.scale)
        layer_both_ways(one)


def test_dropout_masks_are_no_reason_to_trace(traced: list[Any]) -> None:
    layer = layers.GRU(H, dropout=0.5, recurrent_dropout=0.5)
    found = []
    with tg.derived():
        for _ in range(4):
            found.append(np.array(layer(np.ones((N, 4, H), "float32"), training=True)))
    assert len(traced) == 2
    assert len({f.tobytes() for f in found}) == 4


# --- what it costs ---------------------------------------------------------------------------------------


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for every snapshot."""
    found: list[Any] = []
    monkeypatch.setattr(derived, "Dependencies", lambda step: (found.append(None), Dependencies(step))[1])
    return found


def test_a_new_function_at_every_call_costs_no_snapshot(snapshots: list[Any]) -> None:
    for _ in range(5):
        right(stepping(lambda: 2.0))
    assert not snapshots


def test_changes_at_every_call_end_the_snapshots(snapshots: list[Any], traced: list[Any]) -> None:
    one = Plain()
    step = stepping(lambda: one.scale)
    for k in range(10):
        one.scale = 1.0 + k
        right(step)
    assert len(traced) == 10 and len(snapshots) == derived.FAILURES
    assert not step.__traces__  # and nothing is kept


def test_changes_now_and_then_do_not(traced: list[Any]) -> None:
    one = Plain()
    step = stepping(lambda: one.scale)
    for k in range(9):
        one.scale = (1.0, 2.0, 3.0, 4.0)[k // 3]  # the first and second call, and every change
        right(step)
    assert len(traced) == 4


def test_what_cannot_be_watched_is_looked_at_once(snapshots: list[Any]) -> None:
    step = stepping(lambda: globals()["OTHER"])
    for _ in range(5):
        right(step)
    assert len(snapshots) == 1


def test_too_much() -> None:
    held = [[k] for k in range(5000)]
    with pytest.raises(Unsure, match="too much"):
        Dependencies(lambda: held)


def test_many_shapes_are_not_all_kept() -> None:
    step = stepping(lambda: 2.0)
    for n in range(1, 15):
        for _ in range(2):
            tg.scan(step, np.ones((n, 2, H)), [np.zeros((n, H))], derive=True)
    assert len(step.__traces__) == derived.TRACES_KEPT


def test_many_calls_leave_nothing() -> None:
    w = tg.Variable(np.ones((H,)))
    step = with_constants

    def count() -> int:
        gc.collect()
        return len(gc.get_objects())

    def call() -> None:
        x = tg.tensor(np.ones((N, 2, H)), requires_grad=True)
        y, _ = tg.scan(step, x, [np.zeros((N, H))], [w * 2.0], derive=True)
        tg.grad(y.sum(), [w])

    for _ in range(5):
        call()
    before = count()
    for _ in range(1000):
        call()
    assert count() < before + 50


def test_constants_are_let_go() -> None:
    step = stepping(lambda: 2.0)
    c = tensors(1)
    for _ in range(3):
        tg.scan(step, inputs(), [np.zeros((N, H))], c, derive=True)
    gone = weakref.ref(c[0])
    del c
    gc.collect()
    assert gone() is None


def test_layers_and_functions_are_let_go() -> None:
    layer, step = own(), stepping(lambda: 2.0)
    for _ in range(4):
        layer_both_ways(layer)
        right(step)
    gone = weakref.ref(layer), weakref.ref(step), weakref.ref(layer.cell)
    del layer, step
    gc.collect()
    assert [g() for g in gone] == [None] * 3


def test_a_new_function_needs_no_collector() -> None:
    gc.disable()
    try:
        step = stepping(lambda: 2.0)
        tg.scan(step, inputs(), [np.zeros((N, H))], derive=True)
        gone = weakref.ref(step)
        del step
        assert gone() is None
    finally:
        gc.enable()


def test_threads() -> None:
    """Each has its own number in a shared object, one at a time; and shapes enough that traces are let go."""
    one, lock = Plain(), threading.Lock()
    step, problems = stepping(lambda: one.scale), []
    quiet = stepping(lambda: 2.0)

    def work(number: int) -> None:
        try:
            for k in range(12):
                with lock:
                    one.scale = float(number + k // 4)
                    right(step)
                n = 1 + (number + k) % 12
                y, _ = tg.scan(quiet, np.ones((n, 2, H)), [np.zeros((n, H))], derive=True)
                np.testing.assert_allclose(np.array(y)[:, 0], np.tanh(2.0))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems


def test_a_change_while_it_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by another thread: what was snapshot is not what was traced."""
    one = Plain()
    one.scale = 2.0
    step = stepping(lambda: one.scale)
    right(step)
    real = derived.examine

    def changing(*args: Any) -> Any:
        found = real(*args)
        one.scale = 3.0
        return found

    monkeypatch.setattr(derived, "examine", changing)
    tg.scan(step, inputs(), [np.zeros((N, H))], derive=True)
    monkeypatch.setattr(derived, "examine", real)
    for _ in range(3):
        right(step)


# --- copies of models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: layers.GRU(4), lambda: layers.RNN(OwnCell()),
                                  lambda: layers.Bidirectional(layers.LSTM(3, dropout=0.2))],
                         ids=["GRU", "own", "Bidirectional"])  # fmt: skip
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_copies_of_trained_models(make: Any, duplicate: Any) -> None:
    x, y = inputs(steps=6).astype("float32"), np.ones((N, 1), "float32")
    model = tg.Sequential([make(), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=4, verbose=0)
    other = duplicate(model)
    predicted = model.predict(x, verbose=0)
    np.testing.assert_array_equal(other.predict(x, verbose=0), predicted)
    found = [m.fit(x, y, epochs=4, verbose=0).history["loss"] for m in (other, model)]
    if not isinstance(model.layers[0], layers.Bidirectional):  # dropout draws anew
        np.testing.assert_array_equal(*found)
    for a, b in zip(model.weights, other.weights, strict=True):
        assert a is not b and a.path == b.path
