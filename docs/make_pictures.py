"""Draws the pictures of the README into docs/pictures: `python docs/make_pictures.py`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import layers

PICTURES = Path(__file__).parent / "pictures"


def main() -> list[Path]:
    """Draw an LSTM with its read-out, folded and unrolled."""
    PICTURES.mkdir(exist_ok=True)
    os.environ["PATH"] = ""  # the built-in layout, so that the result does not depend on an installed `dot`
    model = tg.Sequential(
        [tg.Input((None, 1)), layers.LSTM(16, name="lstm"), layers.Dense(1, name="dense")], name="model"
    )
    x = np.zeros((1, 12, 1), np.float32)
    return [
        tg.draw_graph(model, x, view=view).save(PICTURES / f"lstm_{view}.svg")
        for view in ("folded", "unrolled")
    ]


if __name__ == "__main__":
    for path in main():
        print(path)
