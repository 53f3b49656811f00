"""The phases of fine-tuning, as planned and as they went, and their recipe.

The recipe, how long each phase warms up and how fast each group learns, is that of
fastai's `fine_tune`, for one model in `fine_tune` and for every trial of a search in
`TransferHyperModel`.
"""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import message
from keras_deeptools._axes import new_axes
from keras_deeptools._text_table import NotebookText, data_frame, text_table
from keras_deeptools.callbacks import OneCycleScheduler
from keras_deeptools.callbacks._one_cycle_scheduler import momentum_name
from keras_deeptools.engine._retraining.retrain import Trainability
from keras_deeptools.engine._update.leaf import leaf_optimizers
from keras_deeptools.transfer._freezing.freeze_to import states_after
from keras_deeptools.transfer._layer_groups.groups import LayerGroup, LayerGroups

OWNER = "fine_tune"
HEAD, ALL_LAYERS = "head", "all layers"
"""The names of the phases."""


@dataclass(frozen=True)
class Cycle:
    """The 1cycle of a phase.

    Args:
        rate_factor: Float, the peak over the learning rate of the whole recipe.
        warmup_fraction: Float, part of the cycle in which the learning rate rises.
        initial_divisor: Float, the peak over the first learning rate.

    Example:

    >>> from keras_deeptools.transfer._fine_tune.plan import ALL_LAYERS_CYCLE
    >>> ALL_LAYERS_CYCLE.peak(2e-3)
    0.001
    """

    rate_factor: float = 1.0
    warmup_fraction: float = 0.3
    initial_divisor: float = 25.0

    def peak(self, learning_rate: float) -> float:
        """The largest learning rate of the head.

        Args:
            learning_rate: Float, that of the whole recipe.
        """
        return self.rate_factor * learning_rate

    def arguments(self, optimizer: Any, learning_rate: float) -> dict[str, Any]:
        """Arguments of `OneCycleScheduler`, with momentum where there is any.

        Args:
            optimizer: Keras optimizer.
            learning_rate: Float, that of the whole recipe.
        """
        leaves = leaf_optimizers(optimizer)
        return {
            "max_learning_rate": self.peak(learning_rate),
            "warmup_fraction": self.warmup_fraction,
            "initial_divisor": self.initial_divisor,
            "cycle_momentum": all(momentum_name(leaf) is not None for leaf in leaves),
        }


# A head that trains alone, and nothing after it.
HEAD_ALONE = Cycle()
# The head while the body is frozen, before all layers train.
HEAD_CYCLE = Cycle(warmup_fraction=0.99)
ALL_LAYERS_CYCLE = Cycle(rate_factor=0.5, initial_divisor=5.0)


def group_factors(num_groups: int, rate_ratio: float) -> list[float]:
    """What the learning rate is multiplied by in each group; 1 in the last, the head.

    Args:
        num_groups: Int >= 1, with the head.
        rate_ratio: Float >= 1, the learning rate of the head over that of the first
            group.

    Example:

    >>> from keras_deeptools.transfer._fine_tune.plan import group_factors
    >>> group_factors(3, 100.0)
    [0.01, 0.1, 1.0]
    """
    return np.geomspace(1 / rate_ratio, 1.0, num_groups).tolist()


@dataclass(frozen=True, eq=False)
class PlannedPhase:
    """What trains in a phase, for how long and how fast.

    Attributes:
        name: Str.
        first_epoch: Int, counted through all phases.
        num_epochs: Int.
        learning_rate: Float, that of the whole recipe.
        cycle: `Cycle` of the phase.
        states: List of `Trainability` of all leaves.
        multipliers: Dict from the identity of a variable to the multiplier of its
            learning rate.
    """

    name: str
    first_epoch: int
    num_epochs: int
    learning_rate: float
    cycle: Cycle
    states: list[Trainability]
    multipliers: dict[int, float]

    @property
    def end(self) -> int:
        """The epoch after its last."""
        return self.first_epoch + self.num_epochs

    @property
    def peak(self) -> float:
        """The largest learning rate of the head in this phase."""
        return self.cycle.peak(self.learning_rate)

    @property
    def freezes(self) -> bool:
        """Whether layers are frozen in it."""
        return self.name == HEAD

    @property
    def num_trainable(self) -> int:
        """Weights that the phase trains."""
        trained = [s.layer for s in self.states if s.weights]
        held = {id(v): v for layer in trained for v in layer.weights if v.trainable}
        return sum(math.prod(variable.shape) for variable in held.values())

    @property
    def constant(self) -> set[int]:
        """Identities of the variables that the phase leaves as they are.

        What a layer of the user's own does while it is frozen is not known.
        """
        still = [s.layer for s in self.states if not s.trains and not s.weights]
        known = [x for x in still if type(x).__module__.startswith("keras.")]
        return {id(variable) for layer in known for variable in layer.weights}

    def rate_multipliers(self, optimizer: Any, variables: list[Any]) -> list[float]:
        """The multipliers of the learning rates of variables."""
        return [self.multipliers.get(id(variable), 1.0) for variable in variables]

    def scheduler(self, optimizer: Any) -> OneCycleScheduler:
        """The learning rate over the epochs, and momentum if there is any."""
        shape = self.cycle.arguments(optimizer, self.learning_rate)
        return OneCycleScheduler(**shape, first_epoch=self.first_epoch)


