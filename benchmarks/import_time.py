"""What `import tinygrad_rnn` costs beside `import numpy`: fresh interpreters, taking turns."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from _timing import Times, arguments, show


def seconds(module: str, cache: str) -> float:
    """Time of one import, measured inside a new interpreter; compiled files are kept in `cache`."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package comes compiled
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def main() -> None:
    options = arguments(__doc__ or "", rounds=15)
    times = Times({"tinygrad_rnn": [], "numpy": []})
    with tempfile.TemporaryDirectory() as cache:
        for name in times.seconds:
            seconds(name, cache)
        for _ in range(options.rounds):
            for name, values in times.seconds.items():
                values.append(seconds(name, cache))
    show("Import, in a fresh interpreter", times, "ms", 1e3, {"numpy": 1.50})


if __name__ == "__main__":
    main()
