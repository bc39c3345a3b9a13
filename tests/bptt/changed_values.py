"""Cases of remembered steps: lists, dicts, arrays and Tensors that change."""

from __future__ import annotations

import collections
import types
from typing import Any

import numpy as np
from bptt.remembered import (
    Case,
    Plain,
    remembered,
)
from bptt.steps import H, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops

# --- lists, dicts, arrays --------------------------------------------------------------------------------


@remembered
def a_part_of_an_array() -> Case:
    held = np.full((2, H), 2.0)
    return lambda: ops.exp(held[0]) + held[1] * ops.tanh(held.T[:, 1]), lambda: held[1].fill(3.0)


@remembered
def an_array_and_its_transpose() -> Case:
    held = np.arange(1.0, H * H + 1).reshape(H, H)
    return lambda: ops.sum(held @ ops.exp(-held.T), axis=0), lambda: held[1].fill(3.0)


@remembered
def a_matrix_of_some_hundred_rows() -> Case:
    """As the fixed weights of a reservoir are."""
    held = np.full((350, 350), 2.0)
    return lambda: held.sum(axis=0)[7], lambda: held[:, 7].fill(3.0)


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
def the_name_of_a_variable() -> Case:
    w = tg.Variable(np.full(H, 2.0), name="two")
    return lambda: 2.0 if w.name == "two" else 3.0, lambda: w.rename("layer/three")


@remembered
def a_tensor() -> Case:
    one = types.SimpleNamespace(w=weight((H,)))
    return lambda: one.w, lambda: setattr(one, "w", weight((H,), 1))


@remembered
def tensors_made_in_the_step() -> Case:
    one = Plain()
    return lambda: ops.ones((H,)) * tg.tensor(one.scale), lambda: setattr(one, "scale", 3.0)
