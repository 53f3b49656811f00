"""Each variable gets its own multiple of the rate, in one update of the optimizer."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from keras_deeptools.engine import Feature, RateMultipliers, attach
from keras_deeptools.engine._update.rate_multipliers import check_rate_scales
from transfer.two_branches import INPUTS, TARGETS, two_branches, values

of = keras.optimizers
RATE, QUARTER = 0.02, 0.25
MAKERS: dict[str, Callable] = {
    "Adadelta": of.Adadelta,
    "Adafactor": of.Adafactor,
    "Adafactor at its cap": lambda rate: of.Adafactor(1.0),
    "Adagrad": of.Adagrad,
    "Adam": of.Adam,
    "AdamW": of.AdamW,
    "Adamax": of.Adamax,
    "Lion": of.Lion,
    "Muon": of.Muon,
    "Nadam": of.Nadam,
    "RMSprop": lambda rate: of.RMSprop(rate, momentum=0.5, centered=True),
    "SGD": lambda rate: of.SGD(rate, momentum=0.9, nesterov=True, weight_decay=0.1),
    "ScheduleFreeAdamW": lambda rate: of.ScheduleFreeAdamW(rate),
    "accumulation": lambda rate: of.AdamW(rate, gradient_accumulation_steps=2),
    "moving averages": lambda rate: of.Adam(rate, use_ema=True),
    "schedule": lambda rate: of.Adam(of.schedules.ExponentialDecay(rate, 1, 0.9)),
}
SPECIAL = ["Adafactor", "Muon", "ScheduleFree", "accumulation", "averages", "schedule"]
"""What differs in more than the rule of its update."""


def left(factor: object) -> Callable:
    """A function for `RateMultipliers` that changes the rate of the left branch."""

    def multipliers(optimizer: object, variables: list) -> list:
        value = factor(optimizer) if callable(factor) else factor
        return [value if "left" in v.path else 1.0 for v in variables]

    return multipliers


def trained(
    optimizer: keras.optimizers.Optimizer,
    *sources: RateMultipliers,
    steps: int = 4,
    run_eagerly: bool = False,
) -> dict[str, dict[str, np.ndarray]]:
    """Weights and slots of both branches after some updates."""
    model = two_branches(optimizer, run_eagerly=run_eagerly)
    model.optimizer.build(model.trainable_variables)
    for source in sources:
        source.join(model.optimizer)
    for _ in range(steps):
        model.train_on_batch(INPUTS, TARGETS)
    return {branch: values(model, branch) for branch in ("left", "right")}


def assert_close(these: dict, those: dict, tolerance: float = 1e-6) -> None:
    assert these.keys() == those.keys() and these
    for name, value in these.items():
        np.testing.assert_allclose(value, those[name], atol=tolerance, err_msg=name)


@pytest.mark.alternates("name", but=SPECIAL)
@pytest.mark.parametrize("name", MAKERS)
def test_a_group_is_updated_as_if_all_had_its_rate(name: str) -> None:
    make, source = MAKERS[name], RateMultipliers(left(QUARTER))
    mixed = trained(make(RATE), source, run_eagerly=True)
    plain = trained(make(RATE), run_eagerly=True)
    assert_close(mixed["right"], plain["right"], 0.0)
    if name != "Adafactor at its cap":
        slow = trained(make(RATE * QUARTER), run_eagerly=True)
        assert_close(mixed["left"], slow["left"])


def test_an_update_that_is_capped_is_multiplied_after_the_cap() -> None:
    start = two_branches(of.SGD(0.1)).get_layer("left").get_weights()[0]
    whole = trained(of.Adafactor(1.0), steps=1)["left"]["kernel"]
    part = trained(of.Adafactor(1.0), RateMultipliers(left(QUARTER)), steps=1)
    change = part["left"]["kernel"] - start
    np.testing.assert_allclose(change, QUARTER * (whole - start), rtol=1e-5, atol=1e-7)


def test_several_multipliers_on_one_optimizer_multiply() -> None:
    both = [RateMultipliers(left(0.5)), RateMultipliers(left(0.5))]
    one = RateMultipliers(left(QUARTER))
    assert_close(
        trained(of.Adam(RATE), *both)["left"], trained(of.Adam(RATE), one)["left"]
    )


def test_a_multiplier_can_be_a_function_of_the_step() -> None:
    def halving(optimizer: keras.optimizers.Optimizer) -> object:
        return 0.5 ** ops.cast(optimizer.iterations, "float32")

    sources = [RateMultipliers(left(halving)), RateMultipliers(left(QUARTER))]
    mixed = trained(of.SGD(RATE), *sources)
    decay = of.schedules.ExponentialDecay(RATE * QUARTER, 1, 0.5)
    assert_close(mixed["left"], trained(of.SGD(decay))["left"])
    assert_close(mixed["right"], trained(of.SGD(RATE))["right"])


def test_weight_decay_is_left_alone_on_request() -> None:
    source = RateMultipliers(left(QUARTER), scales_weight_decay=False)
    mixed = trained(of.SGD(RATE, weight_decay=0.1), source)
    slow = trained(of.SGD(RATE * QUARTER, weight_decay=0.1 / QUARTER))
    assert_close(mixed["left"], slow["left"])


def test_a_group_without_any_weight_to_decay_is_passed_over() -> None:
    optimizer = of.AdamW(RATE, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])

    def biases(optimizer: object, variables: list) -> list:
        return [QUARTER if v.name == "bias" else 1.0 for v in variables]

    mixed = trained(optimizer, RateMultipliers(biases), steps=1)
    plain = trained(of.AdamW(RATE, weight_decay=0.5), steps=1)
    np.testing.assert_array_equal(mixed["left"]["kernel"], plain["left"]["kernel"])


class Recording(Feature):
    """Counts, in the graph, how often its stages run and sums what moved."""

    def prepare(self, leaf: object) -> dict:
        return {"count": leaf.add_state("count"), "moved": leaf.add_state("moved")}

    def wants_updates(self, state: dict, leaf: object) -> bool:
        return True

    def observe_updates(
        self, state: dict, leaf: object, change_norms: object, weight_norms: object
    ) -> None:
        assert len(leaf.active) == 4
        state["moved"].assign(ops.sum(change_norms))

    def project_weights(self, state: dict, leaf: object) -> None:
        state["count"].assign(state["count"] + 1.0)


@pytest.mark.parametrize("joins_first", [True, False])
def test_what_is_attached_sees_one_update_in_either_order(joins_first: bool) -> None:
    model = two_branches(of.SGD(RATE))
    model.optimizer.build(model.trainable_variables)
    source, feature = RateMultipliers(left(QUARTER)), Recording()
    before = model.get_weights()
    if joins_first:
        source.join(model.optimizer)
    with attach(model, feature) as attachment:
        if not joins_first:
            source.join(model.optimizer)
        model.train_on_batch(INPUTS, TARGETS)
        state, leaf = attachment.state(feature)[0], attachment.leaves[0]
        assert float(leaf.read(state["count"])) == 1.0
        moved = float(leaf.read(state["moved"]))
    pairs = zip(model.get_weights(), before, strict=True)
    total = sum(np.linalg.norm(now - then) for now, then in pairs)
    np.testing.assert_allclose(moved, total, rtol=1e-4)
    expected = trained(of.SGD(RATE * QUARTER), steps=1)["left"]
    assert_close(values(model, "left"), expected)


@pytest.mark.parametrize("leaves_first", [True, False])
def test_nothing_is_left_when_all_have_left(leaves_first: bool) -> None:
    model = two_branches(of.SGD(RATE))
    model.optimizer.build(model.trainable_variables)
    before = dict(vars(model.optimizer))
    source = RateMultipliers(left(QUARTER))
    attachment = attach(model, Recording())
    source.join(model.optimizer)
    if leaves_first:
        source.leave(model.optimizer)
        attachment.detach()
    else:
        attachment.detach()
        source.leave(model.optimizer)
    assert vars(model.optimizer).keys() == before.keys()


def test_ftrl_is_refused_also_inside_another_optimizer() -> None:
    with pytest.raises(ValueError, match="probe: .* proportional to its rate.*Ftrl"):
        check_rate_scales(of.LossScaleOptimizer(of.Ftrl()), "probe")
