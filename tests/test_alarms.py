"""Healthy models raise no alarm, and faulty ones do."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from benchmark_modules import benchmark_modules

pytestmark = pytest.mark.one_backend

HEALTHY = [
    "residual branches of zero",
    "depthwise",
    "mean of words, hidden",
    "pre-norm transformer",
]
FAULTY = ["deep sigmoid", "small cnn", "sgd 1e-6", "adam 1"]


@pytest.fixture(scope="module")
def modules() -> Iterator[list[ModuleType]]:
    with benchmark_modules("alarms", "healthy_cases", "faulty_cases") as found:
        yield found


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_has_no_alarm(name: str, modules: list[ModuleType]) -> None:
    alarms, healthy, _ = modules
    [case] = [each for each in healthy.HEALTHY if each.name == name]
    assert list(alarms.examined(case)) == []


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_model_is_named_by_each_tool(
    name: str, modules: list[ModuleType]
) -> None:
    alarms, _, faulty = modules
    [case] = [each for each in faulty.FAULTY if each.name == name]
    found = list(alarms.examined(case))
    for tool, kinds in case.named_by:
        assert alarms.is_named(kinds, [each for it, _, each in found if it == tool])
