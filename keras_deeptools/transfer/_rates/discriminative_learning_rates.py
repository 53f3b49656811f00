"""Learning rates that differ from layer group to layer group."""

from typing import Any

import keras

from keras_deeptools._arguments import message
from keras_deeptools.engine import RateMultipliers
from keras_deeptools.engine._backends.common import on_host
from keras_deeptools.engine._update.optimizer_wrapper import OptimizerWrapper
from keras_deeptools.engine._update.rate_multipliers import check_rate_scales
from keras_deeptools.transfer._rates.group_rates import (
    OWNER,
    Groups,
    RateGroups,
    Rates,
    resolved,
)


@keras.saving.register_keras_serializable(package="keras_deeptools")
class DiscriminativeLearningRates(OptimizerWrapper):
    """An optimizer that trains each layer group with its own learning rate.

    Layers near the inputs of a pretrained model are general and should change little;
    the head is new and should change much. Wrap an optimizer and compile with the
    result: all groups are updated by that optimizer's own code, weight decay follows
    the learning rate of each group, and the learning rates are saved with the model.

    `learning_rate` is that of the last group; the others are multiples of it. Whatever
    changes it (a schedule, 1cycle, `ReduceLROnPlateau`) changes all groups in
    proportion. Freezing and unfreezing keep the learning rates. Every optimizer can be
    wrapped except `Ftrl`, whose update is not proportional to its learning rate, and
    `Prodigy`, which has one estimate for all weights; with `Adafactor`, which caps its
    learning rate, the update is multiplied.

    Args:
        inner_optimizer: Keras optimizer, or its name.
        rates: Learning rates; the optimizer's own learning rate is set to that of the
            last group (for patterns: to the highest). `slice(low, high)`: geometric
            from the first group to the last. `slice(None, high)`: `high / 10` for all
            groups but the last, as in fastai. A list: one for each group. A dict from a
            name or pattern of layers, as in `freeze`, to a learning rate; the first
            pattern that matches a layer counts.
        groups: `keras.Model`, for its `layer_groups` (as many as `rates` is long) or
            for patterns; or `LayerGroups`; or a list of layers or lists of layers.
        multipliers: Instead of `rates`, in the same forms: multiples of the
            optimizer's own learning rate, which may be a schedule.
        layer_decay: Instead of `rates`, float in (0, 1]: the learning rate of each
            group is this fraction of that of the next one; the last group has the
            optimizer's.
        name: Str or None.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If not exactly one of `rates`, `multipliers` and `layer_decay` is
            given or it does not fit the groups, for `Ftrl` and `Prodigy`, and, when the
            optimizer is built, if a variable to be trained is in no group.

    Example:

    >>> import keras
    >>> from keras_deeptools.transfer import DiscriminativeLearningRates
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(3, name="first"),
    ...         keras.layers.Dense(3, name="second"),
    ...         keras.layers.Dense(2, name="head"),
    ...     ]
    ... )
    >>> optimizer = DiscriminativeLearningRates("adamw", slice(1e-5, 1e-3), model)
    >>> model.compile(optimizer, loss="mse")
    >>> print(optimizer.table())
    group      layers  parameters  multiplier  rate now
    0  first        1          15        0.01     1e-05
    1  second       1          12         0.1    0.0001
    2  head         1           8           1     0.001
    >>> optimizer.learning_rate = 2e-3
    >>> print(optimizer.table().splitlines()[1])
    0  first        1          15        0.01     2e-05

    Reference:
        Howard & Ruder, 2018, section 3.2. https://arxiv.org/abs/1801.06146
    """

    def __init__(
        self,
        inner_optimizer: Any,
        rates: Rates | None = None,
        groups: Groups | None = None,
        *,
        multipliers: Rates | None = None,
        layer_decay: float | None = None,
        name: str | None = None,
    ) -> None:
        optimizer = keras.optimizers.get(inner_optimizer)
        check_rate_scales(optimizer, OWNER)
        given = {"rates": rates, "multipliers": multipliers, "layer_decay": layer_decay}
        found, base = _groups_of(optimizer, groups, given)
        super().__init__(optimizer, name)
        if rates is not None:
            self.learning_rate = base
        self._groups = found
        self._source = RateMultipliers(
            lambda _, variables: found.multipliers(variables)
        )

    def build(self, variables: list[Any]) -> None:
        """Builds the inner optimizer for `variables`, each of which needs a group."""
        missing = [variable.path for variable in self._groups.recognize(variables)]
        if missing:
            raise ValueError(
                f"{OWNER}: every variable that is trained must be in a group. "
                f"Received: {', '.join(missing)}, in none. Make the optimizer from the "
                'model as it is now; as the last pattern, "*" takes all that is left.'
            )
        super().build(variables)
        self._groups.note_trained(variables)
        self._source.join(self.inner_optimizer, OWNER)

    def multiplier(self, variable: Any) -> float:
        """The multiple of the optimizer's learning rate that trains one `variable`.

        Raises:
            ValueError: If the variable is in no group; for a loaded model, if the
                optimizer has not been built for it yet.
        """
        if not self._groups.knows(variable):
            rule = "in a group that the optimizer knows"
            raise ValueError(message(OWNER, "variable", rule, variable))
        return self._groups.multipliers([variable])[0]

    def table(self) -> str:
        """Layers, parameters, multiplier and present learning rate of each group."""
        rate = getattr(self, "learning_rate", None)
        return self._groups.table(None if rate is None else float(on_host(rate)))

    def get_config(self) -> dict[str, Any]:
        """The name, the inner optimizer, and each group with the paths in it."""
        return super().get_config() | {"groups": self._groups.get_config()}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "DiscriminativeLearningRates":
        """The reverse of `get_config`; `custom_objects` are for the inner optimizer."""
        groups = RateGroups.from_config(config["groups"])
        return super().from_config(config | {"groups": groups}, custom_objects)


def _groups_of(
    optimizer: Any, groups: Any, given: dict[str, Any]
) -> tuple[RateGroups, float]:
    """The groups with their multipliers, and the learning rate that these multiply."""
    named = [name for name, value in given.items() if value is not None]
    if isinstance(groups, RateGroups) and not named:
        return groups, 1.0
    if len(named) != 1:
        raise ValueError(
            f"{OWNER}: one of `rates`, `multipliers` and `layer_decay` must be given. "
            f"Received: {', '.join(named) or 'none'}. Pass for instance "
            "`rates=slice(1e-5, 1e-3)`."
        )
    [argument] = named
    value = given[argument]
    rate = getattr(optimizer, "learning_rate", None)
    if argument == "rates" and not isinstance(rate, keras.Variable):
        rule = "left out where the optimizer's rate cannot be set"
        remedy = "Its rate is a schedule, or one of several: give `multipliers`."
        raise ValueError(message(OWNER, argument, rule, value, remedy))
    return resolved(argument, value, groups)
