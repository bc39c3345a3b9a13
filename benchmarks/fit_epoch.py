"""An epoch of `fit` against its training steps alone, for the demo's model; and where the rest of the time goes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from statistics import median
from typing import Any

from _timing import Times, arguments, interleave, show, table

LIMIT = 1.15
# rows per batch, steps, units, batches per epoch
CASES = {"demo": (32, 64, 128, 40), "half the rows": (16, 64, 128, 40), "large": (64, 64, 512, 4)}


class Terminal(io.StringIO):
    """Takes what the progress bar draws."""

    def isatty(self) -> bool:
        return True


def programs(rows: int, steps: int, units: int, batches: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an epoch is made of: whole and pure, and the parts of what comes on top, all for one epoch."""
    import numpy as np

    import tinygrad_rnn as tg
    from tinygrad_rnn.datasets.text import Vocabulary, load_text, windows
    from tinygrad_rnn.models.characters import character_model
    from tinygrad_rnn.models.data import ArrayData
    from tinygrad_rnn.models.progress import ProgressBar
    from tinygrad_rnn.utils.threads import blas_threads_for

    tg.utils.set_random_seed(0)
    text = load_text()
    vocabulary = Vocabulary(text)
    x, y = windows(vocabulary.encode(text)[: rows * batches * steps + 1], steps)

    def compiled() -> Any:
        model = character_model(vocabulary, units=units)
        loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tg.optimizers.Adam(0.001, clipnorm=5.0), loss, metrics=["accuracy"])
        return model

    model, twin = compiled(), compiled()
    data = ArrayData(x, y, batch_size=rows)
    made = [(batch.x, batch.y) for batch in data.batches(shuffle=True)]

    def step(batch: tuple[Any, Any]) -> dict[Any, Any]:
        with twin._mode(training=True, grad=True):
            gradients: dict[Any, Any] = twin._loss_and_gradients(*batch, None)[2]
            return gradients

    def pure() -> None:
        with blas_threads_for(twin.weights):
            for batch in made:
                step(batch)

    def whole() -> None:
        with contextlib.redirect_stdout(Terminal()):
            model.fit(x, y, batch_size=rows, verbose=1)

    found = step(made[0])
    variables = twin.trainable_weights
    gradients = [found[v._node] for v in variables]
    predictions = twin(made[0][0])
    batch = next(data.batches())
    bar = ProgressBar(1)
    bar.set_params({"epochs": 1, "steps": batches})

    def progress() -> None:
        with contextlib.redirect_stdout(Terminal()):
            bar.on_epoch_begin(0)
            for i in range(batches):
                bar.on_train_batch_end(i, {"loss": 1.0, "accuracy": 0.5})
            bar.on_epoch_end(0, {"loss": 1.0, "accuracy": 0.5})

    def often(action: Callable[[], object]) -> Callable[[], None]:
        return lambda: [action() for _ in range(batches)] and None

    parts: dict[str, Callable[[], object]] = {
        "optimizer: check, clip, Adam": often(lambda: twin.optimizer.apply(gradients, variables)),
        "metrics: accuracy": often(lambda: twin.compute_metrics(batch.x, batch.y, predictions)),
        "shuffling and batching": lambda: [None for _ in data.batches(shuffle=True)],
        "looking for kept states": often(twin._held_states),
        "looking for penalties": often(lambda: twin.losses),
        "progress bar": progress,
    }
    assert np.isfinite(float(twin.compute_loss(batch.x, batch.y, predictions)))
    return {"fit, one epoch": whole, "its training steps alone": pure}, parts


def show_parts(times: Times, parts: Times, batches: int) -> None:
    """The parts of what an epoch takes beyond its training steps, in ms per batch."""
    whole, pure = times.seconds.values()
    extra, step = median(a - b for a, b in zip(whole, pure, strict=True)), median(pure)
    rows = [("per batch", "ms", "% of a step")]
    entries = {name: median(seconds) for name, seconds in parts.seconds.items()}
    for name, seconds in [*entries.items(), ("together", sum(entries.values())), ("measured", extra)]:
        rows.append((name, f"{1e3 * seconds / batches:.3f}", f"{100 * seconds / step:.1f}"))
    table("What comes on top of the steps", rows)
    print()


def main() -> None:
    options = arguments(__doc__ or "", rounds=11)
    for name, (rows, steps, units, batches) in CASES.items():
        programs_, parts = programs(rows, steps, units, batches)
        times = interleave(programs_, options.rounds, warm_up=1)
        title = f"{name}: {batches} batches of {rows} x {steps} characters, LSTM of {units} units"
        show(title, times, "ms", 1e3, {"its training steps alone": LIMIT})
        show_parts(times, interleave(parts, options.rounds), batches)


if __name__ == "__main__":
    main()
