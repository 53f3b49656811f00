"""Memory on the processor that is used again and again, on torch.

Fresh memory of this size costs a page fault for every four kilobytes.
"""

import threading
from typing import Any

import torch

CHUNK = 2**18
"""Elements that stay in a processor's cache."""
_MEMORY = threading.local()


def scratch(num_elements: int) -> Any:
    """A float32 vector of up to `CHUNK` elements; the next call may return the same."""
    if not hasattr(_MEMORY, "vector"):
        _MEMORY.vector = torch.empty(CHUNK)
    return _MEMORY.vector[:num_elements]
