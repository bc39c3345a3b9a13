"""Context managers that are decorators as well: of functions, generators and coroutines."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import ContextDecorator
from typing import Any

Block = Callable[[], Any]  # makes a context manager


class Around(ContextDecorator):
    """Runs the body of what it decorates inside of the block, not only the call that makes a generator.

    >>> class Shown(Around):
    ...     def _recreate_cm(self): return self
    ...     def __enter__(self): print("in")
    ...     def __exit__(self, *_): print("out")
    >>> @Shown()
    ... def numbers():
    ...     print(1)
    ...     yield 1
    >>> for n in numbers(): print("between")
    in
    1
    out
    between
    in
    out
    """

    def __call__(self, function: Any) -> Any:
        """The decorated function."""
        block: Block = self._recreate_cm
        decorated: Any
        if inspect.iscoroutinefunction(function):

            async def decorated(*args: Any, **kwargs: Any) -> Any:
                with block():
                    return await function(*args, **kwargs)

        elif inspect.isasyncgenfunction(function):

            def decorated(*args: Any, **kwargs: Any) -> Any:
                return _resumed_later(block, function(*args, **kwargs))

        elif inspect.isgeneratorfunction(function):

            def decorated(*args: Any, **kwargs: Any) -> Any:
                return (yield from _resumed(block, function(*args, **kwargs)))

        else:
            return super().__call__(function)
        return functools.wraps(function)(decorated)


def _resumed(block: Block, running: Any) -> Generator[Any, Any, Any]:
    """A generator each of whose steps runs inside a block of its own: between them it is off."""
    resume, value = running.send, None
    while True:
        with block():
            try:
                given = resume(value)
            except StopIteration as end:
                return end.value
        try:
            value, resume = (yield given), running.send
        except BaseException as error:
            value, resume = error, running.throw


async def _resumed_later(block: Block, running: Any) -> AsyncIterator[Any]:
    """The same for an asynchronous generator."""
    resume, value = running.asend, None
    while True:
        with block():
            try:
                given = await resume(value)
            except StopAsyncIteration:
                return
        try:
            value, resume = (yield given), running.asend
        except BaseException as error:
            value, resume = error, running.athrow
