"""Where a step can count how often it was called: in names, classes, objects and containers."""

from __future__ import annotations

import functools
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Counting = tuple[Callable[[], Any], Callable[[], int]]  # count once; how often that was
CASES: list[Callable[[], Counting]] = []
COUNT: Any = 0


def case(make: Callable[[], Counting]) -> Callable[[], Counting]:
    CASES.append(make)
    return make


class Counter(list[Any]):
    n = 0


# --- names -----------------------------------------------------------------------------------------------

VALUES: dict[
    str, tuple[Any, Callable[[Any], Any], Callable[[Any], int]]
] = {  # the first, the next, the count
    "None": (None, lambda n: 1 if n is None else n + 1, lambda n: n or 0),
    "tuple": ((), lambda n: (*n, 1), len),
    "array": (np.zeros(1), lambda n: n + 1, lambda n: int(n[0])),
    "np.int64": (np.int64(0), lambda n: n + 1, int),
    "complex": (0j, lambda n: n + 1j, lambda n: int(n.imag)),
    "bytes": (b"", lambda n: n + b"a", len),
    "frozenset": (frozenset(), lambda n: n | {len(n)}, len),
    "list": ([], lambda n: [*n, 1], len),
    "object": (types.SimpleNamespace(n=0), lambda n: types.SimpleNamespace(n=n.n + 1), lambda n: n.n),
}


def of_the_closure(kind: str) -> Counting:
    count, more, number = VALUES[kind]

    def bump() -> None:
        nonlocal count
        count = more(count)

    return bump, lambda: number(count)


def of_the_module(kind: str) -> Counting:
    global COUNT
    COUNT, more, number = VALUES[kind]

    def bump() -> None:
        global COUNT
        COUNT = more(COUNT)

    return bump, lambda: number(COUNT)


for _kind in VALUES:
    for _where in (of_the_closure, of_the_module):
        case(functools.update_wrapper(functools.partial(_where, _kind), _where)).__name__ += f" {_kind}"


@case
def a_global_that_is_not_there() -> Counting:
    globals().pop("CALLS", None)

    def bump() -> None:
        global CALLS
        CALLS = (*globals().get("CALLS", ()), 1)  # type: ignore[name-defined]

    return bump, lambda: len(globals().get("CALLS", ()))


@case
def a_global_of_a_function_inside() -> Counting:
    global COUNT
    COUNT = ()

    def bump() -> None:
        def inside() -> None:
            global COUNT
            COUNT = (*COUNT, 1)

        inside()

    return bump, lambda: len(COUNT)


@case
def a_variable_that_has_no_value_yet() -> Counting:
    def bump() -> None:
        nonlocal count
        try:
            count = (*count, 1)
        except NameError:
            count = (1,)

    def read() -> int:
        try:
            return len(count)
        except NameError:
            return 0

    if COUNT is CASES:  # never
        count: tuple[int, ...] = ()
    return bump, read


@case
def an_attribute_of_a_module() -> Counting:
    own = types.ModuleType("own")
    own.count = ()  # type: ignore[attr-defined]

    def bump() -> None:
        own.count = (*own.count, 1)  # type: ignore[attr-defined]

    return bump, lambda: len(own.count)


# --- classes and objects -----------------------------------------------------------------------------------


@case
def a_list_in_a_class() -> Counting:
    class Log:
        lines: list[int] = []

    return lambda: Log.lines.append(1), lambda: len(Log.lines)


@case
def a_list_in_a_class_that_it_comes_from() -> Counting:
    class Log:
        lines: list[int] = []

    class Own(Log):
        pass

    return lambda: Own.lines.append(1), lambda: len(Log.lines)


@case
def a_tuple_in_a_class() -> Counting:
    class Log:
        lines: tuple[int, ...] = ()

    def bump() -> None:
        Log.lines = (*Log.lines, 1)

    return bump, lambda: len(Log.lines)


