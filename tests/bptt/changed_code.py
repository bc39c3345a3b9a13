"""Cases of remembered steps: variables, functions and modules that change."""

from __future__ import annotations

import builtins
import functools
import types
import weakref
from typing import Any

import numpy as np
from bptt.remembered import (
    Case,
    Plain,
    module,
    remembered,
)
from bptt.steps import H

import tinygrad_rnn as tg
from tinygrad_rnn import ops

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
            return 2.0 if GONE is None else 4.0  # type: ignore[name-defined]
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
            return NEW_SCALE  # type: ignore[name-defined,no-any-return]
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


@remembered
def beside_what_makes_configurations() -> Case:
    class Serializable(Plain):
        def __init__(self) -> None:
            self.activation = tg.activations.get("tanh")

        def build(self, shape: Any) -> None:
            super().build(shape)  # type: ignore[misc]

        def get_config(self) -> Any:
            return {**super().get_config(), "scale": tg.activations.get("tanh")}  # type: ignore[misc]

    one = Serializable()
    return one.method, lambda: setattr(one, "scale", 3.0)


@remembered
def what_build_reads_if_it_is_called() -> Case:
    held = [2.0]

    class Building:
        def build(self) -> Any:
            return held[0]

    one = Building()
    return lambda: one.build(), lambda: held.__setitem__(0, 3.0)
