"""Recurrences: `scan`, the only time loop of the package, unrolled or with derived back-propagation through time."""

from __future__ import annotations

from .explain import Source, bptt_source, explain, without
from .scan import UnrolledWarning, scan

__all__ = ["Source", "UnrolledWarning", "bptt_source", "explain", "scan", "without"]
