"""Every picture is made with `dot`, and without it."""

from __future__ import annotations

import shutil

import pytest

HERE = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


@pytest.fixture(params=["builtin", pytest.param("dot", marks=HERE)])
def engine(request, monkeypatch):
    if request.param == "builtin":
        monkeypatch.setenv("PATH", "")
    return request.param
