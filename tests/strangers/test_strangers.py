"""Every program with every feature on torch, and with those whose turn it is elsewhere.

`python -m tests.strangers` tries everything on all of them.
"""

import keras
import pytest

import strangers  # noqa: F401  enters the programs
from strangers.__main__ import BACKENDS, is_fault
from strangers.features import FEATURES, in_turn, judged
from strangers.program import PROGRAMS

BACKEND = keras.backend.backend()
CHOSEN = {
    backend: [
        (feature, name)
        for name, program in PROGRAMS.items()
        if backend in program.backends
        for feature in in_turn(program, backend)
    ]
    for backend in BACKENDS
}


@pytest.mark.parametrize(("feature", "name"), CHOSEN[BACKEND])
def test_a_feature_works_with_the_program_of_a_stranger(
    feature: str, name: str
) -> None:
    outcome = judged(PROGRAMS[name], feature)
    assert not is_fault(outcome), outcome


@pytest.mark.backend_free
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_meets_every_feature_and_every_program_for_it(backend: str) -> None:
    features, programs = map(set, zip(*CHOSEN[backend], strict=True))
    assert features == set(FEATURES)
    assert programs == {n for n, each in PROGRAMS.items() if backend in each.backends}


@pytest.mark.backend_free
def test_a_program_for_all_backends_meets_another_feature_on_each() -> None:
    tensorflow, jax = (set(CHOSEN[backend]) for backend in ("tensorflow", "jax"))
    assert {PROGRAMS[name].backends for _, name in tensorflow & jax} == {
        ("tensorflow", "jax")
    }
