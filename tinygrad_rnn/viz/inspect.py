"""`inspect_graph`: a recorded computation as one HTML page that can be walked through."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from functools import reduce
from typing import Any

import numpy as np

from ..config import enable_grad
from ..core.autodiff import grad, leaf_gradients
from ..core.op import Array
from ..core.tensor import Tensor
from ..core.trace import trace
from ..ops import sparse_categorical_crossentropy
from .columns import Graph
from .diff import compare as difference
from .draw import inputs_of
from .findings import findings
from .graph import snapshot, tensors_of
from .merge import merge
from .nodes import Reader
from .page import Comparison, Record, default_title, write
from .report import Report
from .template import MOST, picture, plain
from .views import folded
from .visits import overwritten

MOST_VISITS = 200_000  # nodes that are visited to find out what the outputs depend on
VALUES = ("summary", "full", "none")
THEMES = ("auto", "light", "dark")


def inspect_graph(
    target: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    inputs: Any = None,
    text: str | Iterable[str] | None = None,
    values: str = "summary",
    max_bytes: int = 25_000_000,
    compare: Any = None,
    title: str | None = None,
    theme: str = "auto",
) -> Report:
    """Write what was recorded as one page: folded, unrolled, by layers, over time, and backwards step by step.

    `target` is a Tensor, several (list, tuple, dict), a `Graph`, or a layer or model, which is called on
    `inputs`. What was recorded inside `tg.trace()` shows its values and the lines of code that made it. If the
    target is a scalar and no backward pass was recorded, or another loss has replaced what it left on shared
    tensors, one is run for the page; `.grad` is left alone.

    `text` is the text whose characters are the time steps. A character model without `inputs` is called on
    it, and the target becomes the mean cross-entropy of each next character. `values`: "summary" (statistics
    and histograms; small arrays in full while they take less than 0.4 MB), "full" (every array of up to 256
    elements, the corners of larger ones) or "none". Above `max_bytes`, first arrays in full, then histograms
    are left out, and the note says so. `compare` is an older target to compare with, or a `GradReport`, whose rows
    and first divergence the page then shows. `theme`: "auto", "light", "dark".

    Raises `TypeError` for what is no tensor; `ValueError` for an unknown option, a freed graph, an unbuilt
    model without inputs, or a text of another length than the sequence; `FileNotFoundError` for a missing folder.

    >>> from tinygrad_rnn import tensor
    >>> with trace():
    ...     x = tensor([1.0, 2.0], requires_grad=True, name="x")
    ...     loss = (x * x).sum()
    ...     loss.backward(retain_graph=True)
    >>> inspect_graph(loss).note
    '3 nodes, 3 after folding'
    """
    for name, value, known in (("values", values, VALUES), ("theme", theme, THEMES)):
        if value not in known:
            near = get_close_matches(str(value), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"inspect_graph: {name}={value!r} is unknown; expected {', '.join(known)}{hint}")
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
        raise ValueError(f"inspect_graph: max_bytes must be a positive integer, received {max_bytes!r}")
    if path is not None and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise FileNotFoundError(f"inspect_graph: there is no folder {os.path.dirname(path)!r}; make it first")
    record = _record(target, inputs, text)
    if hasattr(compare, "first_divergence"):  # a report stands on a higher floor
        lines, errors = findings(compare, record.graph)
        record.compare = Comparison(str(compare.title), lines, errors=errors)
    elif compare is not None:
        other = compare if isinstance(compare, Graph) else _record(compare, inputs, None).graph
        record.compare = _compared(record.graph, other)
    page, note = write(record, values, max_bytes, title or default_title(record.graph), theme)
    report = Report(page, note)
    if path is not None:
        report.save(path)
    return report


def _compared(graph: Graph, old: Graph) -> Comparison:
    """The folded picture with what is new, changed and gone, and the same as text."""
    fold = graph.fold()
    found = difference(old.fold(), fold)
    parts = (("added", found.added), ("removed", found.removed), ("changed", found.changed))
    lines: list[list[Any]] = [[kind, words, -1] for kind, part in parts for words in part.values()]
    heading = f"{len(lines)} differences" if lines else "No difference"
    if len(fold) > MOST:
        return Comparison(heading, lines)
    scene = folded(graph, fold, plain(graph))
    merge(scene, graph, folded(old, old.fold(), plain(old)), old)
    return Comparison(heading, lines, picture(scene, fold) if len(scene.boxes) <= MOST else None)


def _record(target: Any, inputs: Any, text: Any) -> Record:
    """Run what is to be run, and note what became of it."""
    weights: Any = ()
    letters = None if text is None else list(text)
    if isinstance(target, Graph):
        return _noted(target, letters, [])
    notes: list[str] = []
    logits = None
    if callable(target) and (hasattr(target, "weights") or hasattr(target, "variables")):
        with enable_grad(), trace():
            if inputs is None and letters is not None:
                weights = target.weights
                logits, target = _next_characters(target, letters)
                letters.pop()  # only a target
            else:
                model, target = target, target(inputs_of(target, inputs))
                weights = getattr(model, "weights", None) or getattr(model, "variables", ())
    elif inputs is not None:
        kind = type(target).__name__
        raise TypeError(f"inspect_graph: inputs are for a layer or model; the target is a {kind}")
    graph = snapshot(target, None, weights, values=True)
    if (not graph.order.any() or overwritten(graph)) and _differentiate(target):
        graph = snapshot(target, None, weights, values=True)
        notes.append("the backward pass was run for this page")
    record = _noted(graph, letters, notes)
    if logits is not None:
        record.influence = _influence(logits)
        if record.influence is None:
            record.notes.append("the text is too long for the influence of each character on each output")
    return record


def _influence(logits: Tensor) -> Array | None:
    """How much the largest logit of step t depends on the embedding of character k: |∂y_t/∂x_k| (T, T)."""
    nodes = Reader([logits._node] if logits._node else []).nodes
    steps = logits.shape[1]
    found = [node for node in nodes if node.op.name == "take" and node.shape[:2] == (1, steps)]
    if not found or steps * len(nodes) > MOST_VISITS:
        return None
    x, result = Tensor(found[0].trace.value, found[0]), np.zeros((steps, steps), np.float32)
    for t, best in enumerate(np.argmax(logits.numpy()[0], axis=-1)):
        seed = np.zeros(logits.shape, logits.dtype)
        seed[0, t, best] = 1
        result[t] = np.linalg.norm(grad(logits, x, grad_outputs=seed, retain_graph=True).numpy()[0], axis=-1)
    return result


def _differentiate(target: Any) -> bool:
    """Run a recorded backward pass from scalars; whether there was one to run."""
    losses = [tensor for tensor, _ in tensors_of(target)]
    if any(y.size != 1 or y._node is None or y.dtype.kind != "f" for y in losses):
        return False
    with enable_grad(), trace():
        leaf_gradients(reduce(lambda a, b: a.reshape(()) + b.reshape(()), losses), None, True)
    return True


def _next_characters(model: Any, letters: list[str]) -> tuple[Tensor, Tensor]:
    """The logits of each next character, and their mean cross-entropy."""
    vocabulary = getattr(model, "extra", {}).get("vocabulary")
    if vocabulary is None:
        raise ValueError(
            f"inspect_graph: {getattr(model, 'name', 'the target')!r} holds no vocabulary, so text alone does "
            "not say what its inputs are; give inputs as well"
        )
    place = {chr(point): i for i, point in enumerate(vocabulary)}  # as `datasets.Vocabulary` is saved
    if len(letters) < 2:
        raise ValueError(f"inspect_graph: text needs at least two characters, received {len(letters)}")
    unknown = [c for c in letters if c not in place]
    if unknown:
        raise ValueError(f"inspect_graph: the model does not know the character {unknown[0]!r} of the text")
    ids = np.array([[place[c] for c in letters]])
    logits = model(ids[:, :-1])
    return logits, sparse_categorical_crossentropy(ids[:, 1:], logits, from_logits=True).mean()


def _noted(graph: Graph, letters: list[str] | None, notes: list[str]) -> Record:
    """Values and gradients in full, where they were kept, and a label per time step."""
    if letters is not None and len(letters) != graph.steps:
        raise ValueError(
            f"inspect_graph: text has {len(letters)} characters, but the graph has T = {graph.steps} time steps"
        )
    values = [getattr(kept, "value", None) for kept in graph.trace]
    grads = [getattr(kept, "grad", None) for kept in graph.trace]
    for i, several in enumerate(grads):
        if isinstance(several, list):  # what was not used of several outputs has no gradient
            pairs = zip(several, graph.shape[i], strict=True)
            grads[i] = [np.zeros(shape, graph.dtype[i]) if g is None else g for g, shape in pairs]
    if all(value is None for value in values):
        notes = [*notes, "values only as norms: record inside tg.trace() to see them"]
    return Record(graph, values, grads, letters, notes=notes)
