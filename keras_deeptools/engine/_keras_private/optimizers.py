"""What optimizers hold privately, and the methods that the engine joins."""

from typing import Any

import keras

from keras_deeptools.engine._keras_private.seam import Seam, has, samples
from keras_deeptools.engine._keras_private.versions import multi_optimizers

APPLY_GRADIENTS = "_backend_apply_gradients"
"""The method around a whole update, after gradients are unscaled and averaged."""

CLIP_GRADIENTS = "_clip_gradients"
"""The method between the mean gradients and the update."""

UPDATE_STEP = "_backend_update_step"
"""The method that moves the weights, before moving averages and constraints."""

WEIGHT_DECAY = "_apply_weight_decay"
"""The method that decays the weights, before they are moved."""

CURRENT_RATE = "_get_current_learning_rate"
"""The method that says which learning rate is in effect."""

JOINED = (APPLY_GRADIENTS, CLIP_GRADIENTS, UPDATE_STEP)
"""The methods that every optimizer must have, in the order of their calls."""

STATEFUL_SKIP = "_stateful_handle_non_finite_grads"
"""Method of LossScaleOptimizer for a step that it skips, on TensorFlow and torch."""

STATELESS_SKIP = "_stateless_handle_non_finite_grads"
"""Method of LossScaleOptimizer for a step that it skips, on JAX."""

STRATEGY = "_distribution_strategy"
"""Attribute with the `tf.distribute` strategy that an optimizer was made under."""

MERGING = (
    UPDATE_STEP,
    WEIGHT_DECAY,
    "_backend_increment_gradient_accumulators",
    "_overwrite_model_variables_with_average_value",
)
"""Methods in which Keras merges the replicas of a `tf.distribute` strategy."""

ACCUMULATORS = "_accumulated_gradients"
"""Attribute with the sums of gradients, of an optimizer that accumulates them."""

ITERATIONS, RATE = "_iterations", "_learning_rate"
"""Attributes with the count of batches and the learning rate."""

READ_BY_CALLBACKS = (ITERATIONS, RATE, "_model_variables_moving_average")
"""Private attributes that Keras' callbacks and this engine read from any optimizer."""

FIRST_MOMENTS = {
    "_momentums": "beta_1",
    "_m": "beta_1",
    "momentums": "adam_beta_1",
    "adam_momentums": "adam_beta_1",
}
"""Attributes with averages of gradients -> the decay that corrects them.

Muon's are `adam_momentums` up to Keras 3.12.
"""

SECOND_MOMENTS = {
    "_velocities": "beta_2",
    "_velocity_hats": "beta_2",
    "adam_velocities": "adam_beta_2",
}
"""The same for averages of squared gradients."""

NEVER_CORRECTED = {"_u"}
"""Slots of optimizers that correct others: largest gradients, in Adamax."""

_OF = keras.optimizers
CORRECTING = (_OF.Adam, _OF.Nadam, _OF.Adamax, _OF.Lamb, _OF.Muon)
"""The optimizers that correct averages by the number of their updates."""


def slot_lists(optimizer: Any) -> dict[str, list[Any]]:
    """What an optimizer keeps of each variable: name of an attribute -> slots.

    The slots are in the order of `built_for`, None for a variable without. They are
    found by their form: a list with one of the optimizer's own variables, or None, for
    each trained one. Up to Keras 3.12 Muon has dicts from their paths instead.
    """
    trained = built_for(optimizer)
    if not trained:
        return {}
    own = {id(variable) for variable in tracked(optimizer)}
    found = {}
    for name, value in vars(optimizer).items():
        if isinstance(value, dict):
            by_path = [value.get(variable.path) for variable in trained]
            is_full = sum(slot is not None for slot in by_path) == len(value) > 0
            value = by_path if is_full else None
        if not isinstance(value, list) or len(value) != len(trained):
            continue
        if all(slot is None or id(slot) in own for slot in value):
            found[name] = list(value)
    return found


def built_for(optimizer: Any) -> list[Any]:
    """The variables that an optimizer was built for, in its order; empty before.

    The public `variables` are the optimizer's own. Up to Keras 3.11 a
    LossScaleOptimizer leaves the list to the optimizer inside.
    """
    found = getattr(optimizer, "_trainable_variables", None) or []
    inner = getattr(optimizer, "inner_optimizer", None)
    return built_for(inner) if not found and inner is not None else found


def tracked(optimizer: Any) -> list[Any]:
    """The list of an optimizer's own variables, which it saves; not a copy.

    The public `variables` is a copy, and of wrappers contains the inner ones'.
    """
    return optimizer._variables


def track(optimizer: Any, variable: Any) -> None:
    """Lets a variable be one of the optimizer's own."""
    optimizer._track_variable(variable)


def untrack(optimizer: Any, variable: Any) -> None:
    """Undoes `track`."""
    optimizer._untrack_variable(variable)


