"""Does autodiff agree with numerical differentiation? Differences and complex steps with error bars."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..config import enable_grad
from ..core.autodiff import grad
from ..core.op import Array
from ..core.tensor import Tensor
from .diagnose import diagnose
from .parameters import ROUNDS, Probe, ancestors, jitter, named, states_of, untouched
from .report import GradReport, Row, measure

TINY = 1e-30  # the complex step: no difference is taken, so nothing cancels
CLOSER = 0.01  # a suspicious place is looked at again with a step this much smaller
CONCLUSIVE = 0.01  # an error bar above this share of the gradient decides nothing
NOISE = 8.0  # rounding errors of the four losses of an estimate, in units of one of them
FLOORS = 10.0  # how many noise floors apart two right gradients may be
_RANKS = ("bad", "kink", "inconclusive", "ok")  # a parameter is what its worst element is


class Sides(NamedTuple):
    """Difference quotients of `f` along a line, with step h and with h/2: to the right and to the left."""

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


METHODS = {
    "forward": Method(1 / 2, lambda s: s.near_right, lambda s: 2 * abs(s.right - s.near_right)),
    "central": Method(1 / 3, lambda s: s.near, lambda s: 4 / 3 * abs(s.central - s.near)),
    "richardson": Method(1 / 4, lambda s: (4 * s.near - s.central) / 3, lambda s: 4 / 3 * abs(s.central - s.near)),
}


@dataclass(frozen=True)
class Estimate:
    """A numerical derivative along a line, its error bar, and what the two sides say about a kink."""

    value: float
    bar: float
    low: float = 0.0  # smallest and largest one-sided quotient
    high: float = 0.0
    jump: float = 0.0  # of the derivative, extrapolated to step 0: nothing for a smooth function

    def verdict(self, slope: float, scale: float, rtol: float) -> str:
        """ok, bad or inconclusive for a derivative `slope`; `scale` is that of the whole gradient."""
        gap = abs(self.value - slope)
        conclusive = self.bar <= CONCLUSIVE * max(abs(self.value), abs(slope), scale)
        if not gap <= max(self.bar, rtol * max(abs(self.value), abs(slope))):
            return "bad" if conclusive or gap > 10 * self.bar else "inconclusive"
        return "ok" if conclusive else "inconclusive"


class Trial:
    """A loss at its parameters in float64: gradients, their noise, and numerical derivatives along lines."""

    def __init__(
        self, f: Callable[[], Any], tensors: Mapping[str, Tensor], states: Iterable[Tensor], method: str, step: Any
    ) -> None:
        self.base = {name: t._data.astype(np.float64) for name, t in tensors.items()}
        self.probe = Probe(f, tensors, states)
        self.notes: list[str] = []
        recorded = self.probe.record(self.base)
        self.eps, analytic = _examine(recorded, tensors)
        self.value = self._deterministic_value()
        self.method = method if method != "auto" else "complex" if analytic else "richardson"
        self.step = step
        self._measure_noise(recorded)

    def _deterministic_value(self) -> float:
        first, second = (float(self.probe.value(self.base)) for _ in range(2))
        if not math.isfinite(first):
            raise ValueError(f"the loss function returned {first}; there is no gradient to check")
        if abs(first - second) > 16 * self.eps * max(abs(first), abs(second)):
            raise ValueError(
                f"the loss function is not deterministic: it returned {first!r}, then {second!r} for the same "
                "parameters. Switch dropout off, or give it a seed inside the function"
            )
        return first

    def _measure_noise(self, recorded: Tensor) -> None:
        """Gradients, and how far rounding moves them and the loss: changes of one ulp, `ROUNDS` times."""
        origin = float(recorded.item())
        self.gradients = self.probe.gradients(recorded)
        self.floors = dict.fromkeys(self.base, 0.0)
        self.peak = 0.0  # of all gradients
        self.loss_noise = self.eps * abs(self.value)
        for name, g in self.gradients.items():
            if g is not None and g.size:
                self.floors[name] = 4 * self.eps * float(np.abs(g).max())
                self.peak = max(self.peak, float(np.abs(g).max()))
        rng = np.random.default_rng(0)
        moves = 0.0
        for _ in range(ROUNDS):
            y = self.probe.record({name: jitter(a, self.eps, rng) for name, a in self.base.items()})
            moves = max(moves, abs(float(y.item()) - origin))
            for name, moved in self.probe.gradients(y).items():
                g = self.gradients[name]
                if moved is not None and g is not None and g.size:
                    self.floors[name] = max(self.floors[name], float(np.abs(moved - g).max()))
        self.loss_noise += moves

    def along(self, name: str, direction: Array, step: float) -> float:
        """The loss with one parameter moved by `step · direction`."""
        return float(self.probe.value({**self.base, name: self.base[name] + step * direction}))

    def complex_step(self, name: str, direction: Array) -> float | None:
        """`Im f(p + i h d) / h`; None, and a note, if the loss function does not take complex numbers."""
        arrays = {key: a.astype(np.complex128) for key, a in self.base.items()}
        arrays[name] = arrays[name] + 1j * TINY * direction
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                return float(np.imag(self.probe.value(arrays))) / TINY
        except Exception as error:
            self._give_up_complex(f"{type(error).__name__}: {error}")
            return None

    def _give_up_complex(self, reason: str) -> None:
        self.method = "richardson"
        self.notes.append(f"complex step not possible, Richardson instead ({reason.splitlines()[0]})")

    def estimate(self, name: str, direction: Array, step: float) -> Estimate:
        """A difference estimate with its error bar: truncation, rounding of the loss, and of autodiff."""
        at = {s: self.along(name, direction, s) for s in (step, -step, step / 2, -step / 2)}
        quotients = Sides(*[(at[s] - self.value) / s for s in at])
        g = self.gradients[name]
        weight = 0.0 if g is None else self.eps * float(np.linalg.norm(g * self.base[name]))
        noise = NOISE * (self.loss_noise + weight) / step
        truncation = METHODS[self.method].truncation(quotients)
        wide, narrow = quotients.right - quotients.left, quotients.near_right - quotients.near_left
        jump = 2 * narrow - wide
        suspicious = abs(jump) > 0.25 * max(abs(wide), abs(narrow)) + 5 * noise
        return Estimate(
            METHODS[self.method].value(quotients), truncation + noise + self.doubt(name, direction),
            min(quotients), max(quotients), jump if suspicious else 0.0,
        )  # fmt: skip

    def doubt(self, name: str, direction: Array) -> float:
        """How far autodiff itself may be off along a direction."""
        return FLOORS * self.floors[name] * float(np.abs(direction).sum())

    def steps(self, name: str, direction: Array) -> tuple[float, float]:
        """The step that suits the method and the size of the moved elements, and a much smaller one."""
        size = float(np.abs(self.base[name][direction != 0]).max(initial=1.0))
        step = self.eps ** METHODS[self.method].power * size if self.step == "auto" else float(self.step)
        return step, step * CLOSER

    def derivative(self, name: str, direction: Array) -> float:
        """The best numerical derivative along a direction, without a judgement."""
        if self.method == "complex" and (value := self.complex_step(name, direction)) is not None:
            return value
        return self.estimate(name, direction, self.steps(name, direction)[0]).value

    def judge(self, name: str, direction: Array, rtol: float) -> tuple[Estimate, str]:
        """Hold the autodiff gradient along a direction against numbers."""
        g = self.gradients[name]
        slope = 0.0 if g is None else float((g * direction).sum())
        scale = 0.0 if g is None else float(np.abs(g).max())
        exact: Estimate | None = None
        if self.method == "complex" and (value := self.complex_step(name, direction)) is not None:
            exact = Estimate(value, self.doubt(name, direction))
            if (verdict := exact.verdict(slope, scale, rtol)) == "ok" or value == slope == 0:
                return exact, "ok"
            self.method = "richardson"  # look at the place from both sides
        first, second = None, None
        for step in self.steps(name, direction):
            first, second = second, self.estimate(name, direction, step)
            verdict = second.verdict(slope, scale, rtol)
            if first is None and verdict == "ok" and not second.jump:
                break
        ...
        raise NotImplementedError
