"""Contrastive pretraining, which makes the codes of two views of an input similar."""

from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import checked_count, checked_float, message
from keras_deeptools.engine._state.temporary_weights import ModelFunction
from keras_deeptools.pretraining._encoder import Copied, Encoder, Pretrainer
from keras_deeptools.pretraining._pretraining import (
    Pretraining,
    checked_run,
    takes_fit_options,
)

OWNER = "pretrain_contrastive"


@keras.saving.register_keras_serializable("keras_deeptools")
class NTXent(keras.losses.Loss):
    """Normalized, temperature-scaled cross-entropy between two views of a batch.

    For each of the 2 N vectors it is the cross-entropy of finding, by cosine
    similarity, its partner among the 2 N - 1 others. Large batches have more vectors to
    tell apart. The loss is computed in float32 under any dtype policy.

    Args:
        temperature: Float > 0, by which similarities are divided. With a small
            temperature the nearest of the other vectors count most.
        reduction: As in `keras.losses.Loss`.
        name: Str.
        dtype: Dtype or policy to compute in. Default: Keras' `floatx`.

    Call arguments:
        y_true: Tensor `(batch, features)`, one view.
        y_pred: Tensor `(batch, features)`, the other view of the same samples.

    Returns:
        Scalar; with `reduction="none"` tensor `(batch,)`, the mean of both directions.

    Raises:
        ValueError: If `temperature <= 0`.

    Example:

    >>> import numpy as np
    >>> from keras_deeptools.pretraining import NTXent
    >>> views = np.eye(4, dtype="float32")
    >>> round(float(NTXent(temperature=0.5)(views, views)), 4)
    0.5944

    Reference:
        Chen et al., 2020, equation 1. https://arxiv.org/abs/2002.05709
    """

    def __init__(
        self,
        temperature: float = 0.1,
        reduction: str = "sum_over_batch_size",
        name: str = "nt_xent",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = checked_float("NTXent", "temperature", temperature, above=0)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each sample."""
        first, second = on_sphere(y_true), on_sphere(y_pred)
        return nt_xent(similarities(first, second), self.temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "temperature": self.temperature}


def on_sphere(vectors: Any) -> Any:
    """Scales vectors to length one."""
    lengths = ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + 1e-12)
    return vectors / lengths


def similarities(first: Any, second: Any) -> Any:
    """Cosines between all of two views, `(2 batch, 2 batch)`, first view first."""
    views = ops.concatenate([first, second])
    return ops.matmul(views, ops.transpose(views))


def nt_xent(cosines: Any, temperature: float) -> Any:
    """Returns the loss of each sample, `(batch,)`, from `similarities`."""
    count = ops.shape(cosines)[0]
    logits = cosines / temperature
    others = logits - 1e9 * ops.eye(count, dtype=logits.dtype)
    partners = ops.roll(logits, count // 2, axis=1)
    losses = ops.logsumexp(others, axis=1) - ops.diagonal(partners)
    return ops.mean(ops.reshape(losses, (2, -1)), axis=0)


@takes_fit_options
def pretrain_contrastive(
    model: keras.Model,
    x: Any,
    *,
    augmentation: keras.Layer,
    temperature: float = 0.1,
    projection_units: int = 128,
    until: str | None = None,
    epochs: int = 100,
    batch_size: int = 256,
    **fit_options: Any,
) -> Pretraining:
    """Pretrains a network without labels to recognize an input in another view.

    Each input is augmented twice; with `fit`, the model up to its head and a small
    projection head learn to make the two views similar, and different from all others
    of the batch (SimCLR). The projection is thrown away afterwards, and the encoder's
    weights are in the model. The augmentation defines what does not matter, and so it
    decides what is learned: if the task needs what it changes (flips for letters, color
    for flowers), this kind of pretraining harms.

    Codes that are maps or sequences are averaged over all positions before the
    projection. Training, frozen layers, errors and Ctrl-C are treated as by
    `pretrain_denoising`.

    Args:
        model: `keras.Model`, functional or a built Sequential, with one input. It does
            not need to be compiled.
        x: Inputs without labels, as for `pretrain_denoising`.
        augmentation: `keras.Layer` from inputs to a random view of them of the same
            shape, such as a `keras.Sequential` of `RandomTranslation`,
            `RandomRotation`, `RandomZoom`, `RandomContrast`. It is only read; random
            layers for pixels need `value_range` if `x` is not in 0-255.
        temperature: Float > 0, by which cosine similarities are divided.
        projection_units: Int >= 1, units of the output of the projection head, whose
            hidden layer is as wide as the encoder's code.
        until: Name of the last layer of the encoder, as for `pretrain_denoising`.
        epochs: Int >= 1.
        batch_size: Int >= 2, samples in a batch if `x` is an array. Larger batches have
            more views to tell apart: use 256 and more if memory allows.
        {{fit_options}}

    Returns:
        `Pretraining`: by epoch the loss; `accuracy`, the fraction of views whose
        nearest other view is their partner; `alignment`, the mean squared distance of
        partners on the unit sphere; `uniformity`, low if views spread over it.

    {{errors}}

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.pretraining import pretrain_contrastive
    >>> conv = keras.layers.Conv2D(4, 3, activation="relu", name="conv")
    >>> head = keras.layers.Dense(3, "softmax", name="head")
    >>> pool = keras.layers.GlobalAveragePooling2D()
    >>> model = keras.Sequential([keras.Input((8, 8, 1)), conv, pool, head])
    >>> views = keras.Sequential([keras.layers.RandomTranslation(0.1, 0.1)])
    >>> x = np.random.default_rng(0).uniform(size=(32, 8, 8, 1))
    >>> result = pretrain_contrastive(
    ...     model, x, augmentation=views, epochs=2, seed=0, verbose=0
    ... )
    >>> sorted(result.history)
    ['accuracy', 'alignment', 'loss', 'uniformity']

    Reference:
        Chen et al., 2020, sections 2 and 5. https://arxiv.org/abs/2002.05709. They use
        LARS and batches of 4096; the loss is `NTXent`. Alignment and uniformity: Wang &
        Isola, 2020, section 4.2, https://arxiv.org/abs/2005.10242; their uniformity
        leaves partners out.
    """
    run = checked_run(
        OWNER, model, x, until, epochs, batch_size, fit_options, smallest_batch=2
    )
    divisor = checked_float(OWNER, "temperature", temperature, above=0)
    num_units = checked_count(OWNER, "projection_units", projection_units)
    views = _checked_augmentation(augmentation, run.encoder)
    return run(
        "contrastive pretraining",
        lambda number: TwoViews(
            run.encoder,
            views,
            _projection(run.encoder, num_units),
            divisor,
            number,
        ),
    )


def _checked_augmentation(augmentation: Any, encoder: Encoder) -> ModelFunction:
    """Returns the augmentation, built, or raises an error."""
    if not isinstance(augmentation, keras.Layer):
        rule = "a Keras layer, such as a Sequential of random layers"
        raise TypeError(message(OWNER, "augmentation", rule, augmentation))
    shape = tuple(encoder.inputs.shape)
    if not augmentation.built:
        augmentation.build(shape)
    found = tuple(augmentation.compute_output_shape(shape))
    if found != shape:
        raise ValueError(
            f"{OWNER}: `augmentation` must keep the shape of inputs. Received: one "
            f"that makes {found} of {shape}. Add a layer that restores it."
        )
    function = ModelFunction(augmentation)
    if not any(map(function.is_seed, function.states)):
        raise ValueError(
            f"{OWNER}: `augmentation` must be random. Received: "
            f"{augmentation.name!r}, without a random layer of Keras; two views would "
            "be the same. Put in some, such as `keras.layers.RandomTranslation`."
        )
    return function


def _projection(encoder: Encoder, num_units: int) -> keras.Model:
    """Returns two dense layers on pooled codes, built."""
    codes = keras.Input(tuple(encoder.codes.shape[1:]))
    value = pooled(codes, encoder.channels_first)
    # One more layer than a linear map: section 4.2 of the paper.
    for number, (units, activation) in enumerate(
        [(value.shape[-1], "relu"), (num_units, None)]
    ):
        name = f"projection_{number}"
        layer = keras.layers.Dense(units, activation, name=name, dtype=encoder.policy)
        value = layer(value)
    return keras.Model(codes, value, name="projection")


def contrastive_accuracy(cosines: Any) -> Any:
    """Returns the fraction of views whose nearest other view is their partner.

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
    """Returns the mean squared distance of partners on the unit sphere; 0 is best.

    Args:
        cosines: Tensor `(2 batch, 2 batch)`, see `similarities`.
    """
    half = ops.shape(cosines)[0] // 2
    partners = ops.diagonal(ops.roll(cosines, half, axis=1))
    return ops.mean(2 - 2 * partners)


def uniformity(cosines: Any) -> Any:
    """Returns the log of the mean Gaussian potential between views; low if they spread.

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
        """Returns the cosines between the projections of two views, each with each."""
        inputs = self.taken(inputs)
        views = [self.augmentation(inputs, training=True) for _ in range(2)]
        views = [self.taken(view) for view in views]
        codes = self.encoder(ops.concatenate(views), training=bool(training))
        found = on_sphere(ops.cast(self.projection(codes), "float32"))
        half = ops.shape(inputs)[0]
        return similarities(found[:half], found[half:])

    def loss_of(self, outputs: Any) -> Any:
        """Returns the contrastive loss."""
        return ops.mean(nt_xent(outputs, self.temperature))

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns accuracy, alignment and uniformity."""
        return self.measure(**{n: measure(y_pred) for n, measure in MEASURES.items()})


def pooled(codes: Any, channels_first: bool) -> Any:
    """Returns vectors: the mean over all positions of a map or sequence."""
    rank = len(codes.shape)
    if rank == 2:
        return codes
    axes = range(2, rank) if channels_first else range(1, rank - 1)
    return ops.mean(codes, axis=tuple(axes))
