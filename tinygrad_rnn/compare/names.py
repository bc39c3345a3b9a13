"""Which hand-written gradient belongs to which parameter: `dWaa`, `grads["Waa"]` and `rnn/Waa` are one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_WRAPPERS = ("grad", "grads", "gradient", "gradients", "params", "parameters", "weights")
_GRADIENT = re.compile(r"^(?:grad_|d_|∂|d)(?=.)|_grad$")


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with keys joined by "/".

    >>> flatten({"rnn": {"dWaa": 1}, "dby": 2})
    {'rnn/dWaa': 1, 'dby': 2}
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        found.update(flatten(value, path + "/") if isinstance(value, Mapping) else {path: value})
    return found


def _parts(name: str, strip: bool, fold: bool) -> tuple[str, ...]:
    """The parts of a path, without wrappers such as `grads`; the last without its sign of a gradient."""
    parts = [p for p in re.split(r"[/.\[\]\"' ]+", name.lower() if fold else name) if p]
    parts = [p for p in parts[:-1] if p.lower() not in _WRAPPERS] + parts[-1:]
    if strip and parts:
        parts[-1] = _GRADIENT.sub("", parts[-1])
    return tuple(parts)


def match(name: str, known: Iterable[str]) -> list[str]:
    """The names in `known` that `name` may mean: none, the one, or several if it is ambiguous.

    Tried in this order: the same name; the same after a leading `d` (or `grad_`, `d_`) is dropped; the same
    regardless of case. Each time a path may be given by its last parts only.

    >>> match("dWaa", ["rnn/Waa", "rnn/Wax"]), match('grads["kernel"]', ["lstm/kernel", "dense/kernel"])
    (['rnn/Waa'], ['lstm/kernel', 'dense/kernel'])
    """
    known = list(known)
    for strip, fold in ((False, False), (True, False), (True, True)):
        wanted = _parts(name, strip, fold)
        paths = {k: _parts(k, strip, fold) for k in known}
        found = [k for k, path in paths.items() if path == wanted]
        found = found or [k for k, path in paths.items() if _ends(path, wanted) or _ends(wanted, path)]
        if found:
            return found
    return []


def _ends(long: tuple[str, ...], short: tuple[str, ...]) -> bool:
    return 0 < len(short) <= len(long) and long[-len(short) :] == short


def bare_name(name: str) -> tuple[str, bool]:
    """A name without its sign of a gradient, and whether it had one.

    >>> bare_name("dz"), bare_name("grad_W"), bare_name("h")
    (('z', True), ('W', True), ('h', False))
    """
    bare = _GRADIENT.sub("", name)
    return bare, bare != name


def spellings(name: str) -> tuple[str, str, str]:
    """A name as it is, without regard to case and underscores, and without a final t.

    >>> spellings("y_hat_t")
    ('y_hat_t', 'yhatt', 'yhat')
    """
    last = name.replace(".", "/").split("/")[-1]
    plain = last.replace("_", "").lower()
    return last, plain, plain[:-1] if plain.endswith("t") and len(plain) > 1 else plain
