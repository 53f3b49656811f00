"""An encoder and a projection that bring two views of each input together."""

from typing import Any

import keras
from keras import ops

from keras_deeptools.engine._passes.functional_call import ModelFunction
from keras_deeptools.pretraining._encoder import Encoder
from keras_deeptools.pretraining._nt_xent import nt_xent, on_sphere, similarities
from keras_deeptools.pretraining._pretrainer import Copied, Pretrainer


def contrastive_accuracy(cosines: Any) -> Any:
    """The fraction of views whose nearest other view is their partner.

    Args:
        cosines: Tensor `(2 batch, 2 batch)`, see `similarities`.
    """
    count = ops.shape(cosines)[0]
    others = cosines - 1e9 * ops.eye(count, dtype=cosines.dtype)
    nearest = ops.argmax(others, axis=1)
    partners = ops.roll(ops.arange(count), count // 2)
    found = ops.cast(nearest, "int32") == ops.cast(partners, "int32")
    return ops.mean(ops.cast(found, "float32"))


def alignment(cosines: Any) -> Any:
    """Mean squared distance between partners on the unit sphere; 0 is best.

    Args:
        cosines: Tensor `(2 batch, 2 batch)`, see `similarities`.
    """
    half = ops.shape(cosines)[0] // 2
    partners = ops.diagonal(ops.roll(cosines, half, axis=1))
    return ops.mean(2 - 2 * partners)


def uniformity(cosines: Any) -> Any:
    """Log of the mean Gaussian potential between views; low where they spread.

    Args:
        cosines: Tensor `(2 batch, 2 batch)`, see `similarities`.
    """
    count = ops.shape(cosines)[0]
    away = 1 - ops.eye(count, dtype=cosines.dtype)
    potentials = ops.exp(-2 * (2 - 2 * cosines)) * away
    return ops.log(ops.sum(potentials) / ops.sum(away))


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

    def loss_of(self, outputs: Any) -> Any:
        """The contrastive loss."""
        return ops.mean(nt_xent(outputs, self.temperature))

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
