"""A private name of Keras, described, and the check that it does what it did."""

import functools
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras

LAST_KNOWN = "3.15"
"""The last release of Keras on which all that is tested passes."""

REMEDY = (
    f"The last version that is known to work is Keras {LAST_KNOWN}: "
    f'`pip install "keras=={LAST_KNOWN}.*"`.'
)


class KerasSeamError(RuntimeError):
    """Raised where Keras lacks something private that this package builds on.

    Example:

    >>> from keras_deeptools.engine._keras_private.seam import KerasSeamError
    >>> issubclass(KerasSeamError, RuntimeError)
    True
    """


@dataclass(frozen=True)
class Seam:
    """A place where this package joins Keras by a private name.

    Attributes:
        name: Str, the private name, such as `"Layer._flatten_layers"`.
        used_for: Str. What the package does with it.
        breaks: Str. What stops working without it.
        holds: Function of nothing. Whether it is what the package expects; what it
            raises counts as no.
        seen_in: Str. The Keras versions in which it was seen.
        found: Str. What was computed in place of what was expected, if anything was.
    """

    name: str
    used_for: str
    breaks: str
    holds: Callable[[], bool]
    seen_in: str = "3.10 to 3.15, and a nightly of 3.16"
    found: str = ""

    def is_intact(self) -> bool:
        """Whether Keras still has it."""
        try:
            return bool(self.holds())
        except Exception:  # Any failure means that it is not as it was.
            return False


@dataclass(frozen=True)
class Theme:
    """Seams that features need together.

    Attributes:
        seams: Tuple of `Seam`.
        works_without: Str. What can be used all the same where one of them is broken.
    """

    seams: tuple[Seam, ...]
    works_without: str


def missing_seams(
    owner: str, missing: Iterable[Seam], works_without: str
) -> KerasSeamError:
    """The error for seams that Keras lacks, or that do something else.

    Args:
        owner: Str. Name of the caller, for the message.
        missing: Iterable of `Seam`, at least one.
        works_without: Str. What can be used all the same.
    """
    said = "; ".join(
        f"`{seam.name}`, used for {seam.used_for}"
        + (f": {seam.found}" if seam.found else "")
        + f" (without it {seam.breaks}; seen in Keras {seam.seen_in})"
        for seam in missing
    )
    return KerasSeamError(
        f"{owner}: this version of Keras is not supported. Received: "
        f"keras=={keras.__version__}, which lacks or has changed {said}. {REMEDY} "
        f"Without it these still work: {works_without}."
    )


@functools.cache
def private(module: str, name: str | None = None) -> Any:
    """What a private module of Keras holds, imported when it is first needed.

    Args:
        module: Str, below `keras.src`.
        name: Str; None for the module itself.

    Raises:
        KerasSeamError: If there is no such thing.
    """
    try:
        found = importlib.import_module(f"keras.src.{module}")
        return found if name is None else getattr(found, name)
    except (ImportError, AttributeError) as error:
        wanted = f"keras.src.{module}" + (f".{name}" if name else "")
        raise KerasSeamError(
            "keras_deeptools: this version of Keras is not supported. Received: "
            f"keras=={keras.__version__}, which lacks `{wanted}`. {REMEDY}"
        ) from error


def has(owner: Any, *names: str) -> Callable[[], bool]:
    """A check that an object, a class for instance, has attributes."""
    return lambda: all(hasattr(owner, name) for name in names)


def has_private(module: str, *names: str) -> Callable[[], bool]:
    """A check that a private module of Keras holds names."""
    return lambda: all(private(module, name) is not None for name in names)


class _Samples:
    """Small objects that checks look at, made when one does, and of fixed names."""

    @functools.cached_property
    def optimizer(self) -> Any:
        """A built SGD with weight averages."""
        return self.built(keras.optimizers.SGD, use_ema=True)

    def built(self, kind: Any, **options: Any) -> Any:
        """An optimizer of some class, built for `variable`."""
        optimizer = kind(name="seam_check", **options)
        optimizer.build([self.variable])
        return optimizer

    @functools.cached_property
    def variable(self) -> Any:
        """A variable of one number."""
        return keras.Variable(0.0, name="seam_check")

    @functools.cached_property
    def layer(self) -> Any:
        """A layer without weights."""
        return keras.layers.Identity(name="seam_check")

    @functools.cached_property
    def graph(self) -> Any:
        """A functional model that returns its input."""
        inputs = keras.Input((1,), name="seam_check_input")
        outputs = keras.layers.Identity(name="seam_check_last")(inputs)
        return keras.Model(inputs, outputs, name="seam_check_model")

    def forget(self) -> None:
        """Lets go of them."""
        vars(self).clear()


samples = _Samples()
