"""Whole models in the sizes of tutorials: a batch of training with Adam, and one of prediction, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from _timing import arguments, import_torch, interleave, rest, table, versions


class Case(NamedTuple):
    """A model: how it is made with each library, and what it is given."""

    about: str
    ours: Callable[[Any], list[Any]]  # layers, from `tg.layers`
    theirs: Callable[[Any, Any], Any]  # a module, from `torch` and the helpers below
    inputs: tuple[int, ...]  # the shape of a batch; two axes are ids
    targets: tuple[int, ...]
    classes: int = 0  # 0: numbers, with the squared error

    def batch(self) -> tuple[Any, Any]:
        """Inputs and targets."""
        import numpy as np

        rng = np.random.default_rng(0)
        ids = len(self.inputs) == 2
        x = rng.integers(1, IDS, self.inputs) if ids else rng.standard_normal(self.inputs).astype("float32")
        y = rng.integers(0, self.classes, self.targets) if self.classes else rng.random(self.targets)
        return x, y if self.classes else y.astype("float32")


IDS = 80  # of characters, or words

CASES = {
    "weather": Case(
        "LSTM of 32 units over 120 hours of 7 features", lambda L: [L.LSTM(32), L.Dense(1)],
        lambda t, m: m.chain(m.last(t.nn.LSTM, 7, 32), t.nn.Linear(32, 1)), (256, 120, 7), (256, 1),
    ),
    "rows of images": Case(
        "LSTM of 64 units over 28 rows", lambda L: [L.LSTM(64), L.Dense(10)],
        lambda t, m: m.chain(m.last(t.nn.LSTM, 28, 64), t.nn.Linear(64, 10)), (64, 28, 28), (64,), 10,
    ),
    "reviews": Case(
        "bidirectional LSTM of 64 units over 200 words",
        lambda L: [L.Embedding(IDS, 64), L.Bidirectional(L.LSTM(64)), L.Dense(2)],
        lambda t, m: m.chain(t.nn.Embedding(IDS, 64), m.both_ends(t.nn.LSTM, 64, 64), t.nn.Linear(128, 2)),
        (32, 200), (32,), 2,
    ),
    "a long signal": Case(  # gradients vanish on the way from its last step
        "LSTM of 128 units over 500 steps of 16 features", lambda L: [L.LSTM(128), L.Dense(1)],
        lambda t, m: m.chain(m.last(t.nn.LSTM, 16, 128), t.nn.Linear(128, 1)), (64, 500, 16), (64, 1),
    ),
    "characters": Case(
        "GRU of 256 units over 100 characters",
        lambda L: [L.Embedding(IDS, 64), L.GRU(256, return_sequences=True), L.Dense(IDS)],
        lambda t, m: m.chain(t.nn.Embedding(IDS, 64), m.sequence(t.nn.GRU, 64, 256), t.nn.Linear(256, IDS)),
        (64, 100), (64, 100), IDS,
    ),
    "three layers": Case(
        "three LSTMs of 64 units, with dropout",
        lambda L: [
            *(L.LSTM(64, return_sequences=True), L.Dropout(0.2)),
            *(L.LSTM(64, return_sequences=True), L.Dropout(0.2)),
            *(L.LSTM(64), L.Dense(1)),
        ],
        lambda t, m: m.chain(m.last(t.nn.LSTM, 16, 64, num_layers=3, dropout=0.2), t.nn.Linear(64, 1)),
        (32, 50, 16), (32, 1),
    ),
    "addition": Case(
        "LSTMs of 128 units that read 7 characters and write 4",
        lambda L: [L.LSTM(128), L.RepeatVector(4), L.LSTM(128, return_sequences=True), L.Dense(12)],
        lambda t, m: m.chain(
            *(m.last(t.nn.LSTM, 12, 128), m.repeat(4), m.sequence(t.nn.LSTM, 128, 128)), t.nn.Linear(128, 12)
        ),
        (128, 7, 12), (128, 4), 12,
    ),
    "a sine": Case(
        "RNN of 32 units over 20 numbers", lambda L: [L.SimpleRNN(32), L.Dense(1)],
        lambda t, m: m.chain(m.last(t.nn.RNN, 1, 32), t.nn.Linear(32, 1)), (32, 20, 1), (32, 1),
    ),
}  # fmt: skip


class Modules:
    """What the models need of PyTorch, as modules that can be put behind each other."""

    def __init__(self, torch: Any) -> None:
        self.torch, self.chain = torch, torch.nn.Sequential

    def _module(self, inner: Any, forward: Callable[[Any, Any], Any]) -> Any:
        module = self.torch.nn.Module()
        module.inner = inner
        module.forward = lambda x: forward(inner, x)
        return module

    def sequence(self, kind: Any, features: int, units: int, **options: Any) -> Any:
        """All outputs of a recurrent layer."""
        return self._module(kind(features, units, batch_first=True, **options), lambda rnn, x: rnn(x)[0])

    def last(self, kind: Any, features: int, units: int, **options: Any) -> Any:
        """Its last output."""
        return self._module(
            kind(features, units, batch_first=True, **options), lambda rnn, x: rnn(x)[0][:, -1]
        )

    def both_ends(self, kind: Any, features: int, units: int) -> Any:
        """The last states of an LSTM in both directions."""
        rnn = kind(features, units, batch_first=True, bidirectional=True)
        return self._module(rnn, lambda rnn, x: self.torch.cat([*rnn(x)[1][0]], dim=1))

    def repeat(self, times: int) -> Any:
        """A vector as a sequence."""
        return self._module(None, lambda _, x: x[:, None].expand(-1, times, -1))


def programs(case: Case, torch: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Training and prediction, with both libraries."""
    import tinygrad_rnn as tg

    x, y = case.batch()
    model = tg.Sequential(case.ours(tg.layers))
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True) if case.classes else "mse"
    model.compile("adam", loss)
    training: dict[str, Any] = {"ours": lambda: model.train_on_batch(x, y)}
    prediction: dict[str, Any] = {"ours": lambda: model.predict_on_batch(x)}
    if torch is not None:
        peer = case.theirs(torch, Modules(torch))
        optimizer = torch.optim.Adam(peer.parameters())
        xs, ys = torch.tensor(x), torch.tensor(y)
        error = torch.nn.CrossEntropyLoss() if case.classes else torch.nn.MSELoss()

        def step() -> float:
            optimizer.zero_grad()
            out = peer(xs)
            value = error(out.reshape(-1, out.shape[-1]), ys.reshape(-1)) if case.classes else error(out, ys)
            value.backward()
            optimizer.step()
            return float(value.item())

        def predict() -> Any:
            with torch.no_grad():
                return peer(xs)

        training["PyTorch"], prediction["PyTorch"] = step, predict
    return training, prediction


def main() -> None:
    options = arguments(__doc__ or "")
    torch = import_torch(options.threads)
    from threadpoolctl import threadpool_limits

    rows = [("", "training, ms", "PyTorch", "ours / it", "prediction, ms", "PyTorch", "ours / it")]
    with threadpool_limits(options.threads):
        for name, case in CASES.items():
            row = [f"{name}: {case.about}, {case.inputs[0]} examples"]
            for pair in programs(case, torch):
                times = interleave(pair, options.rounds, before=rest if options.threads > 1 else None)
                found = {peer: f"{1e3 * median(seconds):.2f}" for peer, seconds in times.seconds.items()}
                ratio = f"{times.ratio('ours', 'PyTorch'):.2f}" if "PyTorch" in found else ""
                row += [found["ours"], found.get("PyTorch", ""), ratio]
            rows.append(tuple(row))
    table("A batch", rows)
    print(f"medians of {options.rounds} interleaved rounds; {versions()}")


if __name__ == "__main__":
    main()
