"""Which packages of others are here, in which version, and why others are not."""

import importlib
import types
import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import keras


@dataclass(frozen=True)
class Peer:
    """A package to compare with.

    Attributes:
        distribution: Str, what `pip` calls it.
        module: Str, a module of it whose import says that it can be used.
    """

    distribution: str
    module: str


PEERS = {
    "fastai": Peer("fastai", "fastai.callback.schedule"),
    "lightning": Peer("lightning", "lightning"),
    "torch-lr-finder": Peer("torch-lr-finder", "torch_lr_finder"),
    "torchmetrics": Peer("torchmetrics", "torchmetrics.classification"),
    "torch-uncertainty": Peer("torch-uncertainty", "torch_uncertainty.methods"),
    "keras-proba": Peer("keras-proba", "keras_proba.metrics"),
    "cockpit": Peer("cockpit-for-pytorch", "cockpit"),
}


def module(name: str) -> Any:
    """A module of a peer, without the warnings that it gives while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def subclass(base: Any, **members: Any) -> Any:
    """A class that derives from one that is known only once a peer is imported."""
    return types.new_class("Own", (base,), {}, lambda space: space.update(members))


def find(asked: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Imports peers.

    Args:
        asked: Names, keys of `PEERS`.

    Returns:
        Dict from the name of a peer that is here to its version, and dict from the
        name of one that is not to the reason.
    """
    here, missing = {}, {}
    for name in asked:
        try:
            version = metadata.version(PEERS[name].distribution)
            module(PEERS[name].module)
        except metadata.PackageNotFoundError:
            missing[name] = "not installed"
        except Exception as error:  # a broken package raises whatever it likes
            missing[name] = reason(error)
        else:
            here[name] = version
    return here, missing


def reason(error: Exception) -> str:
    """The first line of an error, with its class."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def versions() -> dict[str, str]:
    """Of what the peers and ours stand on."""
    names = ("keras", "torch", "numpy", "keras-deeptools")
    return {name: metadata.version(name) for name in names}


def needs_torch() -> None:
    """Ends the script on another backend.

    Raises:
        SystemExit: If Keras runs on another backend than torch.
    """
    if keras.backend.backend() != "torch":
        raise SystemExit("The peers are torch packages: set KERAS_BACKEND=torch.")
