"""Imports go down the floors of the package, without cycles; importing it loads NumPy and nothing else."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tinygrad_rnn

ROOT = Path(tinygrad_rnn.__file__).parent
PACKAGE = "tinygrad_rnn"

# From the ground up. A module sees its own floor and those below it; the longest name that fits counts.
FLOORS = [
    "absent around blas config denormals files locks native warn",
    "container manual utils.custom_objects utils.registry",
    "core",
    "ops",
    "bptt.step bptt.recorded",
    "bptt.native",
    "bptt.passes bptt.outside",
    "bptt.writing",
    "bptt",
    "viz",
    "initializers activations regularizers constraints losses metrics optimizers schedules",
    "layers",
    "callbacks models saving datasets utils preprocessing backend",
    "compare",
    "__main__ demo",
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names.split()}


def floor(module: str) -> int:
    parts = module.split(".")
    found = [name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in FLOOR]
    assert found, f"give {module!r} a place in FLOORS"
    return FLOOR[found[0]]


FILES = sorted(ROOT.rglob("*.py"))
MODULES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__").removesuffix("__init__"): p
    for p in FILES
}


class Import(NamedTuple):
    """One import of a module of this package (`target` without the package's name), or of another."""

    target: str
    internal: bool
    function: str | None  # where it stands; None at the top of the file
    line: int


def imports(name: str) -> Iterator[Import]:
    """Every import statement of a module, resolved to absolute names."""
    path = MODULES[name]
    here = name.split(".") if name else []
    package = here if path.name == "__init__.py" else here[:-1]

    def resolve(module: str, level: int, part: str) -> tuple[str, bool]:
        if level:
            base = package[: len(package) - (level - 1)] + (module.split(".") if module else [])
        elif module.split(".")[0] == PACKAGE:
            base = module.split(".")[1:]
        else:
            return module, False
        deeper = ".".join([*base, part])
        return (deeper if deeper in MODULES else ".".join(base)), True

    def walk(node: ast.AST, function: str | None) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ImportFrom):
                for alias in child.names:
                    yield Import(
                        *resolve(child.module or "", child.level, alias.name), function, child.lineno
                    )
            elif isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(*resolve(alias.name, 0, ""), function, child.lineno)
            elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                continue  # never runs
            else:
                inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
                yield from walk(child, inner)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), None)


def relative(name: str) -> str:
    return MODULES[name].relative_to(ROOT).as_posix()


inside = pytest.mark.parametrize("name", sorted(n for n in MODULES if n), ids=relative)


def test_the_reader_of_imports_sees_them() -> None:
    assert Import("core.op", True, None, 0) in {i._replace(line=0) for i in imports("core.tensor")}
    assert Import("numpy", False, None, 0) in {i._replace(line=0) for i in imports("core.tensor")}
    assert {i.target for i in imports("")} >= {"config", "ops", "core.tensor"}


@inside
def test_every_module_has_a_floor_and_imports_go_down(name: str) -> None:
    for found in imports(name):
        if found.internal:
            place = f"{relative(name)}:{found.line}"
            target = found.target or "__main__"  # the package itself stands above all others
            assert floor(target) <= floor(name), f"{place} reaches up to {found.target or PACKAGE}"


@inside
def test_inside_functions_only_foreign_packages_are_imported(name: str) -> None:
    wrong = [
        f"{relative(name)}:{i.line} imports {i.target} inside {i.function}"
        for i in imports(name)
        if i.function and i.internal
    ]
    assert not wrong


@inside
def test_only_numpy_and_the_standard_library_at_the_top(name: str) -> None:
    foreign = {i.target.split(".")[0] for i in imports(name) if not i.internal and i.function is None}
    assert foreign <= {"numpy"} | set(sys.stdlib_module_names)


def test_hand_derivations_share_no_code_with_the_engine() -> None:
    seen = {
        i.target.split(".")[0]
        for name in MODULES
        if name.startswith("manual")
        for i in imports(name)
        if i.internal
    }
    assert seen <= {"manual"}


def test_there_are_no_cycles() -> None:
    """At the top of files, module by module: peel off those that import nothing that is left."""
    left = {
        name: {i.target for i in imports(name) if i.internal and i.function is None} - {name}
        for name in MODULES
    }
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"modules in cycles, or above them: {sorted(left)}"


def test_importing_loads_numpy_and_nothing_else() -> None:
    def loaded(statement: str) -> set[str]:
        code = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
        )
        return set(run.stdout.split())

    extra = loaded(f"import {PACKAGE}") - loaded("import numpy.random") - set(sys.stdlib_module_names)
    assert extra == {PACKAGE}


@pytest.mark.parametrize("path", sorted((ROOT.parent / "benchmarks").glob("*.py")), ids=lambda p: p.name)
def test_what_benchmarks_import_is_there(path: Path) -> None:
    """They are run by hand, and seldom."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            module = importlib.import_module(node.module or "")
            missing = [a.name for a in node.names if not hasattr(module, a.name)]
            assert not missing, f"{path.name}:{node.lineno}: {node.module} has no {', '.join(missing)}"
