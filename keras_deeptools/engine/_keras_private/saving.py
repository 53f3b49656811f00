"""What files and configurations need privately."""

import contextlib
from typing import Any

from keras_deeptools.engine._keras_private.seam import Seam, has_private, private


def group_of(store: Any) -> Any:
    """The group of an HDF5 file that variables are written to; None elsewhere.

    Its attributes can hold notes, which code that does not know them ignores.
    """
    return getattr(store, "_h5_entry_group", None)


def trusting() -> contextlib.AbstractContextManager:
    """A block in which configurations may hold functions: a model's own, in memory.

    `keras.config.enable_unsafe_deserialization` is public, and for the whole process.
    """
    return private("saving.serialization_lib", "SafeModeScope")(safe_mode=False)


def _has_group() -> bool:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        store = private("saving.saving_lib", "H5IOStore")("seam", archive, mode="w")
        try:
            return group_of(store.make("optimizer")) is not None
        finally:
            store.close()


SEAMS = (
    Seam(
        "H5Entry._h5_entry_group",
        "noting beside an optimizer's variables what a callback needs to resume",
        "callbacks do not resume from checkpoints",
        _has_group,
    ),
    Seam(
        "serialization_lib.SafeModeScope",
        "copying a model that holds a Lambda layer",
        "such models have no copy with another dropout rate",
        has_private("saving.serialization_lib", "SafeModeScope"),
    ),
)
