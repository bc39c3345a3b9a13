"""`Windows`: where a kernel or a pool lies on a sequence; shared by convolution and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import pad

PADDINGS = ("valid", "same", "causal")


class Windows:
    """Windows of `size` steps, `dilation` apart, one every `stride` steps of `(batch, time, features)`.

    Without padding ("valid") there are `⌊(T − span) / stride⌋ + 1` of them, with
    `span = (size − 1) · dilation + 1`. "same" adds as many steps on both sides (one more on the right, if
    odd) as `⌈T / stride⌉` windows need, "causal" adds `span − 1` steps on the left. `owner` is the layer,
    for errors. Raises `ValueError` for anything else.

    >>> [w.ravel().tolist() for w in Windows("pool", 2, 2, "valid").pieces(np.arange(4.0).reshape(1, 4, 1), 0)]
    [[0.0, 2.0], [1.0, 3.0]]
    """

    def __init__(
        self,
        owner: str,
        size: Any,
        stride: Any,
        padding: str,
        dilation: Any = 1,
        data_format: str | None = None,
        paddings: tuple[str, ...] = PADDINGS,
    ) -> None:
        self.size = _positive(owner, "the window's size", size)
        self.stride = _positive(owner, "strides", stride)
        self.dilation = _positive(owner, "dilation_rate", dilation)
        self.padding = str(padding).lower()
        if self.padding not in paddings:
            raise ValueError(f"{owner}: padding must be one of {', '.join(paddings)}, received {padding!r}")
        if self.stride > 1 and self.dilation > 1:
            raise ValueError(f"{owner}: strides > 1 and dilation_rate > 1 exclude each other")
        check_format(owner, data_format)
        self.span = (self.size - 1) * self.dilation + 1

    def border(self, length: int) -> tuple[int, int]:
        """Number of steps that the padding adds on the left and on the right."""
        if self.padding == "same":
            total = max((-(-length // self.stride) - 1) * self.stride + self.span - length, 0)
            return total // 2, total - total // 2
        return (self.span - 1 if self.padding == "causal" else 0), 0

    def pieces(self, x: Any, value: float) -> list[Any]:
        """For each place in the window its steps in all windows: `size` times (batch, windows, features).

        `value` is what padding is filled with.
        """
        if any(border := self.border(x.shape[1])):
            x = pad(x, ((0, 0), border, (0, 0)), constant_values=value)
        last = x.shape[1] - self.span
        starts = range(0, self.span, self.dilation)
        return [x[:, start : start + last + 1 : self.stride] for start in starts]

    def check(self, name: str, x: Any) -> None:
        """Three axes, and enough steps for one window; `name` is the layer's."""
        check_sequence(name, x)
        if x.shape[1] + sum(self.border(x.shape[1])) < self.span:
            raise ValueError(
                f"{name}: a window of {self.span} steps does not fit into {x.shape[1]}; "
                "give longer sequences, or padding='same'"
            )


def check_sequence(name: str, x: Any) -> None:
    """Three axes, and at least one time step; `name` is the layer's."""
    if x.ndim != 3 or x.shape[1] == 0:
        raise ValueError(
            f"{name}: expected inputs (batch, time, features) with time steps, received shape {x.shape}"
        )


def check_format(owner: str, data_format: str | None) -> None:
    """Refuse `channels_first`."""
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"{owner}: data_format must be 'channels_last', (batch, time, features), received {data_format!r}; "
            "move the axis with Permute((2, 1))"
        )


def _positive(owner: str, what: str, value: Any) -> int:
    """An int, or a tuple of one."""
    number = value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value
    if not isinstance(number, (int, np.integer)) or number < 1:
        raise ValueError(f"{owner}: {what} must be a positive integer, received {value!r}")
    return int(number)
