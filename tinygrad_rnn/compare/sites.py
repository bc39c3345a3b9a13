"""From a call to the line of the user's that computed what it passes on."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

from ..viz.sites import expressions, label, parsed, position, targets_of, tree_of
from .names import bare_name
from .sums import overwritten, starts_from_zeros


class Source(NamedTuple):
    """A place in a file, its text, the variables that the expression there reads, and the one that it makes.

    `summed` says that the variable starts from zeros, so that a sum is meant to be in it, `overwritten` that it
    starts from something that is not used; `called` is the line of
    the call, if the place is in a function that was called; `exact` that the value is known to be computed there, but
    for the lines `others` of branches, of which one may have run.
    """

    file: str
    line: int
    text: str
    reads: frozenset[str] = frozenset()
    variable: str = ""
    summed: bool = False
    overwritten: bool = False
    called: int = 0
    exact: bool = True
    others: tuple[int, ...] = ()

    @property
    def order(self) -> tuple[int, int]:
        """What comes earlier in the function that records it is smaller; then, in one that it calls."""
        return self.called or self.line, self.line


@functools.lru_cache(maxsize=64)
def _loops(tree: ast.Module) -> list[tuple[int, int]]:
    """First and last line of the `for` loops that count down."""
    loops = [(n, ast.unparse(n.iter)) for n in ast.walk(tree) if isinstance(n, ast.For)]
    down = [n for n, header in loops if "reversed(" in header or "::-1" in header or header.endswith(", -1)")]
    return [(n.lineno, n.end_lineno or 0) for n in down]


def runs_backwards(code: CodeType, offset: int) -> bool:
    """Whether an instruction stands in a `for` loop that counts down."""
    where = position(code, offset)
    return where is not None and any(first <= where[0] <= last for first, last in _loops(tree_of(code)))


# --- the line that computed a recorded quantity -----------------------------------------------------


def computed(frame: FrameType, quantity: str) -> Source:
    """Where the argument `quantity=…` of the call that `frame` is making was computed."""
    code = frame.f_code
    here = Source(
        code.co_filename,
        frame.f_lineno,
        linecache.getline(code.co_filename, frame.f_lineno).strip(),
        exact=False,
    )
    where = position(code, frame.f_lasti)
    call = expressions(tree_of(code)).get(where) if where else None
    if not isinstance(call, ast.Call):
        return here
    scope = _Scope(function_at(tree_of(code), frame.f_lineno), code.co_filename, frame)
    found: Any = None
    for keyword in call.keywords:
        if keyword.arg not in (quantity, None):
            continue
        value = keyword.value
        if keyword.arg is None:  # **grads
            value = ast.Subscript(value, ast.Constant(quantity), ast.Load())
        found = _origin(value, scope, frame.f_lineno, quantity, 0)
        source = placed(found, code.co_filename) if found else here
        here = source._replace(
            variable=label(value) or "",
            summed=starts_from_zeros(value, scope.body),
            overwritten=overwritten(value, scope.body, call),
        )
        if found:
            break
    return here


def placed(found: Any, file: str) -> Source:
    """A place that was found, as a `Source`, or as a statement or expression of a file."""
    return found if isinstance(found, Source) else source_of(found, file)


def source_of(node: Any, file: str) -> Source:
    """The place of a statement or expression, and what it reads."""
    value = getattr(node, "value", None)
    read = value if isinstance(node, ast.stmt) and value is not None else node
    names = frozenset(
        filter(None, (label(n) for n in ast.walk(read) if isinstance(n, (ast.Name, ast.Subscript))))
    )
    if isinstance(node, ast.AugAssign):
        names |= frozenset(filter(None, [label(node.target)]))
    return Source(file, node.lineno, linecache.getline(file, node.lineno).strip(), names)


def function_at(tree: ast.Module, line: int) -> ast.AST:
    """The innermost function around a line; the module outside functions."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    around = [n for n in ast.walk(tree) if isinstance(n, kinds) and n.lineno <= line <= (n.end_lineno or 0)]
    return max(around, key=lambda n: n.lineno, default=tree)


