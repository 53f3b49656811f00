"""Every optimizer against its authors' formulas and against other libraries."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

import authors_formulas_of_optimizers as authors
from benchmark_modules import benchmark_modules
from keras_deeptools import optimizers
from keras_deeptools.engine import tensors

REFERENCES = json.loads(Path(__file__).with_name("references.json").read_text("utf-8"))
RATE, DECAY = 0.02, 0.1


def sgd(rate: float, **options: Any) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(rate, momentum=0.9, **options)


MAKERS: dict[str, Callable[..., Any]] = {
    "ADOPT": optimizers.ADOPT,
    "AdEMAMix": optimizers.AdEMAMix,
    "AdEMAMix warmup": lambda rate: optimizers.AdEMAMix(rate, warmup_steps=50),
    "AdaBelief": optimizers.AdaBelief,
    "Adan": optimizers.Adan,
    "Lookahead": lambda rate: optimizers.Lookahead(sgd(rate)),
    "Prodigy": lambda _: optimizers.Prodigy(initial_estimate=0.1),
    "Prodigy corrected": lambda _: optimizers.Prodigy(
        initial_estimate=0.1, bias_correction=True
    ),
    "RectifiedAdam": optimizers.RectifiedAdam,
}
PAPERS: dict[Callable, Callable[..., Any]] = {
    authors.rectified_adam: optimizers.RectifiedAdam,
    authors.adabelief: optimizers.AdaBelief,
    authors.adan: optimizers.Adan,
    authors.adopt: optimizers.ADOPT,
    authors.ademamix: lambda rate, **options: optimizers.AdEMAMix(
        rate, warmup_steps=80, **options
    ),
    authors.prodigy: lambda _, **options: optimizers.Prodigy(
        initial_estimate=0.1, **options
    ),
    authors.lookahead: lambda rate, **options: optimizers.Lookahead(
        sgd(rate, **options)
    ),
}


@pytest.fixture(scope="module")
def problem() -> Iterator[ModuleType]:
    with benchmark_modules("optimizer_references") as [module]:
        yield module


def trained(
    optimizer: Any, problem: ModuleType, shapes: Any = ((2, 5), (6,))
) -> np.ndarray:
    """The problem's weights, in variables of some shapes, after training in float32."""
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]

    def split(values: np.ndarray) -> list[np.ndarray]:
        parts = zip(np.split(values, ends), shapes, strict=True)
        return [part.astype("float32").reshape(shape) for part, shape in parts]

    weights = [keras.Variable(part) for part in split(problem.START)]
    optimizer.build(weights)
    for update in range(problem.NUM_UPDATES):
        values = [keras.ops.convert_to_numpy(weight).ravel() for weight in weights]
        gradient = problem.gradient(np.concatenate(values).astype("float64"), update)
        parts = [keras.ops.convert_to_tensor(part) for part in split(gradient)]
        optimizer.apply(parts)
    return np.concatenate([keras.ops.convert_to_numpy(w).ravel() for w in weights])


@pytest.mark.parametrize("name", MAKERS)
def test_fifty_updates_lead_where_those_of_other_libraries_do(
    name: str, problem: ModuleType
) -> None:
    found = trained(MAKERS[name](problem.RATE), problem)
    others = [of[name] for of in REFERENCES.values() if name in of]
    assert others
    for other in others:
        np.testing.assert_allclose(found, other, atol=1e-5)


@pytest.mark.parametrize("formula", PAPERS, ids=lambda formula: formula.__name__)
def test_fifty_updates_with_weight_decay_lead_where_the_papers_do(
    formula: Callable, problem: ModuleType
) -> None:
    found = trained(PAPERS[formula](RATE, weight_decay=DECAY), problem)
    arguments = (problem.START, problem.gradient, problem.NUM_UPDATES, RATE, DECAY)
    np.testing.assert_allclose(found, formula(*arguments), atol=1e-5)


# The eigenvectors of the problem's factors are single precision's limit, hence half the
# learning rate.
def test_fifty_updates_of_soap_lead_where_the_paper_and_another_library_do(
    problem: ModuleType,
) -> None:
    found = trained(optimizers.SOAP(RATE / 2), problem, [problem.SQUARE])
    other = REFERENCES["pytorch_optimizer"]["SOAP"]
    np.testing.assert_allclose(found, other, atol=1e-5)
    soap = optimizers.SOAP(RATE / 2, weight_decay=DECAY)
    found = trained(soap, problem, [problem.SQUARE])
    arguments = (problem.START, problem.gradient, problem.NUM_UPDATES, RATE / 2, DECAY)
    np.testing.assert_allclose(found, authors.soap(*arguments), atol=1e-5)


@pytest.mark.one_backend
def test_the_averaged_length_is_that_of_the_paper_without_its_cancellation() -> None:
    from keras_deeptools.optimizers._rectified_adam import averaged_length

    for decay in (0.8, 0.99, 0.999):
        for step in (1.0, 5.0, 6.0, 50.0, 5000.0):
            power = decay**step
            exact = 2 / (1 - decay) - 1 - 2 * step * power / (1 - power)
            tensor = keras.ops.convert_to_tensor(step, "float32")
            found = float(averaged_length(decay, tensor))
            assert found == pytest.approx(exact, rel=3e-6, abs=1e-5)
            assert averaged_length(decay, step) == pytest.approx(exact, rel=1e-7)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["AdEMAMix warmup", "ADOPT", "Prodigy"])
def test_scalars_that_stay_on_the_device_lead_to_the_same_weights(
    name: str, problem: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(MAKERS[name](problem.RATE), problem)

    def tensor(value: Any) -> Any:
        is_float = isinstance(value, float)
        return value if is_float else keras.ops.copy(keras.ops.convert_to_tensor(value))

    monkeypatch.setattr(tensors, "number", tensor)
    monkeypatch.setattr(tensors, "scalar", tensor)
    found = trained(MAKERS[name](problem.RATE), problem)
    np.testing.assert_allclose(found, expected, atol=2e-6)
