"""The 1cycle policy as a callback."""

import warnings
from collections.abc import Callable
from typing import Any

import keras

from keras_deeptools._arguments import (
    checked_count,
    errors_of,
    known_elsewhere_as,
)
from keras_deeptools.callbacks._hyperparameter_scheduler.callback import (
    HyperparameterScheduler,
)
from keras_deeptools.callbacks._hyperparameter_scheduler.run import (
    params_of,
    reduced_on_plateau,
    tell_multiplied,
    updates_in_run,
)
from keras_deeptools.engine import Leaf
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice
from keras_deeptools.schedules import OneCycle, OneCycleMomentum


@keras.saving.register_keras_serializable(package="keras_deeptools")
class OneCycleScheduler(HyperparameterScheduler):
    """Trains with the 1cycle policy: learning rate up and down, momentum down and up.

    A large learning rate in the middle of training makes it fast (super-convergence);
    a small momentum keeps it stable there. Both are computed in the compiled step, at
    every update, and are equal to those of `torch.optim.lr_scheduler.OneCycleLR`.

    Momentum is SGD's or RMSprop's `momentum` or the Adam family's `beta_1`. If SGD was
    built with momentum 0, the callback adds velocities for the duration of training;
    they are not part of saved files, so a run that is resumed starts them at zero. For
    optimizers that have no momentum (Adagrad, Adadelta, Adafactor, Ftrl, Lion, RMSprop
    with momentum 0) only the learning rate is cycled, and a warning says so.

    Args:
        max_learning_rate: Float > 0, or the result of `find_learning_rate`. The peak.
            `find_learning_rate(model, x, y, schedule="one_cycle")` suggests one from a
            range test; with `method="race"` short cycles are compared, which costs some
            200 updates and comes nearer to a tuned peak with SGD, not with Muon.
        total_steps: Int >= 1 or None. Updates in the cycle. None: epochs times batches
            per epoch, divided by `gradient_accumulation_steps`. Must be given for data
            of unknown length. After the cycle its last values are held.
        warmup_fraction: Float in [0, 1]. Fraction of the cycle in which the learning
            rate rises; at most 0.5 with `three_phase`.
        initial_divisor: Float >= 1. The learning rate starts at the peak divided by it.
        final_divisor: Float > 0. The learning rate ends at its first value divided by
            it.
        momentum_range: Pair of floats, 0 <= low <= high < 1. Momentum starts and ends
            at `high`, and is `low` at the peak.
        cycle_momentum: Bool. Whether to cycle momentum too.
        shape: `"cosine"` or `"linear"`.
        three_phase: Bool. Whether the learning rate falls as slowly as it rose, and
            then falls further to its last value, as in the paper.
        first_epoch: Int >= 0. The epoch, as `fit` counts them, in which the cycle
            begins. It is needed for several cycles in a row if the epochs of all of
            them are numbered consecutively.
        optimizer: Which optimizers of the model to schedule, as for
            `HyperparameterScheduler`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range, or, at the start of training,
            if `total_steps` is None and the number of batches is unknown.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import OneCycleScheduler
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(momentum=0.9), loss="mse")
    >>> one_cycle = OneCycleScheduler(max_learning_rate=0.1)
    >>> x, y = np.ones((20, 2)), np.ones((20, 1))
    >>> history = model.fit(x, y, batch_size=2, callbacks=[one_cycle], verbose=0)
    >>> [round(float(rate), 4) for rate in one_cycle.history["learning_rate"][:4]]
    [0.004, 0.052, 0.1, 0.095]
    >>> [round(float(momentum), 3) for momentum in one_cycle.history["momentum"][:3]]
    [0.95, 0.9, 0.85]

    Reference:
        Smith, 2018, section 4. https://arxiv.org/abs/1803.09820. Smith and Topin,
        2017. https://arxiv.org/abs/1708.07120. The defaults (cosine, two phases) are
        fastai's and PyTorch's.
    """

    @known_elsewhere_as(
        max_learning_rate="max_lr lr_max peak_value",
        warmup_fraction="pct_start",
        initial_divisor="div_factor div",
        final_divisor="final_div_factor div_final",
        momentum_range="moms",
        shape="anneal_strategy",
    )
    def __init__(
        self,
        max_learning_rate: Any,
        total_steps: int | None = None,
        warmup_fraction: float = 0.3,
        initial_divisor: float = 25.0,
        final_divisor: float = 1e4,
        momentum_range: tuple[float, float] = (0.85, 0.95),
        cycle_momentum: bool = True,
        shape: str = "cosine",
        three_phase: bool = False,
        first_epoch: int = 0,
        optimizer: OptimizerChoice = None,
    ) -> None:
        if not isinstance(max_learning_rate, str) and hasattr(
            max_learning_rate, "__float__"
        ):
            max_learning_rate = float(max_learning_rate)
        self.max_learning_rate = max_learning_rate
        self.total_steps = total_steps
        self.warmup_fraction = warmup_fraction
        self.initial_divisor = initial_divisor
        self.final_divisor = final_divisor
        self.momentum_range = momentum_range
        self.cycle_momentum = cycle_momentum
        self.shape = shape
        self.three_phase = three_phase
        self.first_epoch = checked_count(
            "OneCycleScheduler", "first_epoch", first_epoch, minimum=0
        )
        steps = 1000 if total_steps is None else total_steps
        super().__init__(
            {"learning_rate": self._rate(steps), "momentum": self._momentum(steps)},
            total_steps,
            optimizer,
        )
        self._short_fits = 0

    # The learning rate rises and falls by itself, so reductions on top are unexpected.
    expects_reductions = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Attaches, and warns if `fit` in a loop makes a cycle of each epoch."""
        params = params_of(self.model, self.params)
        short = params.get("epochs") == 1
        self._short_fits = self._short_fits + 1 if short else 0
        if self._short_fits == 2:
            self._tell_once("short fits", tell_short_fits)
        super().on_train_begin(logs)

    def _look_for_others(self) -> None:
        super()._look_for_others()
        if reduced_on_plateau(self.model) is not None:
            self._tell_once("factor", tell_multiplied, type(self).__name__)

    def schedules_for(self, leaf: Leaf) -> dict[str, Callable]:
        """The schedules of learning rate and momentum, by the optimizer's names."""
        total_steps = self.total_steps
        if total_steps is None:
            total_steps = updates_in_run(leaf, self._params or {}, self.first_epoch)
        if total_steps is None:
            raise ValueError(
                "OneCycleScheduler: `total_steps` must be given where the number of "
                "batches per epoch is unknown. Received: total_steps=None. Pass the "
                "number of updates, or `steps_per_epoch` to `fit`, or `epochs` and "
                "`steps` to a `CallbackList` of your own."
            )
        schedules: dict[str, Callable] = {"learning_rate": self._rate(total_steps)}
        name = self._momentum_name(leaf) if self.cycle_momentum else None
        if name is not None:
            schedules[name] = self._momentum(total_steps)
        self.schedules = schedules
        return schedules

    def _rate(self, total_steps: int) -> OneCycle:
        with errors_of("OneCycleScheduler", "OneCycle"):
            return OneCycle(
                self.max_learning_rate,
                total_steps,
                warmup_fraction=self.warmup_fraction,
                initial_divisor=self.initial_divisor,
                final_divisor=self.final_divisor,
                shape=self.shape,
                three_phase=self.three_phase,
            )

    def _momentum(self, total_steps: int) -> OneCycleMomentum:
        with errors_of("OneCycleScheduler", "OneCycleMomentum"):
            return OneCycleMomentum(
                momentum_range=self.momentum_range,
                total_steps=total_steps,
                warmup_fraction=self.warmup_fraction,
                shape=self.shape,
                three_phase=self.three_phase,
            )

    def _momentum_name(self, leaf: Leaf) -> str | None:
        optimizer = leaf.optimizer
        if type(optimizer).__name__ == "ScheduleFreeAdamW":
            warnings.warn(
                "OneCycleScheduler: ScheduleFreeAdamW does without schedules; its "
                "averaging and a falling rate work against each other. Train without "
                "this callback, or with AdamW.",
                stacklevel=2,
            )
            return None
        name = momentum_name(optimizer)
        if name is not None:
            return name
        warnings.warn(
            f"OneCycleScheduler: {type(optimizer).__name__} has no momentum to cycle; "
            "the learning rate alone is cycled. `cycle_momentum=False` says the same "
            "without this warning.",
            stacklevel=2,
        )
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"momentum_range": list(self.momentum_range)}


def tell_short_fits() -> None:
    """Warns that `fit` in a loop runs one cycle after the other."""
    warnings.warn(
        "OneCycleScheduler: this is the second `fit` of one epoch in a row with this "
        "object, and each runs a whole cycle. For one cycle over a loop of fits, give "
        "`total_steps`, and number the epochs: `fit(initial_epoch=i, epochs=i + 1)`.",
        stacklevel=3,
    )


def momentum_name(optimizer: Any) -> str | None:
    """The optimizer's name of its momentum, or None if it has none.

    Args:
        optimizer: Keras optimizer that updates variables itself.
    """
    momentum = getattr(optimizer, "momentum", None)
    if isinstance(optimizer, keras.optimizers.SGD) or momentum:
        return "momentum"
    beta_1 = getattr(optimizer, "beta_1", None)
    if isinstance(beta_1, float) and not isinstance(optimizer, keras.optimizers.Lion):
        return "beta_1"
    return None
