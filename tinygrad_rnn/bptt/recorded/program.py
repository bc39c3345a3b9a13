"""Steps as one Python function: calls one after another, each value let go after its last use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple


class At(int):
    """The place of a value."""


class Step(NamedTuple):
    """One call. Its arguments and attributes are constants, `At` a place, or lists and tuples of these."""

    function: Any
    args: Sequence[Any]
    attrs: dict[str, Any]
    result: int
    parts: int  # how many results; they stand behind the tuple of them


def program(
    steps: Sequence[Step],
    inputs: Sequence[int],
    results: Sequence[int],
    constants: dict[int, Any],
    kept: Collection[int] = (),
) -> Any:
    """The function of the values at `inputs` that runs the steps and returns the values at `results`.

    Those at `kept` are not let go before the end.

    >>> double = Step(lambda a, factor: factor * a, [At(0)], {"factor": At(1)}, 2, 0)
    >>> program([double], [0], [2], {1: 2})(21)
    (42,)
    """
    read = {*results, *[place for step in steps for place in _read(step)]}
    names: dict[str, Any] = {f"v{place}": value for place, value in constants.items() if place in read}
    lines = [f"def run({', '.join([f'v{place}' for place in inputs])}):"]
    for step, unused in zip(steps, _last_uses(steps, [*results, *kept]), strict=True):
        arguments = [_text(value, names) for value in step.args]
        arguments += [f"{name}={_text(value, names)}" for name, value in step.attrs.items()]
        call = f"{_named(step.function, names)}({', '.join(arguments)})"
        parts = "".join([f"v{place}, " for place in _made(step)[1:]])
        lines.append(f"    v{step.result} = {parts and f'{parts}= '}{call}")
        if unused:
            lines.append(f"    del {', '.join([f'v{place}' for place in unused])}")
    lines.append(f"    return {''.join([f'v{place}, ' for place in results])}")
    exec(compile("\n".join(lines), "<recorded batch>", "exec"), names)
    return names["run"]


def _text(value: Any, names: dict[str, Any]) -> str:
    """An argument as it is written; constants get names."""
    if type(value) is At:
        return f"v{value}"
    if next(places(value), None) is None:
        return _named(value, names)
    inner = ", ".join([_text(v, names) for v in value])
    return f"[{inner}]" if isinstance(value, list) else f"({inner},)"


def _named(value: Any, names: dict[str, Any]) -> str:
    name = f"c{len(names)}"
    names[name] = value
    return name


def places(value: Any) -> Iterator[int]:
    """The places in an argument."""
    if type(value) is At:
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from places(v)


def _read(step: Step) -> Iterator[int]:
    """The places of its arguments."""
    return places([*step.args, *step.attrs.values()])


def _made(step: Step) -> range:
    """The places of its results."""
    return range(step.result, step.result + 1 + step.parts)


def _last_uses(steps: Sequence[Step], results: Sequence[int]) -> list[list[int]]:
    """For each step the results that only it and steps before it read."""
    made = {place for step in steps for place in _made(step)}
    later = set(results)
    found = []
    for step in reversed(steps):
        read = {*_read(step)}
        found.append(sorted(((read & made) | {*_made(step)}) - later))
        later |= read
    return found[::-1]
