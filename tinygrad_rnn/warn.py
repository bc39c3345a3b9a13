"""Warnings that point at the user's line, however deep in the package their reason was found."""

from __future__ import annotations

import sys
import warnings

PASSED = (__package__, "contextlib", "functools")  # whose lines tell a user nothing


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of this package that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in PASSED:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
