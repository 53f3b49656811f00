"""Every program with the callbacks on every backend, and with all else on torch.

`python -m tests.strangers` tries everything on all of them.
"""

import keras
import pytest

import strangers  # noqa: F401  enters the programs
from strangers.__main__ import is_fault
from strangers.features import FEATURES, QUICK, judged
from strangers.program import PROGRAMS

BACKEND = keras.backend.backend()
HERE = [name for name, each in PROGRAMS.items() if BACKEND in each.backends]


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("feature", FEATURES if BACKEND == "torch" else QUICK)
def test_a_feature_works_with_the_program_of_a_stranger(
    name: str, feature: str
) -> None:
    outcome = judged(PROGRAMS[name], feature)
    assert not is_fault(outcome), outcome
