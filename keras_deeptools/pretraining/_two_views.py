"""An encoder and a projection that bring two views of each input together."""

from typing import Any

import keras
from keras import ops

from keras_deeptools.engine import ModelFunction
from keras_deeptools.pretraining._encoder import Encoder
from keras_deeptools.pretraining._nt_xent import nt_xent, on_sphere, similarities
from keras_deeptools.pretraining._pretrainer import Copied, Pretrainer
from keras_deeptools.pretraining._view_measures import (
    alignment,
    contrastive_accuracy,
    uniformity,
)

MEASURES = {
    "accuracy": contrastive_accuracy,
    "alignment": alignment,
    "uniformity": uniformity,
}


class TwoViews(Pretrainer):
    """Minimizes the contrastive loss between two augmentations of each batch.

    Args:
        encoder: `Encoder`.
        augmentation: `ModelFunction` of what makes a view.
        projection: `keras.Layer`, built, on the encoder's pooled codes.
        temperature: Float > 0.
        seed: Int >= 0.
    """

    def __init__(
        self,
        encoder: Encoder,
        augmentation: ModelFunction,
        projection: keras.Layer,
        temperature: float,
        seed: int,
    ) -> None:
        super().__init__(encoder, seed)
        self.augmentation = Copied(self, augmentation, seed + 1)
        self.projection, self.temperature = projection, temperature
        self.measures = {name: keras.metrics.Mean(name=name) for name in MEASURES}
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Cosines between the projections of two views, each with each."""
        inputs = self.taken(inputs)
        views = [self.augmentation(inputs, training=True) for _ in range(2)]
        views = [self.taken(view) for view in views]
        codes = self.encoder(ops.concatenate(views), training=bool(training))
        found = on_sphere(ops.cast(self.projection(codes), "float32"))
        half = ops.shape(inputs)[0]
        return similarities(found[:half], found[half:])

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The contrastive loss."""
        return self.total(ops.mean(nt_xent(y_pred, self.temperature)))

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Accuracy, alignment and uniformity."""
        return self.measure(**{n: measure(y_pred) for n, measure in MEASURES.items()})


def pooled(codes: Any, channels_first: bool) -> Any:
    """Vectors: the mean over all places of a map or sequence."""
    rank = len(codes.shape)
    if rank == 2:
        return codes
    axes = range(2, rank) if channels_first else range(1, rank - 1)
    return ops.mean(codes, axis=tuple(axes))
