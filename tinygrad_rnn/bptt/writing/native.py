"""The source as it is compiled where its loops can run in C: what Python would run stands behind, if they cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ...native.lanes import product
from ...native.library import library
from ..native.loops import NativeLoop
from ..native.parsing import Foreign, parse
from .tight import tighten

_HELD = re.compile(r"^    of_\w+ = (\([^)]*\)|.*)$", re.M)
NOT_COMPILED = "runs in Python: no C compiler was there at installation, or TINYGRAD_RNN_NATIVE is 0"
_PRODUCT = re.compile(r"^(    (?! ).*?)np\.matmul\(", re.M)  # outside the loops
_LIST = re.compile(r"^    (\w+) = list\(\w+\)$")


def compiled(text: str, native: bool = True) -> dict[str, Any]:
    """The functions of a source, in the form that runs fastest; with `native`, without Python inside the loops."""
    if not native or library() is None:
        return as_it_stands(tighten(text))
    loops: dict[str, NativeLoop] = {}
    text = _PRODUCT.sub(r"\1native_product(", _with_native_loops(text, loops))
    return as_it_stands(text, {**loops, "native_product": product})


def as_it_stands(text: str, names: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The functions of a source, which reads `names` besides."""
    functions = dict(names)
    exec(compile(text, "<derived BPTT>", "exec"), functions)
    return functions


def _with_native_loops(text: str, loops: dict[str, NativeLoop]) -> str:
    held = set(re.findall(r"\w+", " ".join(_HELD.findall(text))))
    sequence = re.findall(r"^def forward\((\w+)", text, re.M)[0]

    def around(body: list[str], backwards: bool, python: list[str], before: list[str]) -> list[str]:
        try:
            loop = NativeLoop(body, backwards, held, sequence)
        except Foreign:
            return python
        name = f"native_loop_{len(loops)}"
        loops[name] = loop
        made = []
        for i, line in enumerate(before):
            match = _LIST.match(line)
            if match and match[1] in loop.given:
                before[i] = line.replace("list(", "(")
                made.append(line)
        given = "".join(f"{n}, " for n in loop.given)
        return [
            f"    if T == 1 or not {name}.run(cache[-1], T, ({given}), locals()):",  # one step is too few to gain
            *(f"    {line}" for line in [*made, *python]),
        ]

    woven = tighten(text, around)
    if not loops:
        return woven
    woven = re.sub(r"^(    return of_forward.*)$", r"\1, {}", woven, flags=re.M)
    return re.sub(r" = cache$", " = cache[0]", woven, flags=re.M)


def how_loops_run(text: str) -> dict[str, str]:
    """For the loops of `forward` and `backward`: whether they run in C, and for which statement they do not."""
    if library() is None:
        return dict.fromkeys(("forward", "backward"), NOT_COMPILED)
    found: list[str] = []

    def around(body: list[str], backwards: bool, python: list[str], before: list[str]) -> list[str]:
        try:
            parse(body)
        except Foreign as error:
            found.append(f"runs in Python, for the sake of {error}")
        else:
            found.append("runs in C, statement by statement")
        return python

    tighten(text, around)
    return dict(zip(("forward", "backward"), found, strict=False))