def first_of_head(groups: LayerGroups, head: int | str) -> int:
    """The position of the first group of the head, which must not be the first of all.

    Raises:
        TypeError: If `head` is neither an int nor a str.
        ValueError: If there is no such group, or nothing before it.
    """
    choices = ", ".join(f"{i} {name!r}" for i, name in enumerate(groups.names))
    rule = "the number or name of a layer group that is not the first"
    remedy = f"Available: {choices}."
    if isinstance(head, bool) or not isinstance(head, int | str):
        raise TypeError(message(OWNER, "head", rule, head, remedy))
    if isinstance(head, str):
        position = groups.names.index(head) if head in groups.names else 0
    else:
        position = head + len(groups) * (head < 0)
    if not 0 < position < len(groups):
        raise ValueError(message(OWNER, "head", rule, head, remedy))
    return position


def planned_phases(
    model: keras.Model,
    groups: LayerGroups,
    first: int,
    *,
    epochs: int,
    frozen_epochs: int,
    learning_rate: float,
    rate_ratio: float,
    batch_norm: str,
) -> list[PlannedPhase]:
    """First the head, then all layers with learning rates that grow towards the head.

    Args:
        model: `keras.Model`.
        groups: `LayerGroups` of it.
        first: Int, position of the first group of the head.
        epochs: Int, see `fine_tune`, as the others.
        frozen_epochs: Int.
        learning_rate: Float.
        rate_ratio: Float.
        batch_norm: Str.
    """
    body = [layer for group in groups.groups[:first] for layer in group.layers]
    head = LayerGroup(HEAD, tuple(x for g in groups.groups[first:] for x in g.layers))
    factors = group_factors(first + 1, rate_ratio)
    multipliers = {
        id(variable): factor
        for group, factor in zip(groups.groups[:first], factors[:-1], strict=True)
        for layer in group.layers
        for variable in layer.weights
    }
    phases = [
        PlannedPhase(
            HEAD,
            first_epoch=0,
            num_epochs=frozen_epochs,
            learning_rate=learning_rate,
            cycle=HEAD_CYCLE,
            states=states_after(model, body, head, batch_norm),
            multipliers={},
        ),
        PlannedPhase(
            ALL_LAYERS,
            first_epoch=frozen_epochs,
            num_epochs=epochs,
            learning_rate=learning_rate,
            cycle=ALL_LAYERS_CYCLE,
            states=states_after(model, [], head, batch_norm),
            multipliers=multipliers,
        ),
    ]
    return [phase for phase in phases if phase.num_epochs]


@dataclass(frozen=True)
class FineTuningPhase:
    """One phase of fine-tuning; made by `fine_tune`.

    Attributes:
        name: Str, what trained: `"head"` or `"all layers"`.
        first_epoch: Int, its first epoch, counted from 0 through all phases.
        num_epochs: Int, epochs trained; fewer than planned if a callback stopped it.
        learning_rate: Float, the largest learning rate, which is that of the head.
        num_trainable: Int, parameters that were trained.
        cached: Bool, whether the outputs of the layers before the head were computed
            only once.

    Example:

    >>> from keras_deeptools.transfer import FineTuningPhase
    >>> FineTuningPhase("head", 0, 1, 0.002, 8, True).num_epochs
    1
    """

    name: str
    first_epoch: int
    num_epochs: int
    learning_rate: float
    num_trainable: int
    cached: bool


