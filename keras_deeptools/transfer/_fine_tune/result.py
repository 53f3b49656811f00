"""What fine-tuning has done to a model."""

from dataclasses import dataclass

from keras_deeptools._text_table import text_table


@dataclass(frozen=True)
class FineTuningPhase:
    """One phase of fine-tuning; made by `fine_tune`.

    Attributes:
        name: Str, what trained: `"head"` or `"all layers"`.
        first_epoch: Int, its first epoch, counted from 0 through all phases.
        num_epochs: Int, epochs trained; fewer than planned where a callback stopped.
        learning_rate: Float, the largest rate, of the head.
        num_trainable: Int, weights that trained.
        cached: Bool, whether what stands before the head was computed only once.

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
class FineTuning:
    """The history of a fine-tuning over its phases; made by `fine_tune`.

    `history` and `epoch` are as in the `History` that `fit` returns.

    Attributes:
        history: Dict from the name of a loss, metric or hyperparameter to a list of
            floats, one for each epoch of all phases.
        epoch: List of ints, the epochs trained, counted from 0.
        phases: Tuple of `FineTuningPhase`.
        monitor: Str, key of `history` that told which epoch was best.
        best_epoch: Int, an element of `epoch`; None where in no epoch `monitor` and the
            weights were finite.
        best_value: Float, the value of `monitor` in that epoch, or None.
        restored: Bool, whether the model has the weights of the best epoch, not those
            of the last.
        seed: Int, what the order of the rows and other random numbers came from.
        notices: Tuple of str, what could have been done faster, and how.

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
