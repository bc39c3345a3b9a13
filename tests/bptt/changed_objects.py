"""Cases of remembered steps: objects, classes and enumerations that change."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from typing import Any

import numpy as np
from bptt.remembered import (
    Case,
    Named,
    Plain,
    remembered,
)

OTHER: Any = 3.0


# --- objects ---------------------------------------------------------------------------------------------


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
def the_function_of_a_cached_property() -> Case:
    class One:
        def __init__(self) -> None:
            self.kept = functools.cached_property(lambda one: 2.0)

    one = One()
    return lambda: one.kept.func(one), lambda: setattr(one.kept, "func", lambda one: 3.0)


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


@remembered
def a_class_that_pretends_to_be_the_librarys() -> Case:
    class One:
        __module__ = "numpy"
        scale = 2.0

    return lambda: One.scale, lambda: setattr(One, "scale", 3.0)


# --- constructors ------------------------------------------------------------------------------------------


@remembered
def an_object_whose_constructor_holds_a_large_array() -> Case:
    """The step cannot call it: it is not looked at."""
    large = np.full(200_000, 2.0)

    class Held:
        def __init__(self) -> None:
            self.scale = float(large[0])

    one = Held()
    return (lambda: one.scale), lambda: setattr(one, "scale", 3.0)


@remembered
def what_a_constructor_reads() -> Case:
    settings = [2.0]

    class Held:
        def __init__(self) -> None:
            self.scale = settings[0]

    return (lambda: Held().scale), lambda: settings.__setitem__(0, 3.0)


@remembered
def what_the_constructor_of_a_base_reads() -> Case:
    settings = [2.0]

    class Base:
        def __init__(self) -> None:
            self.scale = settings[0]

    class Held(Base):
        pass

    return (lambda: Held().scale), lambda: settings.__setitem__(0, 3.0)


@remembered
def another_object_of_the_same_class() -> Case:
    settings = [2.0]

    class Held:
        def __init__(self) -> None:
            self.scale = settings[0]

    one = Held()
    return (lambda: type(one)().scale), lambda: settings.__setitem__(0, 3.0)


@remembered
def an_object_that_is_initialised_again() -> Case:
    settings = [2.0]

    class Held:
        def __init__(self) -> None:
            self.scale = settings[0]

        def again(self) -> float:
            new = object.__new__(self.__class__)
            new.__init__()  # type: ignore[misc]
            return float(new.scale)

    one = Held()
    return (lambda: one.again()), lambda: settings.__setitem__(0, 3.0)
