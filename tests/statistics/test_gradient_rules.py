"""What recorded gradients show: each kind is found with the numbers that show it."""

import numpy as np
import pytest

from keras_deeptools.statistics import GradientThresholds
from keras_deeptools.statistics._gradient_detector import GradientDetector, RunSettings
from keras_deeptools.statistics._gradient_rows import (
    GradientRows,
    GradientVariable,
    median,
)

pytestmark = pytest.mark.backend_free

COUNT = 40
EVEN = [1.0, 1.0, 1.0, 1.0]


def rows(
    norms: list[float],
    later: list[float] | None = None,
    ratios: list[float] | None = None,
) -> GradientRows:
    """Updates of four kernels of 4 x 4; `later` holds from the middle on."""
    names = ("one", "two", "three", "four")
    variables = [GradientVariable(f"{n}/kernel", n, "kernel", (4, 4)) for n in names]
    table = np.tile(np.array(norms), (COUNT, 1))
    if later is not None:
        table[COUNT // 2 :] = later
    weights = np.full((COUNT, 4), 2.0)
    changes = weights * np.array([1e-3] * 4 if ratios is None else ratios)
    bad = (~np.isfinite(table)).astype(float)
    steps = np.arange(COUNT)
    return GradientRows(variables, steps, table, bad, changes, weights)


def found(given: GradientRows) -> list:
    return GradientDetector(GradientThresholds()).update(given)


def test_even_gradients_have_no_findings() -> None:
    assert found(rows(EVEN)) == []


def test_vanishing_holds_its_ratio_and_the_limit() -> None:
    (finding,) = found(rows([4e-6, 1.0, 1.0, 4.0]))
    assert (finding.kind, finding.where) == ("vanishing", "one/kernel")
    numbers = finding.evidence
    # RMS gradients: norms over the square root of 16 elements.
    assert numbers["gradient"] == pytest.approx(1e-6)
    assert numbers["largest_above"] == pytest.approx(1.0)
    assert numbers["ratio"] == pytest.approx(1e-6) and numbers["least_ratio"] == 1e-4


def test_an_exploding_layer_holds_its_ratio_and_the_limit() -> None:
    (finding,) = found(rows([1e5, 1.0, 1.0, 1.0]))
    assert (finding.kind, finding.where) == ("exploding", "one/kernel")
    assert finding.evidence["ratio"] == pytest.approx(1e5)
    assert finding.evidence["most_ratio"] == 1e4


def test_an_exploding_run_holds_its_norm_and_the_usual_one() -> None:
    (finding,) = found(rows(EVEN, later=[1e3, 1.0, 1.0, 1.0]))
    assert (finding.kind, finding.step) == ("exploding", COUNT // 2)
    assert finding.evidence["global_norm"] == pytest.approx(1e3, rel=1e-5)
    assert finding.evidence["running_median"] == finding.evidence["start"] == 2.0
    assert "GradientClipper" in finding.code and finding.severity == "problem"


def test_dead_layers_are_named_with_the_number_of_updates() -> None:
    (finding,) = found(rows([1.0, 0.0, 1.0, 1.0]))
    assert (finding.kind, finding.where, finding.step) == ("dead", "two", 0)
    assert finding.evidence == {"gradient": 0.0, "updates": 20}


def test_what_is_not_finite_is_counted() -> None:
    (finding,) = found(rows(EVEN, later=[np.nan, np.nan, 1.0, 1.0]))
    assert (finding.kind, finding.where) == ("non-finite", "two/kernel")
    expected = {"elements": 2, "variables": 2, "of_variables": 4}
    assert finding.evidence == expected and finding.step == COUNT // 2


@pytest.mark.parametrize(
    ("ratio", "kind", "limit"),
    [(0.5, "large updates", "most_ratio"), (1e-7, "small updates", "least_ratio")],
)
def test_updates_out_of_scale_hold_their_ratio_and_the_usual_one(
    ratio: float, kind: str, limit: str
) -> None:
    (finding,) = found(rows(EVEN, ratios=[1e-3, ratio, 1e-3, 1e-3]))
    assert (finding.kind, finding.where) == (kind, "two/kernel")
    assert finding.evidence["ratio"] == pytest.approx(ratio)
    assert finding.evidence["usual_ratio"] == 1e-3 and limit in finding.evidence
    assert finding.severity == "warning"


def kinds(given: GradientRows, **more: object) -> list[str]:
    """Kinds of findings after an epoch with a loss of 2."""
    detector = GradientDetector(GradientThresholds())
    return [each.kind for each in detector.update(given, loss=2.0, **more)]


def test_weights_that_begin_at_zero_may_grow_by_more_than_their_norm() -> None:
    given = rows(EVEN)
    given.weights[:, 3] = 1e-3 * np.arange(1, COUNT + 1)
    given.changes[:, 3] = 1e-3
    assert found(given) == []


def test_updates_that_are_large_in_the_first_steps_alone_are_no_finding() -> None:
    given = rows(EVEN)
    given.changes[:9, 1] = 0.5
    assert found(given) == []


def test_one_update_as_large_as_the_weights_is_enough() -> None:
    given = rows(EVEN)
    given.changes[1, 2] = 5.0
    (finding,) = found(given[:3])
    assert (finding.kind, finding.where) == ("large updates", "three/kernel")
    assert finding.step == 1


def test_a_jump_from_gradients_near_zero_is_no_explosion() -> None:
    given = rows([1e-3] * 4)
    given.norms[:10] = 1.0
    given.norms[30] = 5.0
    assert found(given) == []


def test_a_jump_explodes_where_the_optimizer_follows_it() -> None:
    given = rows(EVEN)
    given.norms[30] = 1e3
    assert found(given) == []
    given.changes[30] = 0.5
    assert [each.kind for each in found(given)] == ["exploding"]


def test_a_learning_rate_is_too_low_where_the_planned_updates_lead_nowhere() -> None:
    given = rows(EVEN, ratios=[1e-5] * 4)
    assert kinds(given, settings=RunSettings(planned=100)) == ["learning rate too low"]
    assert kinds(given, settings=RunSettings(planned=100_000)) == []


def test_a_warmup_is_no_learning_rate_too_low() -> None:
    given = rows(EVEN, ratios=[1e-5] * 4)
    given.changes[:] = given.changes * np.linspace(0, 1, COUNT)[:, None]
    assert kinds(given, settings=RunSettings(planned=100)) == []


def test_what_was_trained_before_may_move_little() -> None:
    given = rows(EVEN, ratios=[1e-5] * 4)
    given.steps[:] += 1000
    assert kinds(given, settings=RunSettings(planned=100)) == []


@pytest.mark.parametrize("name", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_clipping_is_named_where_it_leaves_nothing_of_gradients(name: str) -> None:
    given = rows(EVEN, ratios=[1e-8] * 4)
    settings = RunSettings(planned=100, clips={name: 1e-5})
    assert kinds(given, settings=settings) == ["clipping stops learning"]


def test_each_thing_is_found_once() -> None:
    detector = GradientDetector(GradientThresholds())
    given = rows([1.0, 0.0, 1.0, 1.0])
    assert len(detector.update(given)) == 1
    assert detector.update(given) == [] and len(detector.findings) == 1


def test_as_many_updates_as_the_patience_are_judged_and_one_less_is_not() -> None:
    given = rows([1.0, 0.0, 1.0, 1.0])
    patience = GradientThresholds().patience
    assert [f.kind for f in found(given[:patience])] == ["dead"]
    assert found(given[: patience - 1]) == []


def test_what_has_no_gradient_adds_nothing_to_the_global_norm() -> None:
    given = rows([3.0, np.nan, 4.0, np.nan])
    given.nonfinite[:, [1, 3]] = np.nan
    np.testing.assert_array_equal(given.global_norms, 5.0)


def test_of_an_even_number_of_values_the_median_is_the_lower_one_in_the_middle() -> (
    None
):
    assert median(np.array([4.0, 1.0, 3.0, 2.0])) == 2.0
