"""An optimizer whose kind, learning rate and weight decay come from a search.

`searched_optimizer` chooses among those of Keras; `OPTIMIZERS` has what is searched of
this package's own, by the name of each.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_deeptools import optimizers
from keras_deeptools._arguments import message
from keras_deeptools.tuning._search_space.ranges import FloatRange, OneOf, SearchSpace

OWNER = "searched_optimizer"
DECAY = FloatRange(1e-6, 1e-1, log=True)
# Learning rates at which each trains from scratch in the few epochs of a trial: on
# digits lower ones get nowhere in ten epochs, on Fashion-MNIST higher ones of SGD
# diverge.
RATES = {
    "adamw": FloatRange(3e-4, 3e-2, log=True),
    "sgd": FloatRange(5e-3, 3e-1, log=True),
    "adam": FloatRange(3e-4, 3e-2, log=True),
    "nadam": FloatRange(3e-4, 3e-2, log=True),
    "rmsprop": FloatRange(1e-4, 1e-2, log=True),
    "lion": FloatRange(1e-5, 3e-3, log=True),
}
SOURCE = OneOf(("searched", "range_test"))
# The range test suggests a learning rate that trains well; the best one is near it.
FACTOR = FloatRange(0.2, 5.0, log=True)
DECAYING = ("adamw", "lion")


def searched_optimizer(
    hp: Any,
    names: Sequence[str] = ("adamw", "sgd"),
    *,
    prefix: str = "optimizer",
    learning_rate: float | FloatRange | None = None,
    range_test: bool = False,
) -> keras.optimizers.Optimizer:
    """Makes an optimizer from a search, with its learning rate and weight decay.

    Each optimizer has its own learning rate in the search, because good learning rates
    of SGD and Adam differ by a factor of thirty.

    Args:
        hp: `keras_tuner.HyperParameters`.
        names: Names out of `"adam"`, `"adamw"`, `"lion"`, `"nadam"`, `"rmsprop"` and
            `"sgd"` (with Nesterov momentum 0.9). The first is the default.
        prefix: Str, first part of the hyperparameters' names.
        learning_rate: Float, a learning rate that is used as it is; a `FloatRange` for
            all optimizers; None for each optimizer's own range.
        range_test: Bool. Whether a hyperparameter `learning_rate_from` of each
            optimizer chooses between a learning rate that is searched and one that you
            find once there are data, see `rate_factor`.

    Returns:
        `keras.optimizers.Optimizer`.

    Raises:
        ValueError: If a name is unknown.

    Example:

    >>> from keras_deeptools.tuning import searched_optimizer
    >>> class FirstTrial:
    ...     Float = staticmethod(lambda name, low, high, sampling, default: default)
    >>> optimizer = searched_optimizer(FirstTrial, ["sgd"])
    >>> type(optimizer).__name__, round(float(optimizer.learning_rate), 6)
    ('SGD', 0.03873)
    """
    unknown = sorted(set(names) - set(RATES))
    if unknown or not names:
        rule = f"names out of {', '.join(sorted(RATES))}"
        raise ValueError(message(OWNER, "names", rule, list(names)))
    if len(names) == 1:
        name = names[0]
        asked = _asked(hp, name, f"{prefix}/{name}", learning_rate, range_test)
        return _made(name, asked)
    chosen = hp.Choice(f"{prefix}/name", list(names), default=names[0])
    if chosen not in names:
        rule = "those of the first call with this prefix in one search"
        remedy = f"{prefix}/name is {chosen!r}. Give both the same names."
        raise ValueError(message(OWNER, "names", rule, list(names), remedy))
    options = {}
    for name in names:
        # Every optimizer's own hyperparameters hang on its name. All are asked for,
        # so that a tuner knows them before it has chosen.
        with hp.conditional_scope(f"{prefix}/name", [name]):
            place = f"{prefix}/{name}"
            options[name] = _asked(hp, name, place, learning_rate, range_test)
    return _made(chosen, options[chosen])


def rate_factor(
    hp: Any, names: Sequence[str], prefix: str = "optimizer"
) -> float | None:
    """The factor for the range test's learning rate; None if that is searched.

    Args:
        hp: `keras_tuner.HyperParameters` that `searched_optimizer` was called with.
        names: As for `searched_optimizer`.
        prefix: As for `searched_optimizer`.
    """
    name = names[0] if len(names) == 1 else hp.get(f"{prefix}/name")
    if hp.get(f"{prefix}/{name}/learning_rate_from") != "range_test":
        return None
    return hp.get(f"{prefix}/{name}/learning_rate_factor")


def _asked(
    hp: Any,
    name: str,
    prefix: str,
    learning_rate: float | FloatRange | None,
    range_test: bool,
) -> dict[str, Any]:
    """What of one optimizer is searched."""
    rates = RATES[name] if learning_rate is None else learning_rate
    options: dict[str, Any] = {"learning_rate": rates}
    if isinstance(rates, FloatRange):
        options["learning_rate"] = _rate(hp, prefix, rates, range_test)
    if name in DECAYING:
        options["weight_decay"] = DECAY.ask(hp, f"{prefix}/weight_decay")
    return options


def _rate(hp: Any, prefix: str, rates: FloatRange, range_test: bool) -> float | None:
    """The searched learning rate; None if the optimizer is not the trial's."""
    place = f"{prefix}/learning_rate"
    if not range_test:
        return rates.ask(hp, place)
    SOURCE.ask(hp, f"{place}_from")
    with hp.conditional_scope(f"{place}_from", ["range_test"]):
        FACTOR.ask(hp, f"{place}_factor")
    with hp.conditional_scope(f"{place}_from", ["searched"]):
        rate = rates.ask(hp, place)
    # A search says None of what does not count in a trial.
    return rates.middle if rate is None else rate


