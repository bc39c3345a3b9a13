"""Code that is defined again and again, as in a notebook: the new code counts, and the old code is let go."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from bptt.steps import inputs

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops

GOOD = "return ops.tanh(x)"
BAD = "return x if float(ops.sum(x)) < 1e9 else -x"
STEP = """
def step(x, states, constants):
    h = {call}(x + 0.5 * states[0])
    return h, [h]
"""
CELL = """
class Cell(layers.Layer):
    state_size = 3

    def __init__(self):
        super().__init__(name="cell")
        {init}

    def call(self, x, states):
        h = {call}(x + 0.5 * states[0])
        return h, [h]
"""


class Notebook:
    """Cells that are run one after the other."""

    def __init__(self) -> None:
        self.count = 0
        self.module = ModuleType("mine")
        self.names: dict[str, Any] = vars(self.module) | {
            "__name__": "__main__",
            "layers": layers,
            "ops": ops,
        }

    def run(self, source: str, names: dict[str, Any] | None = None) -> None:
        self.count += 1
        exec(compile(source, f"<ipython-input-{self.count}>", "exec"), self.names if names is None else names)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    yield Notebook()


def act(body: str, name: str = "act", first: str = "") -> str:
    return f"def {name}({first}x):\n    {body}\n"


def reason(step: Any) -> str:
    """Why a step or layer is not derived: what a user is told; nothing if it is."""
    x, h = inputs()[:, :, :3], np.zeros((len(inputs()), 3))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        for _ in range(3):
            step(x) if isinstance(step, layers.Layer) else tg.scan(step, x, [h], derive=True)
    try:
        step.bptt_source() if isinstance(step, layers.Layer) else tg.bptt_source(step, x[:, 0], [h])
    except ValueError as error:
        return str(error)
    return ""


def of_function(notebook: Notebook) -> Callable[[str], Any]:
    notebook.run(STEP.format(call="act"))

    def define(body: str) -> Any:
        notebook.run(act(body))
        return notebook.names["step"]

    return define


def of_function_in_function(notebook: Notebook) -> Callable[[str], Any]:
    notebook.run(act("return inner(x)") + STEP.format(call="act"))

    def define(body: str) -> Any:
        notebook.run(act(body, "inner"))
        return notebook.names["step"]

    return define


def of_module(notebook: Notebook) -> Callable[[str], Any]:
    notebook.names["mine"] = notebook.module
    vars(notebook.module)["ops"] = ops
    notebook.run(STEP.format(call="mine.act"))

    def define(body: str) -> Any:
        notebook.run(act(body), vars(notebook.module))
        return notebook.names["step"]

    return define


def of_helper(notebook: Notebook) -> Callable[[str], Any]:
    """A method is put on the class of what the cell holds."""
    notebook.run(
        "class Helper:\n    pass\n" + CELL.format(init="self.helper = Helper()", call="self.helper.act")
    )
    layer = layers.RNN(notebook.names["Cell"](), name="rnn")

    def define(body: str) -> Any:
        notebook.run(act(body, first="self, ") + "Helper.act = act")
        return layer

    return define


def of_code(notebook: Notebook) -> Callable[[str], Any]:
    """A reload puts new code into the method of a cell."""
    notebook.run(
        CELL.format(init="pass", call="self.act") + act("return x", first="self, ") + "Cell.act = act"
    )
    layer = layers.RNN(notebook.names["Cell"](), name="rnn")

    def define(body: str) -> Any:
        notebook.run(act(body, "new", "self, ") + "Cell.act.__code__ = new.__code__")
        return layer

    return define


@pytest.mark.parametrize("kind", [of_function, of_function_in_function, of_module, of_helper, of_code])
def test_what_was_mended_is_derived_and_what_was_broken_is_named_where_it_stands(
    notebook: Notebook, kind: Callable[[Notebook], Callable[[str], Any]]
) -> None:
    define = kind(notebook)
    with tg.derived():
        for _ in range(2):
            assert f"<ipython-input-{notebook.count + 1}>:2 in " in reason(define(BAD))
            assert reason(define(GOOD)) == ""


def test_a_step_that_is_defined_anew_for_each_call_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    plain = tg.bptt.examine.Surroundings
    monkeypatch.setattr(tg.bptt.examine, "Surroundings", lambda *a: (looked.append(None), plain(*a))[1])
    x, names = inputs()[:, :, :3], {"ops": ops, "__name__": "__main__"}
    for _ in range(5):
        exec(act(BAD) + STEP.format(call="act"), names)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            tg.scan(names["step"], x, [np.zeros((len(x), 3))], derive=True)
    assert len(looked) == 1


@pytest.mark.parametrize("body", [GOOD, BAD])
def test_classes_that_are_defined_again_are_let_go(notebook: Notebook, body: str) -> None:
    found = []
    for _ in range(4):
        notebook.run(CELL.format(init="pass", call="act") + act(body))
        model = tg.Sequential([layers.RNN(notebook.names["Cell"]()), layers.Dense(1)])
        model.compile("sgd", "mse")
        x = inputs()[:, :, :3].astype("float32")
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            for _ in range(3):
                model.train_on_batch(x, x[:, 0, :1])
        found += [weakref.ref(notebook.names["Cell"]), weakref.ref(model)]
    del model, notebook.names["Cell"]
    gc.collect()
    assert [one() for one in found] == [None] * len(found)


def test_layers_of_classes_that_are_defined_again_are_let_go() -> None:
    def defined() -> Any:
        class Twice(layers.Layer):
            def call(self, x: Any) -> Any:
                return 2 * x

        assert Twice()(np.ones((1, 2))).tolist() == [[2.0, 2.0]]
        return weakref.ref(Twice), weakref.ref(Twice.call)

    found = [one for _ in range(3) for one in defined()]
    gc.collect()
    assert [one() for one in found] == [None] * 6
