"""How far a fine-tuning has come, and what it keeps for it, in memory or in files."""

import json
import math
import random
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools._files import write_whole
from keras_deeptools.engine._retraining.optimizer_slots import (
    optimizer_state,
    set_optimizer_state,
)
from keras_deeptools.transfer._backbones.preprocessing import refresh_constants
from keras_deeptools.transfer._fine_tune.plan import OWNER, PlannedPhase

Entry = tuple[dict[str, np.ndarray], dict[str, Any]]
"""Arrays by name, and what else belongs to them, ready for JSON."""

Arrays = dict[str, np.ndarray]


class RunMemory:
    """Entries in memory, gone with the object."""

    lasting = False
    place = "memory"

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def write(self, name: str, arrays: dict[str, np.ndarray], facts: dict) -> None:
        """Puts an entry in the place of one of that name."""
        self._entries[name] = (arrays, facts)

    def read(self, name: str) -> Entry | None:
        """An entry, or None where there is none of that name."""
        return self._entries.get(name)

    def remove_others(self, prefix: str, kept: str) -> None:
        """Removes all entries whose names begin with `prefix` but one."""
        names = [n for n in self._entries if n.startswith(prefix) and n != kept]
        for name in names:
            del self._entries[name]


class RunFiles:
    """Entries in a directory, a file each, which is there as a whole or not at all.

    The files are `.npz`, read without pickle; the facts are in them as JSON.

    Args:
        directory: Path, made on the first write.
    """

    lasting = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.place = str(directory)

    def write(self, name: str, arrays: dict[str, np.ndarray], facts: dict) -> None:
        """Puts an entry in the place of one of that name."""
        entry: dict[str, Any] = {f"array/{key}": value for key, value in arrays.items()}
        entry["facts"] = np.frombuffer(json.dumps(facts).encode(), "uint8")
        write_whole(self._path(name), lambda file: np.savez(file, **entry))

    def read(self, name: str) -> Entry | None:
        """An entry, or None where there is none of that name."""
        if not self._path(name).exists():
            return None
        with np.load(self._path(name), allow_pickle=False) as file:
            facts = json.loads(file["facts"].tobytes().decode())
            keys = [key for key in file.files if key.startswith("array/")]
            return {key.removeprefix("array/"): file[key] for key in keys}, facts

    def remove_others(self, prefix: str, kept: str) -> None:
        """Removes all entries whose names begin with `prefix` but one."""
        for path in self._directory.glob(f"{prefix}*.npz"):
            if path.stem != kept:
                path.unlink()

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.npz"


Facts = dict[str, Any]


def described(thing: Any) -> Any:
    """A loss, an optimizer or another argument in words that JSON can hold.

    Without names, which count the objects of a session.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer._fine_tune.progress import described
    >>> described([keras.losses.MeanSquaredError(), "mse", None])[1:]
    ['mse', None]
    """
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, list | tuple):
        return [described(each) for each in thing]
    if isinstance(thing, dict):
        items = {str(key): described(value) for key, value in thing.items()}
        return {key: value for key, value in items.items() if key != "name"}
    name = getattr(thing, "__name__", type(thing).__name__)
    if not hasattr(thing, "get_config"):
        return name
    return [type(thing).__name__, described(thing.get_config())]


def facts_of(model: keras.Model) -> Facts:
    """What a compiled model is and how it is compiled."""
    return {
        "backend": keras.backend.backend(),
        "optimizer": described(model.optimizer),
        "loss": described(model.loss),
        "model": [f"{v.dtype} {tuple(v.shape)}" for v in model.variables],
    }


def check_same(given: Facts, found: Facts, place: str) -> None:
    """Raises if a directory holds the run of another call.

    Args:
        given: What describes this call.
        found: What the directory holds.
        place: Str, the directory.

    Raises:
        ValueError: Naming what differs.
    """
    given = json.loads(json.dumps(given))
    names = [n for n in given | found if given.get(n) != found.get(n)]
    if not names:
        return
    listed = "; ".join(f"{n}: {_pair(given.get(n), found.get(n))}" for n in names)
    raise ValueError(
        f"{OWNER}: `directory` must be new, or that of a call with the same arguments, "
        f"model and data. Received: directory={place!r}, where other than now "
        f"was {listed}. Make the same call to go on, or give another directory."
    )


