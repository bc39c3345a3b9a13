"""The autodiff twins of all hand derivations by name, `TWINS`, and their gradients in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from .layer_twins import bidirectional_layer, dense, gru, lstm, simple_rnn
from .report import GradReport
from .seed_twins import bidirectional, deep, gru_cell, linear_rnn, lstm_cell, rnn_cell, vanilla_rnn
from .twin import Twin

TWINS: dict[str, Callable[..., Twin]] = {
    "dense": dense,
    "linear_rnn": linear_rnn,
    "vanilla_rnn": vanilla_rnn,
    "simple_rnn": simple_rnn,
    "lstm": lstm,
    "gru": gru,
    "gru_reset_before": partial(gru, reset_after=False),
    "bidirectional": bidirectional,
    "bidirectional_concat": bidirectional_layer,
    "bidirectional_sum": partial(bidirectional_layer, merge="sum"),
    "deep": deep,
    "rnn_cell": rnn_cell,
    "lstm_cell": lstm_cell,
    "gru_cell": gru_cell,
}


def compare_twins(
    seed: int = 0, names: Iterable[str] = ("vanilla_rnn", "lstm", "gru", "bidirectional")
) -> GradReport:
    """The four-way table of several twins in one report, rows named `twin/parameter`.

    Raises `KeyError` for a name that is not in `TWINS`.

    >>> bool(compare_twins(names=["vanilla_rnn"]))
    True
    """
    rows = []
    for name in names:
        report = TWINS[name](seed=seed).report()
        for row in report.rows:
            row.parameter = f"{name}/{row.parameter}"
        rows += report.rows
    return GradReport(rows, report.title)
