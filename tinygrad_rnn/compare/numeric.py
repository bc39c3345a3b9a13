"""Numerical derivatives along lines, each with an error bar: differences, Richardson, complex step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..core.op import Array
from ..core.tensor import Tensor
from .parameters import ROUNDS, Carried, Probe, ancestors, distance, jitter, require_same

TINY = 1e-30  # the complex step: no difference is taken, so nothing cancels
CLOSER = 0.01  # a suspicious place is looked at again with a step this much smaller
CONCLUSIVE = 0.01  # an error bar above this share of the gradient decides nothing
NOISE = 8.0  # rounding errors of the four losses of an estimate, in units of one of them
FLOORS = 10.0  # how many noise floors apart two right gradients may be


class Sides(NamedTuple):
    """Difference quotients of a function along a line, with step h and h/2, to the right and to the left."""

    right: float
    left: float
    near_right: float
    near_left: float

    @property
    def central(self) -> float:
        """`c(h)`."""
        return (self.right + self.left) / 2

    @property
    def near(self) -> float:
        """`c(h/2)`."""
        return (self.near_right + self.near_left) / 2


class Method(NamedTuple):
    """Step (a power of the rounding unit), estimate, and a bound of its truncation error."""

    power: float
    value: Callable[[Sides], float]
    truncation: Callable[[Sides], float]


def _central_error(s: Sides) -> float:
    return 4 / 3 * abs(s.central - s.near)


DIFFERENCES = {
    "richardson": Method(1 / 4, lambda s: (4 * s.near - s.central) / 3, _central_error),
    "central": Method(1 / 3, lambda s: s.near, _central_error),
    "forward": Method(1 / 2, lambda s: s.near_right, lambda s: 2 * abs(s.right - s.near_right)),
}
METHODS = ("auto", "complex", *DIFFERENCES)


@dataclass(frozen=True)
class Estimate:
    """A numerical derivative along a line, its error bar, and what the two sides say about a kink."""

    value: float
    bar: float
    low: float = 0.0  # smallest and largest one-sided quotient
    high: float = 0.0
    jump: float = 0.0  # of the derivative, extrapolated to step 0: none for a smooth function

    def verdict(self, slope: float, scale: float, rtol: float) -> str:
        """Judge a derivative `slope`: ok, bad or inconclusive; `scale` is that of the whole gradient."""
        gap, size = abs(self.value - slope), max(abs(self.value), abs(slope))
        conclusive = self.bar <= CONCLUSIVE * max(size, scale)
        if gap <= max(self.bar, rtol * size):
            return "ok" if conclusive else "inconclusive"
        return "bad" if conclusive or gap > 10 * self.bar else "inconclusive"


class Trial:
    """A loss around its parameters, in float64; to be used inside `untouched` and `switched(wide=True)`.

    Raises `ValueError` for a loss that is not finite or not deterministic.
    """

    def __init__(
        self,
        f: Callable[[], Any],
        tensors: Mapping[str, Tensor],
        carried: Carried | None = None,
        method: str = "auto",
        step: Any = "auto",
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
        if step != "auto" and not (isinstance(step, (int, float)) and step > 0):
            raise ValueError(f"eps: expected 'auto' or a positive number, got {step!r}")
        self.base = {name: t._data.astype(np.float64) for name, t in tensors.items()}
        self.probe = Probe(f, tensors, carried)
        self.notes: list[str] = []
        self.subject = "the loss"
        recorded = self.probe.record(self.base)
        self.eps, analytic = _examine(recorded, list(tensors.values()))
        if self.eps > np.finfo(np.float64).eps:
            self.notes.append("the loss is computed in less than float64 in places: wide error bars")
        self.method = method if method != "auto" else "complex" if analytic else "richardson"
        self.step = step
        self.value = self._deterministic_value()
        self.gradients: dict[str, Array | None] = {}
        self.floors = dict.fromkeys(self.base, 0.0)
        self.loss_noise = self.eps * abs(self.value)
        self.peak = 0.0  # of all gradients

    def _deterministic_value(self) -> float:
        first, second = (float(self.probe.value(self.base)) for _ in range(2))
        if not math.isfinite(first):
            raise ValueError(f"the loss function returned {first}: there is no gradient to look at")
        require_same(first, second, self.eps)
        return first

    # --- the gradients of autodiff, and what rounding does to them ------------------------------------

    def differentiate(self) -> None:
        """Take the gradients, and measure how far changes of one ulp move them and the loss."""
        recorded = self.probe.record(self.base)
        origin = float(recorded.item())
        self.gradients = self.probe.gradients(recorded)
        for name, g in self.gradients.items():
            size = 0.0 if g is None else float(np.abs(g).max(initial=0))
            self.floors[name] = 4 * self.eps * size
            self.peak = max(self.peak, size)
        rng = np.random.default_rng(0)
        moves = []
        for _ in range(ROUNDS):
            y = self.probe.record({name: jitter(a, self.eps, rng) for name, a in self.base.items()})
            moves.append(abs(float(y.item()) - origin))
            for name, moved in self.probe.gradients(y).items():
                self.floors[name] = max(self.floors[name], distance(moved, self.gradients[name]))
        self.loss_noise += max(moves)

    def doubt(self, name: str, direction: Array) -> float:
        """How far autodiff itself may be off along a direction."""
        return FLOORS * self.floors[name] * float(np.abs(direction).sum())

    # --- numerical derivatives ------------------------------------------------------------------------

    def derivative(self, name: str, direction: Array) -> float:
        """The numerical derivative along a direction."""
        if self.method == "complex" and (value := self.complex_step(name, direction)) is not None:
            return value
        return self.difference.value(self.sides(name, direction, self.first_step(name, direction)))

    @property
    def difference(self) -> Method:
        """The difference formula: Richardson's where the complex step has to be checked or replaced."""
        return DIFFERENCES.get(self.method, DIFFERENCES["richardson"])

    def first_step(self, name: str, direction: Array) -> float:
        """The step that suits the formula, the precision and the size of the elements that move."""
        if self.step != "auto":
            return float(self.step)
        size = float(np.abs(self.base[name][direction != 0]).max(initial=1.0))
        return float(self.eps**self.difference.power * size)

    def along(self, name: str, direction: Array, step: float) -> float:
        """The loss with one parameter moved by `step · direction`."""
        return float(self.probe.value({**self.base, name: self.base[name] + step * direction}))

    def sides(self, name: str, direction: Array, step: float) -> Sides:
        """Four evaluations of the loss."""
        at = (step, -step, step / 2, -step / 2)
        return Sides(*[(self.along(name, direction, s) - self.value) / s for s in at])

    def complex_step(self, name: str, direction: Array) -> float | None:
        """`Im f(p + i h d) / h`; None, and a note, if the loss does not take complex numbers."""
        arrays = {key: a.astype(np.complex128) for key, a in self.base.items()}
        arrays[name] = arrays[name] + 1j * TINY * direction
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                return float(np.imag(self.probe.value(arrays))) / TINY
        except Exception as error:  # whatever an op says about complex numbers
            self.fall_back(f"{type(error).__name__}: {error}")
            return None

    def fall_back(self, reason: str) -> None:
        """From here on, Richardson instead of the complex step."""
        self.method = "richardson"
        self.notes.append(f"complex step not possible, Richardson instead ({reason})")

    def estimate(self, name: str, direction: Array, step: float) -> Estimate:
        """A difference with its error bar: truncation, rounding of the loss, and doubt about autodiff."""
        sides = self.sides(name, direction, step)
        g = self.gradients[name]
        weight = 0.0 if g is None else self.eps * float(np.linalg.norm(g * self.base[name]))
        noise = NOISE * (self.loss_noise + weight) / step
        wide, narrow = sides.right - sides.left, sides.near_right - sides.near_left
        jump = 2 * narrow - wide
        kinked = abs(jump) > 0.25 * max(abs(wide), abs(narrow)) + 5 * noise
        bar = self.difference.truncation(sides) + noise + self.doubt(name, direction)
        value = self.difference.value(sides)
        return Estimate(value, bar, min(sides), max(sides), jump if kinked else 0.0)

    # --- the judgement --------------------------------------------------------------------------------

    def judge(self, name: str, direction: Array, rtol: float) -> tuple[Estimate, str]:
        """Hold the autodiff gradient along a direction against numbers: ok, bad, kink or inconclusive."""
        g = self.gradients[name]
        slope = 0.0 if g is None else float((g * direction).sum())
        scale = 0.0 if g is None else float(np.abs(g).max())
        exact = None
        if self.method == "complex" and (value := self.complex_step(name, direction)) is not None:
            exact = Estimate(value, self.doubt(name, direction))
            if exact.verdict(slope, scale, rtol) == "ok":
                return exact, "ok"
        found, verdict = self._from_both_sides(name, direction, slope, scale, rtol)
        if exact is not None and verdict == "ok":
            self.fall_back("differences contradict it: the loss is not analytic, or not in complex numbers")
        return found, verdict

    def _from_both_sides(
        self, name: str, direction: Array, slope: float, scale: float, rtol: float
    ) -> tuple[Estimate, str]:
        step = self.first_step(name, direction)
        far = self.estimate(name, direction, step)
        verdict = far.verdict(slope, scale, rtol)
        if verdict == "ok" and not far.jump:
            return far, verdict
        near = self.estimate(name, direction, CLOSER * step)  # a kink stays; curvature and distant kinks go
        inside = near.low - near.bar <= slope <= near.high + near.bar
        if far.jump and near.high - near.low > abs(far.jump) / 8 and inside:
            return near, "kink"
        gap = abs(far.value - slope)
        if near.verdict(slope, scale, rtol) == "ok" and (verdict != "bad" or near.bar < gap / 2):
            return near, "ok"
        usual = abs(self.value) / float(np.abs(self.base[name]).max(initial=1.0))
        if gap <= far.bar and scale <= 64 * self.eps * max(self.peak, usual):
            return far, "ok"  # a zero, but for rounding
        return far, verdict


def _examine(loss: Tensor, leaves: list[Tensor]) -> tuple[float, bool]:
    """Rounding unit of the coarsest op between the leaves and the loss; and whether all ops are analytic."""
    active = {leaf._node for leaf in leaves}
    eps, analytic = float(np.finfo(np.float64).eps), True
    for node in ancestors(loss):
        if node not in active and any(parent in active for parent in node.inputs or ()):
            active.add(node)
            analytic = analytic and node.op.analytic
            if node.dtype.kind == "f":
                eps = max(eps, float(np.finfo(node.dtype).eps))
    return eps, analytic
