"""Cases of steps that refer to what cannot be watched."""

from __future__ import annotations

import collections
import contextvars
import ctypes
import functools
import importlib
import operator
import os
import sys
import threading
import types
import weakref
from typing import Any

import numpy as np
from bptt.remembered import (
    Case,
    Plain,
    module,
    unsure,
)
from bptt.steps import H

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.outside.dependencies import LARGEST

SCALE: Any = 2.0
OTHER: Any = 3.0


def global_factor() -> Any:
    return SCALE


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
def the_gradient_of_a_variable_by_a_name_that_is_held() -> Case:
    w, one = tg.Variable(np.full(H, 2.0)), types.SimpleNamespace(what="grad")
    w.grad = np.full(H, 2.0)
    return lambda: getattr(w, one.what), lambda: setattr(w, "grad", np.full(H, 3.0))


@unsure
def the_gradient_of_a_variable_by_one_of_many_names() -> Case:
    w = tg.Variable(np.full(H, 2.0))
    w.grad = np.full(H, 2.0)

    def factor() -> Any:
        return sum([np.mean(getattr(w, name)) for name in ("size", "grad")])

    return factor, lambda: setattr(w, "grad", np.full(H, 3.0))


@unsure
def the_regularizer_of_a_variable() -> Case:
    w = tg.Variable(np.full(H, 2.0))
    return lambda: 2.0 if w.regularizer is None else 3.0, lambda: setattr(w, "regularizer", 1.0)


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


@unsure
def a_computed_name_of_a_method_that_makes_configurations() -> Case:
    held = [2.0]

    class Building:
        def build(self) -> Any:
            return held[0]

    one = Building()
    return lambda: getattr(one, ["build"][0])(), lambda: held.__setitem__(0, 3.0)
