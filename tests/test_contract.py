"""What every public object owes its users, checked by reflection over `__all__`."""

import copy
import enum
import functools
import inspect
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

import public_api
from contract_examples import EXAMPLES, HANDLES
from contract_examples.model import INPUTS, TARGETS, small_model

SELF = ("self", "cls")
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def each(objects: dict[str, object], name: str) -> pytest.MarkDecorator:
    """Parametrize `name` by the values of `objects`, with their public paths as ids."""
    return pytest.mark.parametrize(name, objects.values(), ids=objects.keys())


def needs_no_example(cls: type) -> bool:
    """True for what nobody instantiates: errors, enumerations, interfaces."""
    is_interface = inspect.isabstract(cls) or getattr(cls, "_is_protocol", False)
    return is_interface or issubclass(cls, (BaseException, enum.Enum))


PUBLIC = public_api.public_objects()
CLASSES = public_api.public_classes()
MAKE = {path: EXAMPLES[path] for path in CLASSES if path in EXAMPLES}
SERIALIZABLE = {
    path: make for path, make in MAKE.items() if hasattr(CLASSES[path], "get_config")
}
# Keras' own callback does nothing: it shows that the checks themselves are fair.
CALLBACKS = {"keras.callbacks.Callback": keras.callbacks.Callback} | {
    path: make
    for path, make in MAKE.items()
    if issubclass(CLASSES[path], keras.callbacks.Callback)
}


# --- Every name ----------------------------------------------------------------------


@pytest.mark.backend_free
@each({room.__name__: room for room in public_api.rooms()}, "room")
def test_a_room_lists_its_names_once_and_sorted(room: ModuleType) -> None:
    assert room.__all__ == sorted(set(room.__all__))


@pytest.mark.backend_free
@each({room.__name__: room for room in public_api.rooms()}, "room")
def test_a_room_has_every_name_that_it_lists_and_lists_every_name_it_has(
    room: ModuleType,
) -> None:
    visible = {name for name in dir(room) if not name.startswith("_")}
    if room is not public_api.keras_deeptools:
        assert visible - set(room.__all__) == set()
    assert set(room.__all__) - {"__version__"} <= visible


@pytest.mark.backend_free
@each({room.__name__: room for room in public_api.rooms()}, "room")
def test_a_room_says_what_it_is_for(room: ModuleType) -> None:
    assert inspect.getdoc(room)


@pytest.mark.backend_free
def test_public_objects_are_classes_and_functions() -> None:
    assert not [
        path
        for path, it in PUBLIC.items()
        if not inspect.isclass(it) and not inspect.isfunction(it)
    ]


@pytest.mark.backend_free
def test_public_objects_live_in_private_files_of_the_package() -> None:
    homes = {path: it.__module__ for path, it in PUBLIC.items()}
    assert not {
        path: home
        for path, home in homes.items()
        if not home.startswith("keras_deeptools.") or public_api.is_public(home)
    }


# --- Documented and typed ------------------------------------------------------------


def signature_of(thing: object) -> inspect.Signature:
    """The signature that a caller sees, less `self`."""
    if inspect.isclass(thing):
        if thing.__init__ is object.__init__:
            return inspect.Signature()
        if issubclass(thing, (BaseException, enum.Enum)):
            return inspect.Signature()
        thing = thing.__init__
    signature = inspect.signature(thing)
    kept = [p for p in signature.parameters.values() if p.name not in SELF]
    return signature.replace(parameters=kept)


def package_ancestors(cls: type) -> list[type]:
    """The class and its bases, as far as this package wrote them."""
    return [c for c in cls.__mro__ if c.__module__.startswith("keras_deeptools.")]


def own_members(cls: type) -> dict[str, object]:
    """Path of definition -> public member that Keras or Python does not define."""
    ours = package_ancestors(cls)
    theirs = {name for base in cls.__mro__ if base not in ours for name in vars(base)}
    return {
        f"{base.__module__}.{base.__qualname__}.{name}": getattr(
            member, "__func__", member
        )
        for base in ours
        for name, member in vars(base).items()
        if not name.startswith("_") and name not in theirs
    }


MEMBERS = {
    path: member
    for cls in CLASSES.values()
    for path, member in own_members(cls).items()
}
OWNERS = {path: cls for cls in CLASSES.values() for path in own_members(cls)}
METHODS = {path: it for path, it in MEMBERS.items() if inspect.isfunction(it)}
PROPERTIES = {path: it for path, it in MEMBERS.items() if isinstance(it, property)}