@dataclass(frozen=True)
class FineTuning(NotebookText):
    """The history of a fine-tuning over its phases; made by `fine_tune`.

    `history` and `epoch` are as in the `History` that `fit` returns.

    Attributes:
        history: Dict from the name of a loss, metric or hyperparameter to a list of
            floats, one for each epoch of all phases.
        epoch: List of ints, the epochs trained, counted from 0.
        phases: Tuple of `FineTuningPhase`.
        monitor: Str, key of `history` that decided which epoch was best.
        best_epoch: Int, an element of `epoch`; None if in no epoch both `monitor` and
            the weights were finite.
        best_value: Float, the value of `monitor` in that epoch, or None.
        restored: Bool, whether the model has the weights of the best epoch rather than
            those of the last.
        seed: Int that determined the order of the samples and other random numbers.
        notices: Tuple of str: what could have been done faster, and how.

    Example:

    >>> from keras_deeptools.transfer import FineTuning, FineTuningPhase
    >>> phases = (
    ...     FineTuningPhase("head", 0, 1, 0.002, 8, True),
    ...     FineTuningPhase("all layers", 1, 2, 0.001, 43, False),
    ... )
    >>> history = {"loss": [0.9, 0.5, 0.4], "val_loss": [0.8, 0.6, 0.7]}
    >>> print(FineTuning(history, [0, 1, 2], phases, "val_loss", 1, 0.6, True, 0))
    3 epochs. Best val_loss 0.6 in epoch 2, whose weights the model has.
    phase       epochs  largest rate  trainable  cached  loss  val_loss
    head             1         0.002          8     yes   0.9       0.8
    all layers     2-3         0.001         43      no   0.4       0.7
    """

    history: dict[str, list[float]]
    epoch: list[int]
    phases: tuple[FineTuningPhase, ...]
    monitor: str
    best_epoch: int | None
    best_value: float | None
    restored: bool
    seed: int
    notices: tuple[str, ...] = ()

    def table(self) -> str:
        """The phases as lines of text, with the losses at the end of each."""
        losses = [name for name in ("loss", "val_loss") if name in self.history]
        head = ["phase", "epochs", "largest rate", "trainable", "cached", *losses]
        rows = []
        for phase in self.phases:
            end = phase.first_epoch + phase.num_epochs
            numbers = [phase.first_epoch + 1, end][-min(phase.num_epochs, 2) :]
            cells = ["-".join(map(str, numbers)) if phase.num_epochs else "none"]
            cells += [f"{phase.learning_rate:.3g}", f"{phase.num_trainable:,}"]
            cells.append("yes" if phase.cached else "no")
            values = [self._value(name, end - 1) for name in losses]
            rows.append([phase.name, *cells, *values])
        return text_table(head, rows)

    def to_dataframe(self) -> Any:
        """The history, one line for each epoch.

        Returns:
            `pandas.DataFrame` with `epoch`, counted from 1 as Keras prints it, `phase`,
            and a column for each loss, metric and hyperparameter.

        Raises:
            ImportError: If pandas is not installed.
        """
        columns = {
            "epoch": [epoch + 1 for epoch in self.epoch],
            "phase": [self._phase_of(epoch) for epoch in self.epoch],
            **self.history,
        }
        return data_frame("FineTuning", columns)

    def _phase_of(self, epoch: int) -> str:
        begun = [phase for phase in self.phases if phase.first_epoch <= epoch]
        return begun[-1].name if begun else ""

    def plot(self, ax: Any = None) -> Any:
        """Draws the losses over the epochs, the phases, and the best epoch.

        Args:
            ax: Matplotlib axes; default: those of a new figure.

        Returns:
            The axes.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        ax = new_axes("FineTuning.plot") if ax is None else ax
        epochs = [epoch + 1 for epoch in self.epoch]
        for name, label in (("loss", "training"), ("val_loss", "validation")):
            if name in self.history:
                ax.plot(epochs, self.history[name], "o-", label=label)
        for number, phase in enumerate(p for p in self.phases if p.num_epochs):
            begin = phase.first_epoch + 0.5
            shade = {"color": "0.5", "alpha": 0.1 + 0.1 * (number % 2)}
            end = begin + phase.num_epochs
            ax.axvspan(begin, end, label=f"phase: {phase.name}", **shade)
        if self.best_epoch is not None:
            label = f"best {self.monitor}"
            ax.axvline(self.best_epoch + 1, color="0.3", linestyle=":", label=label)
        ax.set(title="Fine-tuning", xlabel="epoch", ylabel="loss")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        return ax

    def _value(self, name: str, epoch: int) -> str:
        if epoch not in self.epoch:
            return "-"
        return f"{self.history[name][self.epoch.index(epoch)]:.4g}"

    def __str__(self) -> str:
        count = f"{len(self.epoch)} epoch{'s' * (len(self.epoch) != 1)}."
        if self.best_epoch is None:
            never = f"{self.monitor} and all weights were finite in no epoch"
            return f"{count} {never}.{self._notices()}\n{self.table()}"
        whose = "whose weights the model has"
        if not self.restored:
            whose = "the model has the weights of the last"
        best = f"Best {self.monitor} {self.best_value:.4g} in epoch"
        best = f"{best} {self.best_epoch + 1}, {whose}."
        return f"{count} {best}{self._notices()}\n{self.table()}"

    def _notices(self) -> str:
        return "".join(f"\n{notice}" for notice in self.notices)