def _pair(given: Any, found: Any) -> str:
    """Both values, as far as they are short."""
    if isinstance(given, list) and isinstance(found, list):
        pairs = zip(given, found, strict=False)
        for position, (one, other) in enumerate(pairs):
            if one != other:
                return f"[{position}] {_pair(one, other)}"
        return f"{len(found)} of them, now {len(given)}"
    if isinstance(given, dict) and isinstance(found, dict):
        for name in given | found:
            if given.get(name) != found.get(name):
                return f"{name} {_pair(given.get(name), found.get(name))}"
    return f"{found!r}, now {given!r}"


def model_arrays(model: keras.Model, left_out: Collection[int] = ()) -> Arrays:
    """Copies of a model's variables by position, states of random generators included.

    Args:
        model: `keras.Model`.
        left_out: Identities of variables that need no copy.
    """
    return {
        f"model/{position}": _copied(variable)
        for position, variable in enumerate(model.variables)
        if id(variable) not in left_out
    }


def optimizer_arrays(model: keras.Model) -> tuple[Arrays, list[list[int]]]:
    """Copies of the optimizer's variables, and when it began to train each weight."""
    values, births = optimizer_state(model.optimizer)
    return {f"optimizer/{i}": _plain(value) for i, value in enumerate(values)}, births


def assign_model(model: keras.Model, arrays: Arrays) -> None:
    """Sets the variables that there are arrays for."""
    for position, variable in enumerate(model.variables):
        value = arrays.get(f"model/{position}")
        if value is not None:
            variable.assign(value)
    refresh_constants(model)


def assign_optimizer(
    model: keras.Model, arrays: Arrays, births: list[list[int]]
) -> None:
    """Sets all that the optimizer knows; it must be built."""
    count = sum(name.startswith("optimizer/") for name in arrays)
    values = [arrays[f"optimizer/{i}"] for i in range(count)]
    set_optimizer_state(model.optimizer, values, births)


def _copied(variable: Any) -> np.ndarray:
    return _plain(keras.ops.convert_to_numpy(variable.value))


def _plain(value: Any) -> np.ndarray:
    """A copy of a type that files can hold; short floats exactly as float32."""
    array = np.array(value)
    return array if array.dtype.kind in "biuf" else array.astype("float32")


SEED = "drawn_seed"


@dataclass
class Progress:
    """How far a fine-tuning has come.

    Attributes:
        phase: Int, position of the phase at work, or of the last one.
        left: Bool, whether that phase has ended.
        stopped: Bool, whether a callback has stopped it.
        epoch: List of ints, the epochs that are complete.
        history: Dict of lists of floats, of these epochs.
        trained: List of ints, complete epochs of each phase.
        cached: List of bools, whether each phase trained on cached features.
        births: Lists of ints, updates before the optimizer trained each variable.
        best_epoch: Int or None.
        best_value: Float or None.
    """

    phase: int = 0
    left: bool = False
    stopped: bool = False
    epoch: list[int] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)
    trained: list[int] = field(default_factory=list)
    cached: list[bool] = field(default_factory=list)
    births: list[list[int]] = field(default_factory=list)
    best_epoch: int | None = None
    best_value: float | None = None


