"""Only the engine names a backend or touches what is private in Keras.

import-linter sees imports; these tests see names, attributes and strings too.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest

import public_api

pytestmark = pytest.mark.backend_free

BACKENDS = ("tensorflow", "jax", "torch")
# What is said of a backend that is missing names it.
OUTSIDE = ("engine", "_backend_check.py")
KERAS_TUNER = "_distributed_search/keras_tuner_private.py"
# Public all the same: so Python names what ends a process at once.
PUBLIC = {"_exit"}

# The places that know what is private in Keras, and in KerasTuner.
SEAMS = ("engine/_keras_private/", KERAS_TUNER)
# The one place that knows backends.
BACKEND_CODE = ("engine/_backends/", "engine/_keras_private/")
# Attributes of the engine's own that it keeps on objects of Keras.
KEPT_ON_OBJECTS = {"BIRTHS", "GUESTS", "KEPT", "NOTE", "NOTES", "SEAM", "SITE", "SITES"}

MODULES = {
    path.relative_to(public_api.PACKAGE).as_posix(): tree
    for path, tree in public_api.modules()
}
FEATURES = {
    file: tree
    for file, tree in MODULES.items()
    if file.partition("/")[0] not in OUTSIDE and file != KERAS_TUNER
}


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every name and string in the code, docstrings apart."""
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text):
                yield line, text
            case ast.Constant(value=str(text)) if id(node) not in prose:
                yield line, text
            case ast.Import(names=names):
                yield from ((line, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names):
                yield from ((line, f"{module}.{alias.name}") for alias in names)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of private attributes read, also through `getattr`."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()) if is_private(name):
                yield node.lineno, name
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" | "setattr" | "delattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ) if is_private(name):
                yield node.lineno, name


def private_definitions(tree: ast.Module) -> set[str]:
    """Private names that the file itself assigns or defines."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
    return {name for name in found if is_private(name)}


def lines_of(offenders: dict[str, list]) -> str:
    """File and what it holds, for every file that holds something."""
    return "\n".join(f"{file}: {held}" for file, held in offenders.items() if held)


def test_no_feature_module_names_a_backend() -> None:
    named = {
        file: [
            (line, text)
            for line, text in words(tree)
            if any(backend in text.lower() for backend in BACKENDS)
        ]
        for file, tree in FEATURES.items()
    }
    assert not lines_of(named)


def test_feature_modules_read_only_private_names_of_their_own_room() -> None:
    own: dict[str, set[str]] = {}
    for file, tree in FEATURES.items():
        own.setdefault(file.partition("/")[0], set()).update(private_definitions(tree))
    foreign = {
        file: [
            (line, name)
            for line, name in private_uses(tree)
            if name not in own[file.partition("/")[0]] | PUBLIC
        ]
        for file, tree in FEATURES.items()
    }
    assert not lines_of(foreign)


def test_no_feature_module_imports_what_is_private_in_keras() -> None:
    private = {
        file: [(n, text) for n, text in words(tree) if text.startswith("keras.src")]
        for file, tree in FEATURES.items()
    }
    assert not lines_of(private)


def test_no_feature_module_redefines_what_is_private_in_keras() -> None:
    theirs = {
        name
        for base in (
            keras.callbacks.Callback(),
            keras.optimizers.schedules.LearningRateSchedule(),
        )
        for name in dir(base)
        if is_private(name)
    }
    redefined = {
        file: sorted(private_definitions(tree) & theirs)
        for file, tree in FEATURES.items()
    }
    assert not lines_of(redefined)


def private_in_keras_tuner() -> set[str]:
    """Private names of KerasTuner's objects that the package reads anywhere."""
    return {name for _, name in private_uses(MODULES[KERAS_TUNER])}


def test_one_module_alone_reads_what_is_private_in_keras_tuner() -> None:
    theirs = private_in_keras_tuner()
    elsewhere = {
        file: [
            (n, text) for n, text in words(tree) if text.startswith("keras_tuner.src")
        ]
        + [(line, name) for line, name in private_uses(tree) if name in theirs]
        for file, tree in MODULES.items()
        if file != KERAS_TUNER
    }
    assert not lines_of(elsewhere)


def test_what_is_private_in_keras_tuner_lies_behind_functions_that_say_why() -> None:
    functions = [
        node for node in MODULES[KERAS_TUNER].body if isinstance(node, ast.FunctionDef)
    ]
    silent = [
        one.name for one in functions if "\n" not in (ast.get_docstring(one) or "")
    ]
    assert not silent
    inside = {name for one in functions for _, name in private_uses(one)}
    assert inside == private_in_keras_tuner()


