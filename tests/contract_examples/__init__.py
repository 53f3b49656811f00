"""A valid instance of every public class, for `test_contract.py`: a file a room.

A class in an `__all__` without an entry in its room's `EXAMPLES` (or `HANDLES`) fails
the contract, so that a new component is covered from the day it exists. The key is its
public path, the value makes one; callbacks train `small_model()` on `INPUTS`.
"""

import importlib
import pkgutil
from collections.abc import Callable

EXAMPLES: dict[str, Callable[[], object]] = {}
HANDLES: set[str] = set()

for _found in pkgutil.iter_modules(__path__):
    _room = importlib.import_module(f"{__name__}.{_found.name}")
    EXAMPLES |= getattr(_room, "EXAMPLES", {})
    HANDLES |= getattr(_room, "HANDLES", set())
