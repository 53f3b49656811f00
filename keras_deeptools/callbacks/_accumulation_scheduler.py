"""Updates of more batches from one epoch to the next."""

from typing import Any

import keras

from keras_deeptools._arguments import checked_count, known_elsewhere_as, message
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf
from keras_deeptools.engine._backends.captured_update import check_one_replica
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice
from keras_deeptools.engine._update.step_counts import STEPS
from keras_deeptools.engine._update.train_step import trace_again

OWNER = "AccumulationScheduler"


@keras.saving.register_keras_serializable(package="keras_deeptools")
class AccumulationScheduler(TrainingFeature):
    """Accumulates the gradients of more batches for each update as training goes on.

    An update by the mean gradient of `n` batches is that of a batch `n` times as
    large, in the memory of a small one. Large batches bring little while the loss falls
    quickly, and reduce the noise late in training, as a lower learning rate does.

    Keras' `gradient_accumulation_steps` is fixed when an optimizer is built. Here it
    changes between epochs; the compiled step is compiled again at each change. The
    optimizer counts updates throughout, so bias corrections and schedules are those of
    the updates, and `total_steps` of a schedule in the same `fit` is found from the
    plan: put this callback before schedulers. Files that are written in training, and
    the optimizer afterwards, are those of an optimizer that updates with every batch;
    sums of an unfinished update are not saved.

    An update may begin in one epoch and end in the next. If the number falls meanwhile
    to no more than the batches that are already summed, their mean counts as one batch
    less than the number, and with 1 they are left out.

    Args:
        factors: Dict from epochs, counted from 0, to ints > 0, the number of batches
            of an update from this epoch on. Before the first epoch in it, the number
            is 1.
        optimizer: Which optimizers of the model to act on, see `TrainingFeature`.

    Raises:
        TypeError: If `factors` is no dict of ints.
        ValueError: If an epoch or a number is out of range. When training starts: if
            the optimizer was made with `gradient_accumulation_steps`, or trains on
            several replicas of `tf.distribute`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import AccumulationScheduler
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("adam", loss="mse")
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> growing = AccumulationScheduler({0: 1, 1: 2, 2: 4})
    >>> history = model.fit(x, y, 2, epochs=3, callbacks=[growing], verbose=0)
    >>> int(model.optimizer.iterations)  # 4 + 2 + 1
    7

    Reference:
        Smith et al., 2018, where the batch size grows instead of a falling learning
        rate. https://arxiv.org/abs/1711.00489
    """

    @known_elsewhere_as(factors="scheduling")
    def __init__(
        self, factors: dict[int, int], optimizer: OptimizerChoice = None
    ) -> None:
        super().__init__(optimizer)
        if not isinstance(factors, dict) or not factors:
            rule = "a dict from epochs to numbers of batches"
            raise TypeError(message(OWNER, "factors", rule, factors))
        self.factors = {
            # As keys of a JSON object, integers are strings.
            checked_count(OWNER, "factors", _integer(epoch), 0): checked_count(
                OWNER, "factors", factor
            )
            for epoch, factor in factors.items()
        }

    def factor(self, epoch: int) -> int:
        """The number of batches of an update.

        Args:
            epoch: Int, counted from 0.
        """
        begun = [start for start in self.factors if start <= epoch]
        return self.factors[max(begun)] if begun else 1

    def begin(self, leaf: Leaf) -> None:
        """Checks that the optimizer does not accumulate by itself."""
        steps = getattr(leaf.optimizer, STEPS)
        if steps is not None:
            raise ValueError(
                f"{OWNER}: `{STEPS}` must be left out of the optimizer, since this "
                f"callback sets it. Received: {STEPS}={steps} on "
                f"{leaf.optimizer.name!r}. Pass `factors={{0: {steps}}}` instead."
            )
        check_one_replica(OWNER, leaf.optimizer)

    def hyperparameters(self, state: None, leaf: Leaf) -> dict[str, Any]:
        """The number of batches of an update, as a function of the epoch."""
        return {STEPS: self.factor}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Changes the number of batches, and has the step compiled again if it does."""
        factor = self.factor(epoch)
        changed = [leaf.scheduled[STEPS].change(factor) for leaf, _ in self._live]
        if any(changed):
            trace_again(self.model)


def _integer(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdigit() else key
