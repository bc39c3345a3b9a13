"""Switches as decorators of generators and coroutines, and ended by another task than the one that began them."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.config import mode

log: list[Any] = []


@pytest.fixture(autouse=True)
def empty() -> None:
    log.clear()


@tg.no_grad()
def generated(first: int) -> Iterator[Any]:
    """Some numbers."""
    try:
        while True:
            log.append((mode().grad, first))
            try:
                first = yield first + 1
            except KeyError as error:
                first = -1
                log.append((mode().grad, error.args))
            if first > 9:
                return "end"
    finally:
        log.append((mode().grad, "closed"))


def test_a_generator_runs_inside_and_its_caller_does_not() -> None:
    running = generated(1)
    assert inspect.isgeneratorfunction(generated)
    assert generated.__doc__ == "Some numbers."
    assert next(running) == 2
    assert mode().grad
    assert running.send(4) == 5
    assert running.throw(KeyError("k")) == 0
    assert mode().grad
    with pytest.raises(StopIteration) as end:
        running.send(10)
    assert end.value.value == "end"
    assert mode().grad
    assert log == [(False, 1), (False, 4), (False, ("k",)), (False, -1), (False, "closed")]


def test_a_generator_that_is_closed_or_raises() -> None:
    running = generated(1)
    next(running)
    running.close()
    assert log == [(False, 1), (False, "closed")]
    assert list(running) == []
    running = generated(1)
    next(running)
    with pytest.raises(ValueError, match="mine"):
        running.throw(ValueError("mine"))
    assert mode().grad


def test_two_generators_in_turns_leave_the_switches_alone() -> None:
    one, other = generated(1), tg.derived()(lambda: (yield mode().derive))()
    next(one)
    assert next(other) is True
    one.close()
    other.close()
    assert (mode().grad, mode().derive) == (True, False)


def test_coroutines() -> None:
    @tg.derived()
    async def work(n: int) -> Any:
        await asyncio.sleep(0)
        return n, mode().derive

    async def both() -> Any:
        return await asyncio.gather(work(1), work(2)), mode().derive

    assert asyncio.iscoroutinefunction(work)
    assert asyncio.run(both()) == ([(1, True), (2, True)], False)


def test_asynchronous_generators() -> None:
    @tg.derived()
    async def work() -> AsyncIterator[Any]:
        try:
            for n in range(3):
                await asyncio.sleep(0)
                try:
                    yield n, mode().derive
                except KeyError:
                    log.append(mode().derive)
        finally:
            log.append(mode().derive)

    async def reading() -> Any:
        found = []
        running = work()
        async for one in running:
            found += [one, mode().derive]
            if len(found) == 4:
                break
        found.append(await running.athrow(KeyError()))
        await running.aclose()
        return [*found, mode().derive, [one async for one in work()]]

    every = [(0, True), (1, True), (2, True)]
    assert asyncio.run(reading()) == [(0, True), False, (1, True), False, (2, True), False, every]
    assert log == [True] * 3


def test_a_block_that_another_context_ends() -> None:
    """As a web server does that runs the parts of a generator in several threads."""

    def waiting() -> Iterator[None]:
        with tg.no_grad():
            yield

    running = waiting()
    contextvars.copy_context().run(next, running)
    contextvars.copy_context().run(running.close)
    assert mode().grad
