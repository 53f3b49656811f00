"""Scripts of `benchmarks/` as modules, for the tests of what they are made of."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@contextlib.contextmanager
def benchmark_modules(*names: str) -> Iterator[list[ModuleType]]:
    """Imports modules by name, as scripts beside them do, and forgets them after."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield [importlib.import_module(name) for name in names]
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]
