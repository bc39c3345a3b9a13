"""The source as it is compiled: the same statements in the same order, in the forms that Python runs fastest.

Inside the loops `out=` becomes a positional argument, `dot(a, b, out=c)` the method `a.dot(b, c)`, and the lists of
steps are walked in step instead of being indexed; views of what is not of one step are made before. It is worth a
quarter of the time of a small recurrence.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Around = Callable[[list[str], bool, list[str], list[str]], list[str]]

_LOOPS = {"    for t in range(T):": False, "    for t in range(T - 1, -1, -1):": True}
_AT = re.compile(r"\b(\w+)\[t( \+ 1)?\]")
_VIEW = re.compile(  # an index without a slice may be that of a number, a reshape may copy
    r"(?<![\w.])([a-zA-Z_]\w*)((?:\.T\b|\[[-\d:, .]*(?::|\.\.\.)[-\d:, .]*\])+)(?! \+?=)"
)
_OUT = re.compile(
    r"^((?!maximum|minimum)[a-z]\w*\(|np\.matmul\()(.*), out=([^=]+)\)$"
)  # these two want a keyword
_DOT = re.compile(r"^dot\((\w+), ([\w.()]+), out=(\w+)\)$")


def tighten(text: str, around: Around | None = None) -> str:
    """Rewrite the loops of a module that `source` wrote; `around` may change each, and the lines before it."""
    made: list[str] = []
    lines = iter([*text.split("\n"), ""])
    line = next(lines)
    for following in lines:
        if line not in _LOOPS:
            made.append(line)
            line = following
            continue
        body: list[str] = []
        backwards = _LOOPS[line]
        while following.startswith("        "):
            body.append(following[8:].partition("  #")[0].rstrip())
            following = next(lines)
        loop = _loop(body, backwards)
        made += loop if around is None else around(body, backwards, loop, made)
        line = following
    return "\n".join(made)


def _loop(body: list[str], backwards: bool) -> list[str]:
    used: dict[str, str] = {}  # the name of a step -> the list that it comes from, cut
    views: dict[str, str] = {}  # what makes a view -> its name

    def local(match: re.Match[str]) -> str:
        name, later = match[1], bool(match[2])
        step = f"{name}_at" + ("_next" if later else "")
        if backwards:
            used[step] = f"{name}[T:0:-1]" if later else f"{name}[T - 1 :: -1]"
        else:
            used[step] = f"{name}[1 : T + 1]" if later else f"{name}[:T]"
        return step

    def view(match: re.Match[str]) -> str:
        return match[0] if match[1] in used else views.setdefault(match[0], f"view_{len(views)}")

    statements = [_AT.sub(local, statement) for statement in body]
    statements = [_VIEW.sub(view, statement) for statement in statements]
    statements = [_DOT.sub(r"\1.dot(\2, \3)", s) for s in statements]
    statements = [_OUT.sub(r"\1\2, \3)", s) for s in statements]
    made = [f"    {name} = {view}" for view, name in views.items()]
    names = f"{', '.join(used)}," if len(used) == 1 else ", ".join(used)
    made.append(f"    for {names} in zip({', '.join(used.values())}):" if used else "    for _ in range(T):")
    return made + [f"        {s}" for s in statements]