def counted_batches(optimizer: Any) -> Any:
    """The variable that counts batches; None where the optimizer has none.

    The public `iterations` counts updates under gradient accumulation.
    """
    return getattr(optimizer, "_iterations", None)


def rate_of(optimizer: Any) -> Any:
    """The variable, or the schedule, that holds the learning rate.

    The public `learning_rate` gives the value of a schedule.
    """
    return optimizer._learning_rate


def rate_in_effect(optimizer: Any) -> Any:
    """The bound method that says which learning rate is in effect."""
    return optimizer._get_current_learning_rate


def position_of(optimizer: Any, variable: Any) -> int:
    """The place of a trained variable among those that an optimizer was built for."""
    return optimizer._get_variable_index(variable)


def weight_averages(optimizer: Any) -> list[Any]:
    """The moving averages of the weights, where `use_ema`."""
    return optimizer._model_variables_moving_average


def mapped_anew(optimizer: Any, variable: Any) -> Any:
    """The optimizer that the function of a MultiOptimizer gives a variable now."""
    return optimizer._optimizer_map(variable)


def maps_by_table(optimizer: Any) -> bool:
    """Whether a MultiOptimizer knows its optimizers before it is built."""
    return hasattr(optimizer._optimizer_map, "values")


def mapped_when_built(optimizer: Any, variable: Any) -> Any:
    """The optimizer that a MultiOptimizer has for a variable since it was built."""
    index = optimizer._var_to_optimizer_idx[optimizer._var_key(variable)]
    return optimizer.optimizers[index]


def forget_built_for(optimizer: Any) -> None:
    """Takes back which variables an optimizer was built for, past all tracking."""
    vars(optimizer)["_trainable_variables"] = []
    vars(optimizer)["_trainable_variables_indices"] = {}


def note_built_for(optimizer: Any, variables: list[Any]) -> None:
    """Notes which variables an optimizer was built for, past all tracking."""
    vars(optimizer)["_trainable_variables"] = list(variables)
    vars(optimizer)["_trainable_variables_indices"] = {
        optimizer._var_key(variable): i for i, variable in enumerate(variables)
    }


def momentum_product(nadam: Any) -> Any:
    """The variable in which Nadam multiplies its momenta, one factor an update."""
    return nadam._u_product


def strategy_of(optimizer: Any) -> Any:
    """The `tf.distribute` strategy that an optimizer was made under."""
    return optimizer._distribution_strategy


def decays(optimizer: Any, variable: Any) -> bool:
    """Whether weight decay reaches a variable."""
    return optimizer._use_weight_decay(variable)


class WholeUpdate(keras.optimizers.Optimizer):
    """An optimizer that may take all its variables at once.

    Keras calls `update_step` for one variable after another; its own optimizers on
    torch are spared that, which counts where there are many small variables.
    """

    def takes_all(self) -> bool:
        """Whether `update_all` is to be called."""
        return False

    def decays_itself(self) -> bool:
        """Whether weight decay is a part of the update, and not Keras' to apply."""
        return False

    def update_all(self, gradients: Any, variables: Any, learning_rate: Any) -> None:
        """In the place of `update_step` for each pair of the two lists."""
        raise NotImplementedError

    def _apply_weight_decay(self, variables: Any) -> None:
        if not self.decays_itself():
            super()._apply_weight_decay(variables)

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        if self.takes_all():
            self.update_all(grads, trainable_variables, learning_rate)
        else:
            super()._backend_update_step(grads, trainable_variables, learning_rate)


def _maps() -> bool:
    if not multi_optimizers():
        return True
    inner = keras.optimizers.SGD(name="seam_check_inner")
    several = samples.built(multi_optimizers()[0], optimizer_map=lambda variable: inner)
    variable = samples.variable
    kept = mapped_when_built(several, variable)
    return kept is mapped_anew(several, variable) is inner


def _slots_are_known() -> bool:
    """Whether all that correcting optimizers keep is in the tables of this module."""
    decays = {**FIRST_MOMENTS, **SECOND_MOMENTS}
    for kind in CORRECTING:
        options = {"amsgrad": True} if kind is _OF.Adam else {}
        optimizer = samples.built(kind, **options)
        names = set(slot_lists(optimizer))
        if not names & FIRST_MOMENTS.keys() or names - {*decays, *NEVER_CORRECTED}:
            return False
        if not all(hasattr(optimizer, decays[n]) for n in names & decays.keys()):
            return False
    return True


def _accumulates(optimizer: Any) -> bool:
    """Whether a built optimizer has its sums of gradients where they are looked for."""
    optimizer.build([keras.Variable(0.0)])
    return len(getattr(optimizer, ACCUMULATORS, ())) == 1


_OPTIMIZER = keras.optimizers.Optimizer

