"""The engine: features that take part in an optimizer's compiled update.

It is the only part of the package that knows Keras' internals and the backends.
"""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.engine._backends.active import tensors
from keras_deeptools.engine._backends.several_replicas_error import SeveralReplicasError
from keras_deeptools.engine._passes.capture import Capture, Captured
from keras_deeptools.engine._passes.layer_call import LayerCall
from keras_deeptools.engine._state.snapshot import Snapshot, preserved
from keras_deeptools.engine._update.attachment import Attachment, attach
from keras_deeptools.engine._update.feature import Feature
from keras_deeptools.engine._update.leaf import Leaf
from keras_deeptools.engine._update.rate_multipliers import RateMultipliers
from keras_deeptools.engine._update.recorder import Recorder

__all__ = [
    "Attachment",
    "Capture",
    "Captured",
    "Feature",
    "LayerCall",
    "Leaf",
    "RateMultipliers",
    "Recorder",
    "SeveralReplicasError",
    "Snapshot",
    "attach",
    "preserved",
    "tensors",
]
