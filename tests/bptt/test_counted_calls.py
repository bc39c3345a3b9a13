"""Steps that count how often they are called: wherever the count is kept, a trace leaves it as it was."""

from __future__ import annotations

import functools
import random
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bptt.counting_cases import CASES, Counter, Counting, Counts, Latest, Silent
from bptt.steps import may_unroll

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import UnrolledWarning

x, start = np.ones((1, 6, 1)), [np.zeros((1, 1))]


def counting(bump: Callable[[], Any], read: Callable[[], int], used: bool) -> Any:
    def step(x: Any, s: Any, c: Any) -> Any:
        bump()
        h = s[0] + x * (float(read()) if used else 1.0)
        return h, [h]

    return step


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_a_count_is_as_when_unrolled(make: Callable[[], Counting], used: bool) -> None:
    found = []
    for derive in (False, True):
        bump, read = make()
        step = counting(bump, read, used)
        with may_unroll():
            for _ in range(2):
                y, _ = tg.scan(step, x, start, derive=derive)
        found.append((np.array(y).ravel().tolist(), read()))
    assert found[0] == found[1]
    assert found[0][1] == 12


class Hidden:
    """Raises if it is looked at."""

    __slots__ = ()

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("hidden")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (random.SystemRandom, "the SystemRandom 'odd' cannot be looked at"),
        (Hidden, r"the Hidden 'odd' cannot be looked at \(RuntimeError: hidden\)"),
        (lambda: [Hidden()], r"the Hidden 'odd\[0\]' cannot be looked at"),
        (lambda: weakref.proxy(Counter()), r"'odd' cannot be looked at \(ReferenceError"),
    ],
)
def test_what_cannot_be_looked_at_is_named(make: Callable[[], Any], message: str) -> None:
    odd = make()

    def step(x: Any, s: Any, c: Any) -> Any:
        assert odd is not None
        return s[0], [s[0] + x]

    with pytest.warns(UnrolledWarning, match=message):
        _, (last,) = tg.scan(step, x, start, derive=True)
    assert float(last) == 6.0
    with may_unroll():
        _, (last,) = tg.scan(step, x, start, [odd], derive=True)
    assert float(last) == 6.0


def test_an_odd_container_is_no_hindrance() -> None:
    for odd in (Latest(), Counts(), Silent(a=1.0)):

        def step(x: Any, s: Any, c: Any, odd: Any = odd) -> Any:
            return s[0], [s[0] + x * len(odd)]

        tg.scan(step, x, start, derive=True)  # a warning would be an error


def test_a_very_large_number_among_the_constants() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return s[0], [s[0] + x * float(c[0] > 1)]

    for number, end in ((10**5000, 6.0), (-(10**5000), 0.0), (10**5000, 6.0)):
        for _ in range(3):
            _, (last,) = tg.scan(step, x, start, [number], derive=True)
            assert float(last) == end


@pytest.mark.parametrize("named", [False, True])
def test_a_step_that_is_a_partial(named: bool) -> None:
    """A list among its arguments is what it was after a trace."""
    found = []
    for derive in (False, True):
        log: list[int] = []

        def step(log: list[int], x: Any, s: Any, c: Any) -> Any:
            log.append(1)
            return s[0], [s[0] + x * len(log)]

        def turned(x: Any, s: Any, c: Any, log: list[int], step: Any = step) -> Any:
            return step(log, x, s, c)

        with may_unroll():
            bound = functools.partial(turned, log=log) if named else functools.partial(step, log)
            y, _ = tg.scan(bound, x, start, derive=derive)
        found.append((np.array(y).ravel().tolist(), len(log)))
    assert found[0] == found[1]


def test_code_beside_the_package_is_the_users() -> None:
    """A folder whose name begins as the package's."""
    text = "log = []\ndef step(x, s, c):\n    log.append(1)\n    return s[0], [s[0] + x]\n"
    module: dict[str, Any] = {"__name__": "homework"}
    exec(compile(text, f"{Path(tg.__file__).parent}_homework/cell.py", "exec"), module)
    with pytest.warns(UnrolledWarning, match=r"homework/cell.py:2\).* changes the list 'log'"):
        tg.scan(module["step"], x, start, derive=True)
    assert len(module["log"]) == 6
