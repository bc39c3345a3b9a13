"""The source for readers: with the user's names, for any batch size if that can be, and tried out before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from .build import Built, build
from .known import Recurrence
from .outside.purity import Surroundings
from .scan import unrolled
from .step.body import Body, Underivable
from .step.tracer import trace
from .trial import try_out
from .writing.native import as_it_stands

SIZES = 8  # of batches, for which a source is written to see where the batch size stands
SMALLER = 0.25  # times the values that were given
LARGE = 33  # examples of a batch, for which it is tried out as well


def written(
    step: Any,
    inputs: Any,
    constants: Any,
    several_in: bool,
    weights: Sequence[Tensor] = (),
    tried: bool = True,
) -> str:
    """The source, whose functions gave what the recorded steps give; not `tried`, that for this batch size.

    `weights` are the first of its arguments behind inputs and states, all of them in this order.
    """
    surroundings = Surroundings(step, constants)
    try:
        writing = _Writing(step, inputs, constants, several_in, weights)
        return writing.text() if tried else writing.of_this()
    finally:
        surroundings.undo()


class _Writing:
    def __init__(
        self, step: Any, inputs: Any, constants: Any, several_in: bool, weights: Sequence[Tensor]
    ) -> None:
        self.step, self.inputs, self.constants, self.several_in = step, inputs, constants, several_in
        self.weights = weights
        self.batch = inputs[0][0][0].shape[0]

    def of_this(self) -> str:
        """For the batch size that was given, not tried out."""
        return self._built(self.batch)[0].text

    def text(self) -> str:
        """For any batch size, or with the size for which alone it holds."""
        of_this = self.of_this()
        try:
            self._try_out(of_this, self.batch)
        except Underivable:
            raise
        except Exception as error:
            raise Underivable(f"deriving it failed ({type(error).__name__}: {error})") from error
        general = self._general(of_this)
        if general and all(self._holds(general, n) for n in (1, 2 * self.batch + 1, LARGE)):
            return general
        return _of_batch(of_this, self.batch)

    def _built(self, size: int) -> tuple[Built, Any, list[Any], Any]:
        """The source for a batch size, with inputs, constants of the step, and the constants that were given."""
        (xs, states), given = _enlarged(self.inputs, self.constants, size - self.batch)
        tracer = trace(self.step, xs, states, given, self.several_in, naming=True)
        again = trace(self.step, xs, states, given, self.several_in)
        for w in self.weights:  # also those that the step does not use, so that all can be given
            tracer.lookup(w)
            again.lookup(w)
        self._find_outside(tracer.body, again.body)
        tracer.body.sort_constants(self.weights)
        bound = list(tracer.body.bound)
        return build(tracer, True), [xs, states], bound, given

    @staticmethod
    def _find_outside(body: Body, again: Body) -> None:
        """The constants that are the same arrays when the step runs again: it makes the others itself."""
        pairs = zip(body.constants, body.bound, again.bound, strict=True)
        body.outside = {c for c, a, b in pairs if getattr(a, "_data", a) is getattr(b, "_data", b)}

    def _general(self, text: str) -> str:
        """The text with `N` for the batch size; "" if two sizes do not tell where it stands."""
        texts, over_a_limit = {self.batch: text}, ""
        try:
            for size in range(self.batch + 1, self.batch + SIZES):  # one may be as large as something else
                other = self._built(size)[0].text
                for smaller, known in texts.items():
                    if (general := _with_batch(known, other, smaller, size)) != known:
                        if _same_but_for_numbers(known, text):
                            return general
                        over_a_limit = over_a_limit or general
                texts[size] = other
        except Exception:  # whatever a step says to a larger batch: its source holds for this batch size only
            pass
        return over_a_limit

    def _holds(self, text: str, size: int) -> bool:
        try:
            self._try_out(text, size)
        except Exception:  # what it says, too
            return False
        return True

    def _try_out(self, text: str, size: int) -> None:
        """Run a source on a batch of this size; raises `Underivable` if it gives something else than the steps.

        If it does, on smaller values, too: an example may saturate a gate, whose slope has no digits then.
        """
        built, inputs, bound, given = self._built(size)

        def again(xs: list[Tensor], states: list[Tensor]) -> Any:
            return unrolled(Recurrence(self.step, xs, states, given, self.several_in))

        run = partial(try_out, replace(built, text=text), as_it_stands(text), inputs, bound, again)
        try:
            run()
        except Underivable:
            run(SMALLER)


def _enlarged(inputs: Any, constants: Any, more: int) -> Any:
    """Inputs with more examples in the batch, or fewer."""
    batch = inputs[0][0][0].shape[0]

    def grow(a: Any) -> Any:
        if isinstance(a, (list, tuple)):
            return type(a)([grow(v) for v in a])
        if isinstance(a, dict):
            return {k: grow(v) for k, v in a.items()}
        data = a._data if isinstance(a, Tensor) else a
        if not isinstance(data, np.ndarray) or data.ndim == 0 or data.shape[0] != batch:
            return a
        data = np.concatenate([data[: batch + more], *[data[:1]] * more])
        return Tensor(data, a._node) if isinstance(a, Tensor) else data

    return [[(grow(a), w) for a, w in group] for group in inputs], grow(constants)


def _of_batch(text: str, batch: int) -> str:
    """A source that holds for one batch size says so, and refuses others."""
    first = '"""Back-propagation through time, derived from a traced step.'
    examples = f"batches of {batch}"
    text = text.replace(
        first, f"{first}\n\nFor {examples} alone: what the step does depends on the batch.", 1
    )
    check = f'    if len(\\1) != {batch}:\n        raise ValueError("this source is for {examples}")\n'
    return re.sub(r"    T = (X\w*)\.shape\[1\]\n", rf"\g<0>{check}", text, count=1)


_INTEGER = re.compile(r"(?<![\w.])(\d+)(?![\w.])")


def _same_but_for_numbers(text: str, other: str) -> bool:
    return _INTEGER.split(text)[::2] == _INTEGER.split(other)[::2]


def _with_batch(text: str, other: str, batch: int, larger: int) -> str:
    """Write `N` for every number that follows the batch size; two sources for two sizes tell which."""
    if not _same_but_for_numbers(text, other):
        return text
    a, b = _INTEGER.split(text), _INTEGER.split(other)
    for i in range(1, len(a), 2):
        if a[i] == b[i]:
            continue
        times = int(a[i]) // batch
        if times == 0 or (int(a[i]), int(b[i])) != (times * batch, times * larger):
            return text
        a[i] = "N" if times == 1 else f"{times} * N"
    joined = "".join(a)
    if "N" not in a:
        return text
    joined = re.sub(r"    T, dtype = (X\w*)\.shape\[1\], ", r"    N, T, dtype = *\1.shape[:2], ", joined)
    return re.sub(r"    T = (X\w*)\.shape\[1\]\n", r"    N, T = \1.shape[:2]\n", joined)
