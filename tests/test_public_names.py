"""A public name leads to the file that it is defined in.

`GradientMonitor` is in a file or a folder `gradient_monitor`, wherever this is. What
belongs to it (its result, its options) may stand in the same file, or in the folder
of that name. Underscores, capital letters and a 1D, 2D or 3D at the end aside, no
other name will do.
"""

import inspect
import re

import pytest

import public_api

pytestmark = pytest.mark.backend_free

# Name -> why its file cannot be called like it.
EXCEPTIONS: dict[str, str] = {}


def plain(name: str) -> str:
    """A name without capital letters, underscores and number of dimensions."""
    return re.sub(r"[123]d$", "", name.lower().replace("_", ""))


def place_of(thing: object) -> tuple[str, ...]:
    """Folders and file that a class or function is defined in, below the package."""
    return tuple(inspect.unwrap(thing).__module__.split(".")[1:])


def places() -> dict[str, tuple[str, ...]]:
    """Public path of each class and function -> where it is defined."""
    return {
        path: place_of(thing)
        for path, thing in public_api.public_objects().items()
        if inspect.isclass(thing) or inspect.isfunction(thing)
    }


def homes() -> set[tuple[str, ...]]:
    """Files and folders that are called like a public name which is defined there."""
    return {
        place[: depth + 1]
        for path, place in places().items()
        for depth, part in enumerate(place)
        if plain(part) == plain(path.rpartition(".")[2])
    }


def leads_nowhere(place: tuple[str, ...], known: set[tuple[str, ...]]) -> bool:
    """Whether neither the file nor a folder above it is called like a name in it."""
    return not any(place[: depth + 1] in known for depth in range(len(place)))


def offenders() -> dict[str, str]:
    """Public paths that do not lead to their file, and the file."""
    known = homes()
    return {
        path: "/".join(place) + ".py"
        for path, place in places().items()
        if leads_nowhere(place, known)
    }


def test_every_public_name_leads_to_its_file() -> None:
    lost = [
        f"{path} is in {file}"
        for path, file in offenders().items()
        if path.rpartition(".")[2] not in EXCEPTIONS
    ]
    assert not lost, "\n".join(lost)


def test_no_exception_is_made_that_is_not_needed() -> None:
    assert set(EXCEPTIONS) <= {path.rpartition(".")[2] for path in offenders()}


def test_a_name_in_a_file_of_another_name_is_found() -> None:
    assert leads_nowhere(("tuning", "_trials", "record"), homes())
    assert not leads_nowhere(("tuning", "_trials", "objective"), homes())