def computed_around(file: str, line: int) -> dict[str, list[int]]:
    """What the loop around a line computes (outside loops, the function): for every name its lines.

    Parts of other values, as in `a = cache[t]`, are not computed, but a gradient that is taken for another one is,
    `dtc = dh`. For a name without a leading `d` only arithmetic counts: values of the forward pass come from
    anywhere.
    """
    tree = parsed(file)
    function = function_at(tree, line)
    loops = [n for n in ast.walk(function) if isinstance(n, _LOOPS)]
    around = [n for n in loops if n.lineno <= line <= (n.end_lineno or 0)]
    scope = max(around, key=lambda n: n.lineno, default=function)
    found: dict[str, list[int]] = {}
    for node in ast.walk(scope) if scope is not tree else ():
        for target, made, _ in targets_of(node):
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                name = label(part) or ""
                gradient = bare_name(name)[1]
                kinds = (ast.BinOp, ast.Call) if gradient else ast.BinOp
                taken = gradient and isinstance(made, ast.Name) and bare_name(made.id)[1]
                if taken or any(isinstance(inside, kinds) for inside in _outside_of_indices(made)):
                    found.setdefault(name, []).append(part.lineno)
    return found


def _outside_of_indices(made: ast.AST) -> Iterator[ast.AST]:
    yield made
    for child in ast.iter_child_nodes(made):
        if not (isinstance(made, ast.Subscript) and child is made.slice):
            yield from _outside_of_indices(child)


_PLACES = (ast.Name, ast.Subscript, ast.Attribute)
_LOOPS = (ast.For, ast.While)


class _Scope(NamedTuple):
    """A function, or a module, in which a value is followed back; with its frame if it is running."""

    body: Any
    file: str
    frame: FrameType | None = None


def _origin(value: Any, scope: _Scope, line: int, quantity: str, depth: int) -> Any:
    """The statement (or a `Source` in another function) that made the value of an expression."""
    if not isinstance(value, _PLACES) or depth > 3:
        return value
    wanted = ast.unparse(value)
    found: list[tuple[Any, Any, int | None]] = []
    for node in ast.walk(scope.body):
        for target, made, _ in targets_of(node):
            parts = target.elts if isinstance(target, ast.Tuple) else [target]
            for i, part in enumerate(parts):
                if ast.unparse(part) == wanted:
                    found.append((node, made, i if isinstance(target, ast.Tuple) else None))
    if not found:
        return _from_container(value, scope, line, quantity, depth)
    (statement, made, index), others = _last_made(found, scope.body, line)
    place: Any = statement
    inside = called(made, index, quantity, scope.frame) if scope.frame is not None else None
    if inside is not None:
        place = inside
    elif isinstance(made, _PLACES) and index is None and label(made) == label(value):  # grads["dz"] = dz
        place = _origin(made, scope, statement.lineno, quantity, depth + 1) or statement
    if not others:
        return place
    place = placed(place, scope.file)
    return place._replace(others=tuple(dict.fromkeys((*place.others, *others))))


def _last_made(found: list[Any], scope: Any, line: int) -> tuple[Any, list[int]]:
    """Of what assigns a value, that which surely ran last before a line; and the lines of branches after it."""
    loops = [n for n in ast.walk(scope) if isinstance(n, _LOOPS) and n.lineno <= line <= (n.end_lineno or 0)]
    near = max(loops, key=lambda n: n.lineno, default=scope)
    before = [entry for entry in found if entry[0].lineno <= line] or found
    within = [entry for entry in before if near is scope or near.lineno <= entry[0].lineno]
    latest = sorted(within or before, key=lambda entry: -entry[0].lineno)
    for count in range(1, len(latest) + 1):
        lines = {entry[0].lineno for entry in latest[:count]}
        if _always(near.body, lines, line) or not within:
            return latest[count - 1], sorted(lines - {latest[count - 1][0].lineno})
    return latest[0], sorted({entry[0].lineno for entry in latest[1:]})


def _always(block: list[Any], lines: set[int], line: int) -> bool:
    """Whether one of the statements in some lines of a block runs, whatever the tests before a line give."""
    for statement in block:
        parts = [getattr(statement, part, []) for part in ("body", "orelse")]
        apart = isinstance(statement, ast.If) and not statement.lineno <= line <= (statement.end_lineno or 0)
        if any(parts):
            if (all if apart else any)(_always(part, lines, line) for part in parts):
                return True
        elif statement.lineno in lines:
            return True
    return False