def begins_with_one_line(thing: object) -> bool:
    """Whether the docstring has a first line that ends, and a blank one after it."""
    lines = (inspect.getdoc(thing) or "").splitlines()
    ends = bool(lines) and lines[0].endswith(".")
    return ends and (len(lines) == 1 or lines[1] == "")


@pytest.mark.backend_free
def test_public_objects_are_documented_with_one_line_first() -> None:
    documented = PUBLIC | METHODS | PROPERTIES
    assert not [p for p, it in documented.items() if not begins_with_one_line(it)]


@pytest.mark.backend_free
def test_docstrings_have_no_placeholder_left() -> None:
    documented = PUBLIC | METHODS | PROPERTIES
    assert not [p for p, it in documented.items() if "{{" in (inspect.getdoc(it) or "")]


@pytest.mark.backend_free
def test_public_objects_show_an_example() -> None:
    assert not [
        p for p, it in PUBLIC.items() if ">>> " not in (inspect.getdoc(it) or "")
    ]


def undocumented(thing: object) -> list[str]:
    """Parameters that are not under `Args:`."""
    text = inspect.getdoc(thing) or ""
    if inspect.isclass(thing) and re.search(r"\b[Mm]ade by `", text):
        return []  # not called by users: its `Attributes:` are what they read
    _, _, arguments = text.partition("Args:\n")
    named = set(re.findall(r"^ {4}\*{0,2}(\w+)(?: \(.*\))?:", arguments, re.MULTILINE))
    return [
        name
        for name, parameter in signature_of(thing).parameters.items()
        if parameter.kind not in VARIADIC and name not in named
    ]


@pytest.mark.backend_free
def test_public_objects_document_every_parameter_under_args() -> None:
    missing = {path: undocumented(it) for path, it in PUBLIC.items()}
    assert not {path: names for path, names in missing.items() if names}


def unmentioned(path: str) -> list[str]:
    """Parameters of a method that neither it nor its class mentions."""
    described = [METHODS[path], *package_ancestors(OWNERS[path])]
    text = " ".join(inspect.getdoc(it) or "" for it in described)
    names = [
        name
        for name, parameter in signature_of(METHODS[path]).parameters.items()
        if parameter.kind not in VARIADIC
    ]
    return [name for name in names if not re.search(rf"\b{name}\b", text)]


@pytest.mark.backend_free
def test_public_methods_or_their_classes_mention_every_parameter() -> None:
    missing = {path: unmentioned(path) for path in METHODS}
    assert not {path: names for path, names in missing.items() if names}


def untyped(thing: object) -> list[str]:
    """Parameters without a type, and "return" where a function does not say it."""
    signature = signature_of(thing)
    bare = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty
    ]
    if not inspect.isclass(thing) and signature.return_annotation is signature.empty:
        bare.append("return")
    return bare


@pytest.mark.backend_free
def test_public_signatures_are_typed() -> None:
    bare = {path: untyped(it) for path, it in (PUBLIC | METHODS).items()}
    assert not {path: names for path, names in bare.items() if names}


# --- Made, kept and copied -----------------------------------------------------------


@pytest.mark.backend_free
def test_public_classes_have_contract_examples() -> None:
    assert not [
        path
        for path, cls in CLASSES.items()
        if path not in EXAMPLES and path not in HANDLES and not needs_no_example(cls)
    ]


@pytest.mark.parametrize("path", EXAMPLES)
def test_a_contract_example_makes_the_public_class_it_is_listed_under(
    path: str,
) -> None:
    assert type(EXAMPLES[path]()) is CLASSES[path]


@pytest.mark.one_backend
@each(SERIALIZABLE, "make")
def test_a_class_with_a_config_is_registered_under_the_package(
    make: Callable[[], object],
) -> None:
    cls = type(make())
    assert keras.saving.get_registered_name(cls) == f"keras_deeptools>{cls.__name__}"


@each(SERIALIZABLE, "make")
def test_a_class_with_a_config_comes_back_from_json_the_same(
    make: Callable[[], object],
) -> None:
    thing = make()
    text = json.dumps(keras.saving.serialize_keras_object(thing))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(again) is type(thing)
    assert public_state(again) == public_state(thing)


def public_state(thing: object) -> dict[str, object]:
    """What an object shows: its serialized form if any, else its plain fields."""
    if hasattr(thing, "get_config"):
        return keras.saving.serialize_keras_object(thing)
    plain = (bool, int, float, str, tuple, type(None))
    fields = getattr(thing, "__dict__", {})
    return {name: value for name, value in fields.items() if isinstance(value, plain)}


