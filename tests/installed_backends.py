"""Tests that need a backend that is not installed are left out, by name.

Torch is the reference of many tests and not in every environment that they run in.
"""

import re
from importlib import util
from pathlib import Path

import pytest

BACKENDS = ("tensorflow", "jax", "torch")
MISSING = tuple(name for name in BACKENDS if util.find_spec(name) is None)
IMPORTED = re.compile(rf"^(?:import|from) ({'|'.join(MISSING)})\b", re.MULTILINE)
left_out: list[str] = []
"""Files with tests that import what is missing."""


def needs_what_is_missing(path: Path) -> bool:
    """Whether a file with tests imports a backend that is not installed; noted."""
    if not MISSING or not re.fullmatch(r"test_\w+\.py", path.name):
        return False
    found = IMPORTED.search(path.read_text(encoding="utf-8")) is not None
    if found:
        left_out.append(path.name)
    return found


def skip_if_missing(error: ModuleNotFoundError) -> None:
    """Skips the running test if the backend that it imports is not installed."""
    backend = (error.name or "").partition(".")[0]
    if backend in MISSING:
        pytest.skip(f"needs {backend}, which is not installed")