def _from_container(value: Any, scope: _Scope, line: int, quantity: str, depth: int) -> Any:
    """`grads["dz"]`, where `grads` came from a call or a dict."""
    if not isinstance(value, ast.Subscript):
        return None
    key = value.slice
    name = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else quantity
    container = _origin(value.value, scope, line, name, depth + 1)
    made = container.value if isinstance(container, ast.Assign) else container
    if isinstance(made, (ast.Dict, ast.DictComp)) or (
        isinstance(made, ast.Call) and label(made.func) == "dict"
    ):
        found = _entry(made, name)
        return found and (_origin(found, scope, container.lineno, name, depth + 1) or found)
    return container


def _entry(made: Any, key: str) -> ast.expr | None:
    """What a dict that is written out holds under a key."""
    if isinstance(made, ast.Dict):
        pairs = zip(made.keys, made.values, strict=True)
        return next((v for k, v in pairs if isinstance(k, ast.Constant) and k.value == key), None)
    return next((k.value for k in getattr(made, "keywords", ()) if k.arg == key), None)


def called(call: Any, index: int | None, quantity: str, frame: FrameType) -> Source | None:
    """The line in a Python function that made a result of its call, or entry `index` of this; None if unknown."""
    function: Any = None
    if not isinstance(call, ast.Call):
        return None
    if isinstance(call.func, ast.Name):
        name = call.func.id
        function = frame.f_locals.get(name, frame.f_globals.get(name))
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        name = call.func.value.id
        owner = frame.f_locals.get(name, frame.f_globals.get(name))
        function = getattr(type(owner), call.func.attr, None) or getattr(owner, call.func.attr, None)
    found = _result(function, index, quantity) or (_only_value(function) if index is None else None)
    return None if found is None else found._replace(called=call.lineno)


def returned(function: Any, quantity: str) -> Source:
    """Where a Python function computes the entry `quantity` of the dict that it returns."""
    found = _result(function, None, quantity)
    code = getattr(function, "__code__", None)
    return found or (Source("", 0, "") if code is None else Source(code.co_filename, code.co_firstlineno, ""))


def _result(function: Any, index: int | None, quantity: str) -> Source | None:
    """The line in a Python function that made one of its results: of a tuple by index, of a dict by key."""
    scope = _definition(function)
    if scope is None:
        return None
    last = scope.body.end_lineno
    wanted: list[Any] = []
    for node in ast.walk(scope.body):
        if index is not None and isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            wanted += node.value.elts[index : index + 1]
        elif index is None and isinstance(node, ast.Dict):
            wanted += filter(None, [_entry(node, quantity)])
        elif index is None and isinstance(node, ast.keyword) and node.arg == quantity:
            wanted.append(node.value)
        elif index is None and isinstance(node, ast.Assign):
            labels = [label(t) for t in node.targets]
            other_name = isinstance(node.value, _PLACES) and label(node.value) == quantity  # grads["dz"] = dz
            wanted += [node.value if other_name else node] if quantity in labels else []
    if not wanted:
        return None
    made = max(wanted, key=lambda node: node.lineno)
    return placed(_origin(made, scope, last, quantity, 1) or made, scope.file)


def _definition(function: Any) -> _Scope | None:
    """The body of a Python function, if its source is known."""
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    body = function_at(tree_of(code), code.co_firstlineno + 1)
    known = isinstance(body, ast.FunctionDef) and body.name == code.co_name
    return _Scope(body, code.co_filename) if known else None


def _only_value(function: Any) -> Source | None:
    """What a function returns, if that is one expression and it is called in one place: then it serves that one."""
    scope = _definition(function)
    if scope is None:
        return None
    calls = [n for n in ast.walk(parsed(scope.file)) if isinstance(n, ast.Call)]
    values = [n.value for n in ast.walk(scope.body) if isinstance(n, ast.Return) and n.value is not None]
    if len(values) != 1 or [label(call.func) for call in calls].count(scope.body.name) != 1:
        return None
    value = values[0]
    return placed(_origin(value, scope, value.lineno, label(value) or "", 1) or value, scope.file)
