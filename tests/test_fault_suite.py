"""The suite of faults injects what it says, and reads off what `diagnose` names."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from benchmark_modules import benchmark_modules

pytestmark = pytest.mark.one_backend


@pytest.fixture(scope="module")
def modules() -> Iterator[list[ModuleType]]:
    names = ["fault_kinds", "fault_programs", "fault_suite"]
    with benchmark_modules(*names) as found:
        yield found


def program(modules: list[ModuleType], fault: str = "") -> tuple[Any, Any]:
    kinds, programs, _ = modules
    base = next(each for each in programs.healthy() if each.name == "digits mlp")
    if not fault:
        return None, base
    found = next(each for each in kinds.FAULTS if each.name == fault)
    return found, found.inject(base)


def test_each_fault_fits_two_healthy_programs_at_least(
    modules: list[ModuleType],
) -> None:
    kinds, programs, _ = modules
    healthy = programs.healthy()
    rare = {
        fault.name
        for fault in kinds.FAULTS
        if sum(fault.inject(each) is not None for each in healthy) < 2
    }
    assert not rare


def test_the_two_parts_share_no_seed(modules: list[ModuleType]) -> None:
    parts = modules[2].PARTS
    assert not set(parts["tuning"]) & set(parts["held-out"])


def test_a_fault_is_named_first(modules: list[ModuleType]) -> None:
    fault, faulty = program(modules, "zeros as weights")
    assert modules[2].examine(faulty)["kinds"][0] in fault.named_by


def test_a_healthy_program_has_no_problem(modules: list[ModuleType]) -> None:
    _, healthy = program(modules)
    assert modules[2].examine(healthy)["problems"] == []