SEAMS = (
    Seam(
        "Optimizer._backend_apply_gradients",
        "entering an update with the gradients that it will apply",
        "no feature can be attached",
        has(_OPTIMIZER, APPLY_GRADIENTS),
    ),
    Seam(
        "Optimizer._clip_gradients",
        "observing and changing gradients before the update",
        "gradients are neither monitored nor clipped",
        has(_OPTIMIZER, CLIP_GRADIENTS),
    ),
    Seam(
        "Optimizer._backend_update_step",
        "observing updates and projecting weights",
        "max-norm, update ratios and learning-rate multipliers have no effect",
        has(_OPTIMIZER, UPDATE_STEP),
    ),
    Seam(
        "Optimizer._apply_weight_decay, Optimizer._use_weight_decay",
        "scaling weight decay with the learning rate of a group",
        "frozen and slow groups decay as fast as the others",
        has(_OPTIMIZER, WEIGHT_DECAY, "_use_weight_decay"),
    ),
    Seam(
        "Optimizer._accumulated_gradients",
        "accumulating gradients over a number of batches that changes",
        "`AccumulationScheduler` has no effect",
        lambda: _accumulates(keras.optimizers.SGD(gradient_accumulation_steps=2)),
    ),
    Seam(
        "Optimizer._get_current_learning_rate",
        "putting a schedule in the place of another",
        "a schedule has no effect on an optimizer that has one",
        has(_OPTIMIZER, CURRENT_RATE),
    ),
    Seam(
        "LossScaleOptimizer._stateful_handle_non_finite_grads, "
        "LossScaleOptimizer._stateless_handle_non_finite_grads",
        "counting the updates that mixed precision skips",
        "skipped updates are taken for made ones",
        has(keras.optimizers.LossScaleOptimizer, STATEFUL_SKIP, STATELESS_SKIP),
    ),
    Seam(
        "Optimizer._trainable_variables, Optimizer._trainable_variables_indices",
        "knowing, and changing, which variables an optimizer updates",
        "nothing can be attached, frozen or unfrozen",
        lambda: (
            [id(v) for v in samples.optimizer._trainable_variables]
            == [id(samples.variable)]
            and len(samples.optimizer._trainable_variables_indices) == 1
        ),
    ),
    Seam(
        "Optimizer._get_variable_index, Optimizer._var_key",
        "finding the slot of a variable",
        "statistics belong to the wrong weights",
        lambda: (
            position_of(samples.optimizer, samples.variable) == 0
            and samples.optimizer._var_key(samples.variable) is not None
        ),
    ),
    Seam(
        "Optimizer._variables, Optimizer._track_variable, Optimizer._untrack_variable",
        "letting state ride through the compiled step, but not into files",
        "files written in training do not load elsewhere",
        lambda: (
            isinstance(tracked(samples.optimizer), list)
            and has(samples.optimizer, "_track_variable", "_untrack_variable")()
        ),
    ),
    Seam(
        "Optimizer._iterations",
        "counting updates",
        "schedules stand still",
        lambda: isinstance(counted_batches(samples.optimizer), keras.Variable),
    ),
    Seam(
        "Optimizer._learning_rate",
        "writing the learning rate in the step",
        "learning rates are not scheduled",
        lambda: isinstance(rate_of(samples.optimizer), keras.Variable),
    ),
    Seam(
        "Optimizer._model_variables_moving_average",
        "reading averaged weights",
        "averages start at zero after unfreezing",
        lambda: len(weight_averages(samples.optimizer)) == 1,
    ),
    Seam(
        "TFOptimizer._distribution_strategy",
        "reducing gradients over replicas, and creating variables in the right scope",
        "features see the gradients of one replica and say nothing",
        lambda: (
            keras.backend.backend() != "tensorflow"
            or strategy_of(samples.optimizer) is not None
        ),
    ),
    Seam(
        "TFOptimizer._backend_increment_gradient_accumulators, "
        "TFOptimizer._overwrite_model_variables_with_average_value",
        "updating the replicas of a `tf.distribute` strategy one after another",
        "nothing can be attached on several replicas",
        has(_OPTIMIZER, *MERGING),
    ),
    Seam(
        "MultiOptimizer._optimizer_map, MultiOptimizer._var_to_optimizer_idx",
        "telling which optimizer inside has a variable",
        "models with several optimizers cannot be unfrozen",
        lambda: _maps(),
    ),
    Seam(
        "Nadam._u_product",
        "correcting Nadam for weights that are unfrozen late",
        "Nadam takes wrong steps after unfreezing",
        lambda: momentum_product(samples.built(keras.optimizers.Nadam)) is not None,
    ),
    Seam(
        "Adam._momentums, Adam._velocities, Adam._velocity_hats, Adamax._m, Adamax._u",
        "correcting averages for weights that are unfrozen late",
        "weights overshoot after a checkpoint of an unfrozen model is loaded",
        lambda: _slots_are_known(),
    ),
)