@each(MAKE, "make")
def test_a_deep_copy_is_another_object_in_the_same_state(
    make: Callable[[], object],
) -> None:
    thing = make()
    again = copy.deepcopy(thing)
    assert type(again) is type(thing) and again is not thing
    assert public_state(again) == public_state(thing)


@each(MAKE, "make")
def test_an_object_survives_pickling(make: Callable[[], object]) -> None:
    thing = make()
    again = pickle.loads(pickle.dumps(thing))
    assert public_state(again) == public_state(thing)


# --- Every callback ------------------------------------------------------------------


class Breaker(keras.callbacks.Callback):
    """Raises `error` after the third batch."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if batch == 2:
            raise self.error("broken on purpose")


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback) -> list[float]:
    """Train two epochs of four batches; the losses of the epochs."""
    history = model.fit(
        INPUTS,
        TARGETS,
        batch_size=8,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return history.history["loss"]


def values_of(variables: list[keras.Variable]) -> list[np.ndarray]:
    """Copies of the values, never views of buffers that the next step reuses."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assert_equal_values(these: list[np.ndarray], those: list[np.ndarray]) -> None:
    assert len(these) == len(those)
    for this, that in zip(these, those, strict=True):
        np.testing.assert_array_equal(this, that)


@functools.cache
def cut_off_model(
    make: Callable[[], keras.callbacks.Callback], error: type[BaseException]
) -> keras.Model:
    """A model whose training with the callback `error` cut off, made once."""
    model = small_model()
    with pytest.raises(error):
        fit(model, make(), Breaker(error))
    return model


# Ctrl-C passes by every `except Exception`: it alone is tried where steps are compiled.
interruptions = pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError, id="exception", marks=pytest.mark.one_backend),
        pytest.param(KeyboardInterrupt, id="Ctrl-C"),
    ],
)


@functools.cache
def trained_thrice(
    make: Callable[[], keras.callbacks.Callback],
) -> tuple[list[list[float]], list[keras.Model]]:
    """Losses of a model trained twice and of another, by one callback, made once."""
    callback, first, second = make(), small_model(), small_model()
    losses = [fit(model, callback) for model in (first, first, second)]
    return losses, [first, second]


@pytest.mark.alternates("make")
@each(CALLBACKS, "make")
def test_a_callback_object_trains_a_model_twice_and_then_another(
    make: Callable,
) -> None:
    losses, _ = trained_thrice(make)
    assert np.isfinite(losses).all()
    assert losses[0] == losses[2]


@pytest.mark.alternates("make")
@each(CALLBACKS, "make")
def test_a_callback_leaves_the_optimizer_config_of_a_plain_optimizer(
    make: Callable,
) -> None:
    expected = small_model().optimizer.get_config()
    _, models = trained_thrice(make)
    assert all(model.optimizer.get_config() == expected for model in models)


@pytest.mark.alternates("make", "error")
@interruptions
@each(CALLBACKS, "make")
def test_a_cut_off_fit_leaves_the_optimizer_config_of_a_plain_optimizer(
    make: Callable, error: type[BaseException]
) -> None:
    model = cut_off_model(make, error)
    assert model.optimizer.get_config() == small_model().optimizer.get_config()


@pytest.mark.alternates("make", "error")
@interruptions
@each(CALLBACKS, "make")
def test_a_model_saved_after_a_cut_off_fit_loads_with_its_optimizer_state(
    make: Callable, error: type[BaseException], tmp_path: Path
) -> None:
    model = cut_off_model(make, error)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    plain = small_model()
    plain.optimizer.build(plain.trainable_variables)
    assert len(loaded.optimizer.variables) == len(plain.optimizer.variables)
    assert_equal_values(
        values_of(loaded.optimizer.variables), values_of(model.optimizer.variables)
    )


@pytest.mark.alternates("make", "error")
@interruptions
@each(CALLBACKS, "make")
def test_a_cut_off_model_trains_on_as_a_model_that_never_met_the_callback(
    make: Callable, error: type[BaseException]
) -> None:
    model = cut_off_model(make, error)
    model.save("model.keras")
    twin = small_model()
    twin.optimizer.build(twin.trainable_variables)
    twin.load_weights("model.keras")
    assert fit(model) == fit(twin)
    assert_equal_values(values_of(model.variables), values_of(twin.variables))
