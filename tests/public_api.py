"""The public API, found by reflection: `__all__` of the package and of its rooms."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import keras_deeptools

PACKAGE = Path(keras_deeptools.__file__).parent


def rooms() -> list[ModuleType]:
    """The package itself and every public package below it."""
    found = pkgutil.walk_packages(keras_deeptools.__path__, "keras_deeptools.")
    names = [module.name for module in found if is_public(module.name)]
    return [keras_deeptools, *map(importlib.import_module, names)]


def is_public(dotted_name: str) -> bool:
    """True where no part of the path starts with an underscore."""
    return not any(part.startswith("_") for part in dotted_name.split("."))


def public_objects() -> dict[str, object]:
    """Public path -> object, for every class and function in the `__all__` of a room.

    What the package itself offers are names of its rooms.
    """
    return {
        f"{room.__name__}.{name}": getattr(room, name)
        for room in rooms()[1:]
        for name in getattr(room, "__all__", ())
        if not inspect.ismodule(getattr(room, name))
    }


def public_classes() -> dict[str, type]:
    """Public path -> class."""
    return {
        path: thing
        for path, thing in public_objects().items()
        if inspect.isclass(thing)
    }


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Every source file of the package, with its syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))
