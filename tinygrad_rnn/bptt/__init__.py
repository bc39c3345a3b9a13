"""Recurrences: `scan`, the only time loop of the package."""

from __future__ import annotations

from .scan import scan

__all__ = ["scan"]
