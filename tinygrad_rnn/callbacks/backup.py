"""`BackupAndRestore`: go on after an interruption, bit for bit, as if there had been none.

The backup is one archive (`container`), written atomically: weights, optimizer, random streams, the states that
recurrent layers keep, the metrics and the history so far, what other callbacks keep, and the place in the data. It
holds no architecture: the program that goes on makes the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..config import random_state, set_random_state
from ..container import CheckpointError, below, match_arrays, read_archive, write_archive
from ..core.op import Array
from ..files import make_folder
from ..layers.states import kept_states, set_kept_states, set_streams, streams
from .callback import Callback, History, Logs
from .checkpoint import BatchCount

_KIND = "tinygrad_rnn backup"


class BackupAndRestore(Callback):
    """Save the state of the training in `backup_dir`, every epoch or every `save_freq` batches, and start from it.

    If there is a backup when `fit` begins, the model takes it over, and `resume_at` is the place `(epoch, batch)`
    to go on from; the global random stream is as it was at the beginning of that epoch, so that its data come in the
    same order, and from that batch on as it was then. Metrics and history go on as well, and callbacks of the same
    kinds with the attributes that they name in `kept`, such as how long `EarlyStopping` has waited. With
    `steps_per_epoch` it begins a new pass over the data, so the rest of one that was not over is left out. The backup
    is deleted at the end of a run that was not interrupted, if `delete_checkpoint`.

    Raises `ValueError` for a model that is not built, `CheckpointError` for a damaged backup or one of another model.
    `double_checkpoint` has no effect: a backup is replaced as a whole, the one before stays until then.

    >>> BackupAndRestore("backup", save_freq=0)
    Traceback (most recent call last):
    ...
    ValueError: BackupAndRestore: save_freq must be 'epoch' or an integer ≥ 1, received 0
    """

    saves = 2

    def __init__(
        self,
        backup_dir: str | Path,
        save_freq: Any = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        if not str(backup_dir):
            raise ValueError("BackupAndRestore: backup_dir is empty; give a folder")
        self.path = Path(backup_dir, "backup.tgr")
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self.resume_at: tuple[int, int] | None = None
        self._count = BatchCount(save_freq, "BackupAndRestore")
        self._epoch = 0
        self._complete = False
        self._order: dict[str, Any] = {}  # the random streams at the beginning of the epoch
        self._then: dict[str, Any] = {}  # those at the batch to go on from, in mid-epoch
        self._metrics: dict[str, Array] = {}  # what the metrics held there
        self._rate: float | None = (
            None  # and the rate, which a callback may have moved at the epoch's beginning
        )
        self._others: list[Callback] = []
        self._found: list[tuple[str, dict[str, Any]]] = []  # what others kept, by the names of their classes

    def set_others(self, callbacks: list[Callback]) -> None:
        """Note those that keep something."""
        self._others = [callback for callback in callbacks if callback.kept]

    def on_train_begin(self, logs: Logs = None) -> None:
        """Take over the backup, if there is one."""
        if not self.model.built:
            raise ValueError(
                f"BackupAndRestore: {self.model.name} is not built yet; call it on data (or give it an Input) first"
            )
        make_folder(self.path.parent, "BackupAndRestore")  # what is wrong shows now, not after an epoch
        self.resume_at, self._complete = None, False
        if self.path.exists():
            self._restore()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Note the epoch, and the random streams that the order of its data is drawn from."""
        self._epoch, self._order = epoch, random_state()

    def on_resume(self) -> None:
        """At the batch to go on from, let the random streams, the rate and the metrics be as they were."""
        set_random_state(self._then)
        if self._rate is not None:
            self.model.optimizer.learning_rate = self._rate
        for i, metric in enumerate(self._all_metrics()):
            metric.load_state(below(f"{i}/", self._metrics))

    def give_back(self) -> None:
        """Let the other callbacks, after they have begun, be as they were."""
        waiting = list(self._others)
        for name, values in self._found:
            same = next((callback for callback in waiting if type(callback).__name__ == name), None)
            if same is not None:
                waiting.remove(same)
                for key, value in values.items():
                    setattr(same, key, value)
        self._found = []

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Save, if so many batches have passed."""
        if self._count.due():
            self._save(self._epoch, batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Save."""
        self._complete = epoch + 1 == self.params.get("epochs")
        if self.save_freq == "epoch":
            self._order = random_state()
            self._save(epoch + 1, 0)

    def on_train_end(self, logs: Logs = None) -> None:
        """Delete the backup of a run that reached its end."""
        self._others = []
        if self.delete_checkpoint and (self._complete or self.model.stop_training):
            self.path.unlink(missing_ok=True)
            if self.path.parent.is_dir() and not any(self.path.parent.iterdir()):
                self.path.parent.rmdir()

    def _all_metrics(self) -> list[Any]:
        return [inner for metric in self.model.metrics for inner in getattr(metric, "metrics", [metric])]

    def _save(self, epoch: int, batch: int) -> None:
        make_folder(self.path.parent, "BackupAndRestore")
        optimizer = self.model.optimizer
        met, state = optimizer.state_among(self.model.weights)
        arrays = {f"weights/{i}": v.numpy() for i, v in enumerate(self.model.weights)}
        arrays |= {f"optimizer/{key}": value for key, value in state.items()}
        arrays |= {f"states/{key}": value for key, value in kept_states(self.model).items()}
        arrays |= {
            f"metrics/{i}/{key}": value
            for i, metric in enumerate(self._all_metrics())
            for key, value in metric.state().items()
        }
        kept = [
            (type(one).__name__, {key: _packed(getattr(one, key), arrays) for key in one.kept})
            for one in self._others
        ]
        manifest = {
            "format": _KIND,
            "version": 1,
            "epoch": epoch,
            "batch": batch,
            "optimizer_variables": met,
            "swapped": optimizer.swapped,
            "layer_streams": [stream.state for stream in streams(self.model)],
            "order": self._order,
            "streams": random_state(),
            "history": (self.model.history or History()).state(),
            "callbacks": kept,
        }
        write_archive(self.path, manifest, arrays)

    def _restore(self) -> None:
        """Take over the backup; on an error the model stays as it was."""
        model, optimizer, weights = self.model, self.model.optimizer, self.model.weights
        manifest, arrays = read_archive(self.path)
        if (manifest.get("format"), manifest.get("version")) != (_KIND, 1):
            raise CheckpointError(self.path, [f"expected a {_KIND} of version 1"])
        stored = {key: value for key, value in arrays.items() if key.startswith("weights/")}
        values = match_arrays(self.path, stored, {f"weights/{i}": v for i, v in enumerate(weights)})
        before, kept = optimizer.snapshot(), kept_states(model)
        layers, order = [stream.state for stream in streams(model)], random_state()
        try:
            optimizer.build([weights[i] for i in manifest["optimizer_variables"]])
            optimizer.load_state(below("optimizer/", arrays))
            optimizer.swapped = bool(manifest.get("swapped", False))  # older backups do not say
            set_streams(model, manifest["layer_streams"])
            set_kept_states(model, below("states/", arrays))
            set_random_state(manifest["order"])
            model.history.load_state(manifest["history"])
            self._then, self._metrics = manifest["streams"], below("metrics/", arrays)
            self._rate = (
                float(arrays["optimizer/learning_rate"]) if "optimizer/learning_rate" in arrays else None
            )
            self._found = [
                (name, {key: _unpacked(value, arrays) for key, value in values.items()})
                for name, values in manifest.get("callbacks", [])  # older backups have none
            ]
            self.resume_at = (manifest["epoch"], manifest["batch"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            optimizer.restore(before)
            set_streams(model, layers)
            set_kept_states(model, kept)
            set_random_state(order)
            raise CheckpointError(self.path, [f"{type(error).__name__}: {error}"]) from error
        for variable, value in zip(weights, values.values(), strict=True):
            variable.assign(value)


def _packed(value: Any, arrays: dict[str, Array]) -> Any:
    """A value as JSON data; arrays in it go to the others, and a dict with their name takes their place."""
    if isinstance(value, np.ndarray):
        name = f"callbacks/{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, (list, tuple)):
        return [_packed(v, arrays) for v in value]
    if isinstance(value, dict):
        return {"dict": {name: _packed(v, arrays) for name, v in value.items()}}
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any, arrays: dict[str, Array]) -> Any:
    """What `_packed` was given, with lists for tuples."""
    if isinstance(value, list):
        return [_unpacked(v, arrays) for v in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {name: _unpacked(v, arrays) for name, v in value["dict"].items()}
    return value