@functools.cache
def private_in_keras() -> set[str]:
    """Private attributes and methods of the classes of Keras that are installed."""
    found = set()
    for path in Path(keras.src.__file__).parent.rglob("*.py"):
        if path.name.endswith("_test.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case (
                    ast.Attribute(attr=name, ctx=ast.Store())
                    | ast.FunctionDef(name=name)
                ):
                    found.add(name)
    return {name for name in found if is_private(name) and name != "_"}


def test_private_names_of_keras_are_in_one_place() -> None:
    keras_has = private_in_keras()
    strays = {}
    for file, tree in MODULES.items():
        if file.startswith(SEAMS):
            continue
        own = private_definitions(tree)
        strays[file] = sorted(
            {name for _, name in foreign_uses(tree) if name in keras_has - own}
        )
    assert not lines_of(strays)


def foreign_uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Private names that a file reads, also written as text, such as in `vars(x)`."""
    yield from private_uses(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=owner, attr=name, ctx=ast.Store()) if (
                is_private(name) and ast.unparse(owner) != "self"
            ):
                yield node.lineno, name
            case ast.Subscript(slice=ast.Constant(value=str(name))) if is_private(name):
                yield node.lineno, name
            case ast.Tuple(elts=elements) | ast.Set(elts=elements):
                for each in elements:
                    match each:
                        case ast.Constant(value=str(name)) if is_private(name):
                            yield node.lineno, name
            case ast.Assign(value=ast.Constant(value=str(name))) if is_private(name):
                yield node.lineno, name


def test_private_modules_of_keras_are_imported_in_one_place() -> None:
    strays = {
        file: [(n, text) for n, text in words(tree) if "keras.src" in text]
        for file, tree in MODULES.items()
        if not file.startswith(SEAMS)
    }
    assert not lines_of(strays)


def test_backends_are_named_in_one_place_of_the_engine() -> None:
    named = {
        file: [
            (line, text)
            for line, text in words(tree)
            if text in BACKENDS or text.startswith(tuple(f"{b}." for b in BACKENDS))
        ]
        for file, tree in MODULES.items()
        if file.startswith("engine/") and not file.startswith(BACKEND_CODE)
    }
    assert not lines_of(named)


def test_the_engine_asks_for_the_backend_in_one_place() -> None:
    asked = {
        file: [n for n, text in words(tree) if text == "backend" and is_call(tree, n)]
        for file, tree in MODULES.items()
        if file.startswith("engine/") and not file.startswith(BACKEND_CODE)
    }
    assert not lines_of(asked)


def is_call(tree: ast.Module, line: int) -> bool:
    """Whether `keras.backend.backend()` stands in a line."""
    return any(
        isinstance(node, ast.Call)
        and node.lineno == line
        and ast.unparse(node.func) == "keras.backend.backend"
        for node in ast.walk(tree)
    )


def test_attributes_are_replaced_in_one_place() -> None:
    """What is set past `setattr` is the engine's own, or goes through `_patching`."""
    strays = {}
    for file, tree in MODULES.items():
        if not file.startswith("engine/") or file == "engine/_patching.py":
            continue
        if file.startswith("engine/_keras_private/"):
            continue
        strays[file] = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value).startswith("vars(")
            | ast.unparse(node.value).endswith("__dict__")
            and ast.unparse(node.slice) not in KEPT_ON_OBJECTS
        ]
    assert not lines_of(strays)


def public_names(tree: ast.Module) -> set[str]:
    """What a module defines, or hands on under its own name, for others to use."""
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                found.add(name)
            case ast.ImportFrom(names=names):
                found |= {each.asname for each in names if each.asname == each.name}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("part", ["programs", "tensors", "training"])
def test_the_backends_have_the_same_functions(part: str) -> None:
    trees = [MODULES[f"engine/_backends/{each}/{part}.py"] for each in BACKENDS]
    first, *others = map(public_names, trees)
    assert [sorted(first ^ other) for other in others] == [[], []]


@pytest.mark.parametrize("part", ["programs", "tensors", "training"])
def test_the_functions_of_the_backends_take_the_same_arguments(part: str) -> None:
    trees = [MODULES[f"engine/_backends/{each}/{part}.py"] for each in BACKENDS]
    signatures: dict[str, set[str]] = {}
    for tree in [*trees, MODULES["engine/_backends/common.py"]]:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = ast.unparse(node.args)
                signatures.setdefault(node.name, set()).add(arguments)
    assert {n: found for n, found in signatures.items() if len(found) > 1} == {}
