"""Compile what runs derived loops, if there is a C compiler: without it the package is Python alone, and slower."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent / "tinygrad_rnn" / "native"


class CompileCalls(BuildHookInterface):  # type: ignore[type-arg]
    """Makes `calls.so` beside `calls.c`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected."""
        if self.target_name != "wheel" or not compiled(HERE / "calls.c", HERE / "calls.so"):
            return
        build_data["artifacts"].append("tinygrad_rnn/native/calls.so")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"  # it knows nothing of Python


def compiled(source: Path, library: Path) -> bool:
    """Whether a compiler made a library of a source."""
    if sys.platform == "win32":
        return False
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    made = library.with_suffix(f".{os.getpid()}")  # processes may use the one that is there
    try:
        subprocess.run(
            [*compiler, "-O2", "-fPIC", "-shared", "-pthread", str(source), "-o", str(made), "-lm"],
            check=True,
        )
        os.replace(made, library)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"tinygrad_rnn: loops will run in Python, as no C compiler made {library.name}: {error}")
        return False
    return True