class KeptProgress:
    """The progress of a fine-tuning, with the weights of its start and best epoch.

    With files also the state after the last complete epoch, to go on from.

    Args:
        model: `keras.Model` that is fine-tuned.
        entries: `RunMemory` or `RunFiles`.
        monitor: Str, what tells which epoch is best.
        rising: Bool, whether it is better the larger it is.
    """

    def __init__(
        self,
        model: keras.Model,
        entries: RunMemory | RunFiles,
        monitor: str,
        rising: bool,
    ) -> None:
        self._tuned = model
        self._entries = entries
        self.monitor = monitor
        self._rising = rising
        self.now = Progress()
        self._state: Arrays = {}
        self.notices: list[str] = []

    def begin_or_resume(self, facts: Facts, seed: int | None) -> int:
        """Starts from the model as it is, or where a call like this was interrupted.

        Args:
            facts: What tells this call from others.
            seed: Int or None.

        Returns:
            Int, the seed, or the one that was drawn when the call began.

        Raises:
            ValueError: If another call was made with the directory.
        """
        begun = self._entries.read("start")
        if begun is None:
            drawn = random.randrange(2**31) if seed is None else seed
            facts = facts | {SEED: drawn}
            self._entries.write("start", model_arrays(self._tuned), facts)
            return drawn
        drawn = begun[1].pop(SEED)
        check_same(facts, begun[1], self._entries.place)
        assign_model(self._tuned, begun[0])
        found = self._entries.read("state")
        if found is not None:
            self._state, now = found
            self.now = Progress(**now)
        return drawn

    def take_up(self) -> None:
        """Puts the model and its built optimizer in the state that was resumed."""
        assign_model(self._tuned, self._state)
        assign_optimizer(self._tuned, self._state, self.now.births)
        self._state = {}

    @property
    def resumed(self) -> bool:
        """Whether there is a state that has not been taken up."""
        return bool(self._state)

    @property
    def way_on(self) -> str:
        """What to do after an interruption."""
        if self._entries.lasting:
            return "The same call goes on from there."
        return "With a `directory`, the same call could go on."

    def enter(self, position: int) -> None:
        """Begins a phase."""
        self.now.phase, self.now.left, self.now.stopped = position, False, False
        self.now.trained.append(0)
        self.now.cached.append(False)

    def add(
        self, phase: PlannedPhase, epoch: int, logs: dict[str, Any], stopped: bool
    ) -> None:
        """Takes note of an epoch, keeps its weights if best, and the state."""
        if self.monitor not in logs:
            rule = "one of the names in the logs of an epoch"
            remedy = f"Available: {', '.join(logs)}."
            raise ValueError(message(OWNER, "monitor", rule, self.monitor, remedy))
        now = self.now
        now.epoch.append(epoch)
        now.trained[-1] += 1
        now.stopped = stopped
        for name, value in logs.items():
            number = np.asarray(value).tolist()
            now.history.setdefault(name, []).append(number)
        value = float(logs[self.monitor])
        arrays = self._finite_arrays(phase) if self._is_better(value) else None
        if arrays is not None:
            now.best_epoch, now.best_value = epoch, value
            self._entries.write(f"best-{epoch}", arrays, {self.monitor: value})
        self._write(phase)
        self._entries.remove_others("best-", f"best-{now.best_epoch}")

    def leave(self, phase: PlannedPhase) -> None:
        """Ends a phase."""
        self.now.left = True
        self._write(phase)

    def restore_best(self) -> bool:
        """Gives the model the weights of the best epoch; whether there is one."""
        if self.now.best_epoch is None:
            return False
        self._assign("start")
        self._assign(f"best-{self.now.best_epoch}")
        return True

    def _is_better(self, value: float) -> bool:
        best = self.now.best_value
        if not math.isfinite(value):
            return False
        return best is None or (value > best if self._rising else value < best)

    def _finite_arrays(self, phase: PlannedPhase) -> Arrays | None:
        """What the phase may have changed, or None where some of it is not finite.

        The loss of the last batch, and an accuracy, are finite with weights of NaN.
        """
        arrays = model_arrays(self._tuned, phase.constant)
        floats = [each for each in arrays.values() if each.dtype.kind == "f"]
        return arrays if all(np.isfinite(each).all() for each in floats) else None

    def _write(self, phase: PlannedPhase) -> None:
        if self._entries.lasting:
            arrays = model_arrays(self._tuned, phase.constant)
            values, self.now.births = optimizer_arrays(self._tuned)
            arrays |= values
            self._entries.write("state", arrays, asdict(self.now))

    def _assign(self, name: str) -> None:
        found = self._entries.read(name)
        if found is not None:
            assign_model(self._tuned, found[0])