@case
def an_array_in_a_class() -> Counting:
    class Log:
        count = np.zeros(1)

    def bump() -> None:
        Log.count += 1

    return bump, lambda: int(Log.count[0])


@case
def an_object_in_a_class() -> Counting:
    class Log:
        inner = types.SimpleNamespace(n=0)

    def bump() -> None:
        Log.inner.n += 1

    return bump, lambda: Log.inner.n


@case
def a_static_method() -> Counting:
    lines: list[int] = []

    class Log:
        @staticmethod
        def add() -> None:
            lines.append(1)

    log = Log()
    return lambda: log.add(), lambda: len(lines)


@case
def a_descriptor() -> Counting:
    class Counted:
        n = 0

        def __get__(self, owner: Any, kind: Any = None) -> int:
            self.n += 1
            return self.n

    counted = Counted()
    log = type("Log", (), {"one": counted})()
    del counted
    return lambda: log.one, lambda: vars(type(log))["one"].n


@case
def a_partial_with_keywords() -> Counting:
    def append(value: int, to: list[int]) -> None:
        to.append(value)

    add = functools.partial(append, to=[])
    return lambda: add(1), lambda: len(add.keywords["to"])


@case
def a_weak_reference() -> Counting:
    one = Counter()
    weak = weakref.ref(one)

    def bump() -> None:
        weak().n += 1  # type: ignore[union-attr]

    return bump, lambda: one.n


@case
def a_private_slot() -> Counting:
    class Slotted:
        __slots__ = ("__n",)

        def bump(self) -> None:
            self.__n = self.count() + 1

        def count(self) -> int:
            return getattr(self, "_Slotted__n", 0)

    one = Slotted()
    return lambda: one.bump(), one.count


@case
def a_named_tuple() -> Counting:
    class Pair(NamedTuple):
        one: list[int]

    pair = Pair([])
    return lambda: pair.one.append(1), lambda: len(pair.one)


@case
def a_bit_generator() -> Counting:
    bits = np.random.PCG64(0)
    states = [bits.state]
    for _ in range(50):
        states.append((bits.random_raw(), bits.state)[1])
    bits.state = states[0]
    return lambda: bits.random_raw(), lambda: states.index(bits.state)


# --- containers that are more than that ----------------------------------------------------------------


class Latest(deque[Any]):
    def __init__(self) -> None:
        super().__init__([7.0], maxlen=50)


class Named(deque[Any]):
    def __init__(self, name: str = "named") -> None:
        super().__init__()
        self.name = name


class Cache(OrderedDict[Any, Any]):
    def __init__(self, size: int = 50) -> None:
        super().__init__()
        self.size = size

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        while len(self) > self.size:
            self.popitem(last=False)


class Counts(defaultdict[Any, Any]):
    def __init__(self) -> None:
        super().__init__(int)


class Forgetful(dict[Any, Any]):
    def copy(self) -> Any:
        return Forgetful()


class Silent(dict[Any, Any]):
    def copy(self, path: str) -> Any:  # type: ignore[override]
        raise NotImplementedError

    def items(self) -> Any:
        raise NotImplementedError


for _kind in (Latest, Named, Cache, Counts, Forgetful, Silent):

    def _in_a_container(kind: Any) -> Counting:
        held = kind()
        before = len(held)

        def bump() -> None:
            if isinstance(held, dict):
                held[len(held)] = 1.0
            else:
                held.append(1.0)

        return bump, lambda: len(held) - before

    case(
        functools.update_wrapper(functools.partial(_in_a_container, _kind), _in_a_container)
    ).__name__ = _kind.__name__


@case
def an_attribute_of_a_list() -> Counting:
    held = Counter()

    def bump() -> None:
        held.n += 1

    return bump, lambda: held.n


@case
def the_order_of_a_dict() -> Counting:
    held = OrderedDict.fromkeys(range(50))
    return lambda: held.move_to_end(next(iter(held))), lambda: next(iter(held))