def _made(name: str, options: dict[str, Any]) -> keras.optimizers.Optimizer:
    if name == "sgd":
        options = options | {"momentum": 0.9, "nesterov": True}
    return named_optimizer(name, options)


def named_optimizer(name: str, options: dict[str, Any]) -> Any:
    """An optimizer of a name with these arguments."""
    return keras.optimizers.get({"class_name": name, "config": options})


def _lookahead(
    learning_rate: float,
    sync_period: int,
    slow_step_size: float,
    inner_optimizer: str = "adamw",
) -> optimizers.Lookahead:
    """The learning rate of the inner optimizer, which is known by its name."""
    inner = named_optimizer(inner_optimizer, {"learning_rate": learning_rate})
    return optimizers.Lookahead(inner, sync_period, slow_step_size)


OPTIMIZERS = {
    "adabelief": SearchSpace(
        optimizers.AdaBelief,
        {
            "learning_rate": RATES["adam"],
            "epsilon": OneOf((1e-16, 1e-12, 1e-8)),
            "weight_decay": DECAY,
        },
    ),
    # Xie et al., 2022, section 5: learning rates five to ten times AdamW's.
    "adan": SearchSpace(
        optimizers.Adan,
        {
            "learning_rate": FloatRange(1e-3, 1e-1, log=True),
            "weight_decay": DECAY,
        },
    ),
    # Pagliardini et al., 2024, section 4: alpha from 4 to 10; the slow mean is shorter
    # here, since a search trains for fewer updates.
    "ademamix": SearchSpace(
        optimizers.AdEMAMix,
        {
            "learning_rate": RATES["adam"],
            "alpha": FloatRange(1.0, 10.0),
            "beta_3": OneOf((0.99, 0.999, 0.9999)),
            "weight_decay": DECAY,
        },
    ),
    "adopt": SearchSpace(
        optimizers.ADOPT,
        {
            "learning_rate": RATES["adam"],
            "beta_2": OneOf((0.99, 0.999, 0.9999)),
            "weight_decay": DECAY,
        },
    ),
    # Zhang et al., 2019, section 5: 5 to 20 updates, and a step of 0.5 or 0.8.
    "lookahead": SearchSpace(
        optimizers.Lookahead,
        {
            "learning_rate": RATES["adam"],
            "sync_period": OneOf((5, 6, 10, 20)),
            "slow_step_size": OneOf((0.5, 0.8)),
        },
        make=_lookahead,
    ),
    "prodigy": SearchSpace(
        optimizers.Prodigy,
        {"coefficient": FloatRange(0.5, 2.0, log=True), "weight_decay": DECAY},
    ),
    "rectified_adam": SearchSpace(
        optimizers.RectifiedAdam,
        {"learning_rate": RATES["adam"], "weight_decay": DECAY},
    ),
    # Vyas et al., 2024, section 6: Adam's learning rates, and eigenvectors that follow
    # every update up to every hundredth.
    "soap": SearchSpace(
        optimizers.SOAP,
        {
            "learning_rate": RATES["adam"],
            "beta_2": OneOf((0.95, 0.99)),
            "refresh_every": OneOf((1, 10, 50)),
            "weight_decay": DECAY,
        },
    ),
}
