"""Tensors that a step keeps outside of itself, wherever that is: those of the last run, not those of its trace."""

from __future__ import annotations

import contextvars
import threading
import warnings
from collections import deque
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bptt.steps import T, inputs, start

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import UnrolledWarning

HOLDER, MODULE, LOCAL = SimpleNamespace(), ModuleType("holder"), threading.local()
CONTEXT: contextvars.ContextVar[Any] = contextvars.ContextVar("CONTEXT")
QUEUE: deque[Any] = deque()
LIST: list[Any] = []
APPEND = LIST.append


class Owner:
    """Has a list and an attribute of its class."""

    log: list[Any] = []
    last: Any = None


OWNER = Owner()


def in_an_object(h: Any) -> None:
    HOLDER.h = h


def in_a_class(h: Any) -> None:
    Owner.last = h


def in_a_module(h: Any) -> None:
    MODULE.h = h  # type: ignore[attr-defined]


def in_a_thread(h: Any) -> None:
    LOCAL.h = h


def in_a_context(h: Any) -> None:
    CONTEXT.set(h)


def in_a_queue(h: Any) -> None:
    QUEUE.append(h)


def by_a_bound_method(h: Any) -> None:
    APPEND(h)


def by_a_default_function(h: Any, keep: Callable[[Any], None] = lambda h: LIST.append(h)) -> None:
    keep(h)


def in_the_list_of_a_class(h: Any) -> None:
    OWNER.log.append(h)


def on_itself(h: Any) -> None:
    on_itself.h = h  # type: ignore[attr-defined]


WAYS: dict[Callable[[Any], None], Callable[[], Any]] = {  # how a tensor is kept, and what is kept then
    in_an_object: lambda: HOLDER.h,
    in_a_class: lambda: Owner.last,
    in_a_module: lambda: MODULE.h,
    in_a_thread: lambda: LOCAL.h,
    in_a_context: lambda: CONTEXT.get(),
    in_a_queue: lambda: [*QUEUE],
    by_a_bound_method: lambda: [*LIST],
    by_a_default_function: lambda: [*LIST],
    in_the_list_of_a_class: lambda: [*Owner.log],
    on_itself: lambda: on_itself.h,  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("keep", WAYS, ids=lambda f: f.__name__)
def test_what_is_kept_is_what_the_steps_computed(keep: Callable[[Any], None]) -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x + s[0])
        keep(h)
        return h, [h]

    found = []
    for derive in (False, True):
        for container in (QUEUE, LIST, Owner.log):
            container.clear()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for k in range(3):
                tg.scan(step, inputs(k), start(), derive=derive)
        assert [c.category for c in said] == [UnrolledWarning] * derive
        kept = WAYS[keep]()
        found.append(np.array([np.array(h) for h in (kept if isinstance(kept, list) else [kept])]))
    np.testing.assert_array_equal(*found)
    assert len(found[0]) in (1, 3 * T)


@pytest.mark.parametrize("kind", [list, dict])
def test_in_the_constants(kind: Any) -> None:
    def step(x: Any, s: Any, constants: Any) -> Any:
        h = ops.tanh(x + s[0])
        if isinstance(constants, dict):
            constants["h"] = h
        else:
            constants.append(h)
        return h, [h]

    found = kind()
    with pytest.warns(UnrolledWarning, match="the step changes the .* 'constants'"):
        tg.scan(step, inputs(0), start(), found, derive=True)
    _, (last,) = tg.scan(step, inputs(1), start(), found, derive=True)
    kept = [*found.values()] if isinstance(found, dict) else found
    assert len(kept) == (1 if kind is dict else 2 * T)
    np.testing.assert_array_equal(kept[-1], last)


def test_the_line_that_computed_it_is_named() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x + s[0])
        CONTEXT.set(h)
        return h, [h]

    with pytest.warns(UnrolledWarning, match=r"test_kept_tensors.py:\d+ in step\(\) keeps a tensor outside"):
        tg.scan(step, inputs(), start(), derive=True)


def test_a_tensor_in_a_cycle_is_not_kept(traced: list[Any]) -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x + s[0])
        cycle = [h]
        cycle.append(cycle)
        return h, [h]

    for k in range(4):
        tg.scan(step, inputs(k), start(), derive=True)
    assert len(traced) < 4
