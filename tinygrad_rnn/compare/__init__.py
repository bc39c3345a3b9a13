"""Do two gradients agree? Autodiff against numbers, and a hand derivation against autodiff, in one report."""

from .check import check_gradients, numeric_gradients
from .compare import compare_gradients
from .divergence import Divergence
from .recorder import ManualRecorder
from .report import GradReport, Row, Worst
from .three import compare_three
from .twin import Twin
from .twins import TWINS, compare_twins

__all__ = [
    "TWINS", "Divergence", "GradReport", "ManualRecorder", "Row", "Twin", "Worst", "check_gradients", "compare_twins",
    "compare_gradients", "compare_three", "numeric_gradients",
]  # fmt: skip
