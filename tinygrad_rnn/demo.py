"""The whole story in one command: train on text, compare gradients, draw the graph, save the model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from .compare import compare_twins
from .config import set_random_seed
from .datasets.text import Vocabulary, bigram_loss, load_text, split, windows
from .files import make_folder, replacing
from .losses import SparseCategoricalCrossentropy
from .models.characters import character_model, sample
from .models.model import Model
from .optimizers import Adam
from .viz import draw_graph
from .viz.curve import line_chart

WINDOW = 64
TEMPERATURE = 0.7


def run(
    text: str | None = None,
    *,
    seed: int = 0,
    epochs: int = 7,
    units: int = 128,
    cell: str = "lstm",
    out: str = "demo_out",
    verbose: Any = "auto",
) -> Model:
    """Run the demonstration and write its results into the folder `out`; returns the trained model."""
    set_random_seed(seed)
    words = load_text(text, min_length=20 * WINDOW)
    folder = Path(out)
    make_folder(folder, "out")
    vocabulary = Vocabulary(words)
    train, valid = split(vocabulary.encode(words))
    source = "the language reference that comes with Python" if text is None else text
    _title("1. A character-level language model")
    print(f"Text: {source}: {len(words):,} characters, {len(vocabulary)} symbols, the last 10 % held out.")
    bigram = bigram_loss(train, valid, len(vocabulary))
    print(f"To beat: a bigram count model reaches a held-out loss of {bigram:.4f} nats per character.\n")
    model, history = _train(vocabulary, train, valid, cell, units, epochs, seed, verbose)
    final = history["val_loss"][-1]
    verdict = "below the bigram model" if final < bigram else "NOT below the bigram model; try more --epochs"
    print(f"\nHeld-out loss {final:.4f}, bigram {bigram:.4f}: the network is {verdict}.")

    _title("2. Back-propagation through time: by hand, by the graph, by numbers")
    print(
        "float64; the hand derivations are in tinygrad_rnn/manual and share no code with the engine. The numbers"
    )
    print(
        "are the complex step where every op allows it (right to 1e-16), else Richardson differences (to 1e-11).\n"
    )
    print(compare_twins(seed))

    _title("3. Files")
    for path, meaning in _write(folder, model, valid, cell, history, bigram):
        print(f"{str(path):32} {meaning}")
    start = "The " if all(c in vocabulary for c in "The ") else (words.split() or [words])[0][:20]
    print(
        f"\nGo on with:  tinygrad-rnn sample {shlex.quote(str(folder / 'model.tgr'))} --start {shlex.quote(start)} "
        "--length 400 --temperature 0.8"
    )
    return model


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _train(
    vocabulary: Vocabulary,
    train: Any,
    valid: Any,
    cell: str,
    units: int,
    epochs: int,
    seed: int,
    verbose: Any,
) -> tuple[Model, dict[str, list[float]]]:
    model = character_model(vocabulary, cell, units)
    model.compile(Adam(0.004, clipnorm=5.0), SparseCategoricalCrossentropy(from_logits=True))
    model.summary()
    start = vocabulary.characters[int(np.bincount(train).argmax())] if "\n" not in vocabulary else "\n"
    print(f"\nsample before training (temperature {TEMPERATURE}):")
    print(_indented(sample(model, start, 120, TEMPERATURE, seed)) + "\n")
    history = model.fit(
        *windows(train, WINDOW),
        batch_size=max(1, min(32, len(train) // WINDOW // 100)),  # a short text gets enough updates too
        epochs=epochs,
        validation_data=windows(valid, WINDOW),
        verbose=verbose,
    )
    print(f"\nsample after training (temperature {TEMPERATURE}):")
    print(_indented(sample(model, start, 400, TEMPERATURE, seed)))
    return model, history.history


def _indented(text: str) -> str:
    printable = "".join(c if c.isprintable() or c == "\n" else "·" for c in text.strip("\n"))
    return "\n".join("    " + line for line in printable.split("\n"))


def _write(
    folder: Path, model: Model, valid: Any, cell: str, history: dict[str, list[float]], bigram: float
) -> list[tuple[Path, str]]:
    """Save model, graph and curve; the model first, so that nothing that fails later costs the training."""
    saved = folder / "model.tgr"
    model.save(saved)
    x = valid[None, :8]
    folded = draw_graph(model, x, view="folded").save(folder / f"{cell}_folded.svg")
    unrolled = draw_graph(model, x, view="unrolled").save(folder / f"{cell}_unrolled.svg")
    chart = line_chart(
        {"training": history["loss"], "held out": history["val_loss"]},
        title="Loss per epoch",
        y_label="nats per character",
        levels={"bigram": bigram},
    )
    curve = folder / "loss.svg"
    with replacing(curve) as file:
        file.write(chart.encode())
    return [
        (folded, "the computation graph, folded over time"),
        (unrolled, "the same graph, unrolled: one column per time step"),
        (curve, "the loss curve"),
        (saved, "the trained model"),
    ]
