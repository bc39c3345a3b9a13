"""Keras as an oracle: imported once, and only if a test asks for it."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest


@pytest.fixture(scope="session")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch")
        return pytest.importorskip("keras")
