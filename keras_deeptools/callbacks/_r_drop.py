"""R-Drop: predictions with two dropout masks that are drawn together."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_deeptools._arguments import (
    checked_float,
    checked_option,
    known_elsewhere_as,
)
from keras_deeptools.callbacks._training_feature import TrainingFeature
from keras_deeptools.engine import Leaf
from keras_deeptools.engine._keras_private.layers import mask_of, set_mask
from keras_deeptools.engine._keras_private.versions import loss_argument
from keras_deeptools.engine._passes.compiled_with import Head, heads_of
from keras_deeptools.engine._patching import replaced
from keras_deeptools.engine._update.leaf import leaf_optimizers
from keras_deeptools.engine._update.model_optimizers import OptimizerChoice

OWNER = "RDrop"
KINDS = ("auto", "categorical", "binary", "regression")
SQUARED = ("squared", "mse", "absolute", "mae", "huber", "logcosh", "log_cosh")


class Steps:
    """State of one optimizer: whether the batch is doubled.

    Attributes:
        active: Bool. Whether steps see the batch twice.
    """

    def __init__(self) -> None:
        self.active = True


@keras.saving.register_keras_serializable(package="keras_deeptools")
class RDrop(TrainingFeature):
    """Draws the predictions of each sample with two dropout masks together (R-Drop).

    Each batch goes through the model twice at once, with different dropout. The loss is
    the mean of both, plus `weight` times the symmetric Kullback-Leibler divergence
    between the two predictions. The model then depends less on which units are dropped,
    and its predictions at inference are nearer to those in training. It needs dropout
    (or `StochasticDepth`, `DropBlock2D`, random augmentation inside the model); without
    it, it does nothing but take time. All of this happens in the model's own compiled
    step, with any optimizer.

    A step takes about twice the time and memory for activations. Metrics are those of
    the first pass; the loss in the logs contains the divergence, `val_loss` does not.
    Statistics of BatchNormalization are those of both passes. Masks over positions and
    sample weights apply to the divergence, too.

    Args:
        weight: Float > 0. Factor of the divergence, `alpha` in the paper, which uses 1
            to 5 for language and 0.6 for images.
        divergence: `"categorical"` between the classes of the last axis; `"binary"`
            between independent probabilities; `"regression"` between normal
            distributions of variance 1, which is half the squared difference; or
            `"auto"`, which goes by the loss of each output. Whether outputs are logits
            is read from the losses.
        optimizer: None or the optimizer of `compile`; no other can be chosen.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range. When training starts: if the model
            is not known, or a loss does not tell the divergence. In the first step: if
            the train step does not call `compute_loss`.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.callbacks import RDrop
    >>> layers = [keras.layers.Dropout(0.3), keras.layers.Dense(4, "softmax")]
    >>> model = keras.Sequential([keras.Input((3,)), *layers])
    >>> model.compile("sgd", loss="sparse_categorical_crossentropy")
    >>> x, y = np.ones((8, 3)), np.arange(8) % 4
    >>> history = model.fit(x, y, callbacks=[RDrop(1.0)], verbose=0)

    Reference:
        Liang et al., 2021, section 2.1 and algorithm 1.
        https://arxiv.org/abs/2106.14448
    """

    @known_elsewhere_as(weight="alpha reg_alpha")
    def __init__(
        self,
        weight: float = 1.0,
        divergence: str = "auto",
        optimizer: OptimizerChoice = None,
    ) -> None:
        super().__init__(optimizer)
        self.weight = checked_float(OWNER, "weight", weight, above=0)
        self.divergence = checked_option(OWNER, "divergence", divergence, KINDS)

    def begin(self, leaf: Leaf) -> Steps:
        """Checks that the model's step makes its update with this optimizer."""
        model = leaf.model
        if model is None or leaf.root is not model.optimizer:
            raise ValueError(
                f"{OWNER}: the optimizer must be that of the model's `compile`, since "
                "the batch of the model's step is doubled. Received: "
                f"{leaf.root.name!r}. Attach to the compiled model."
            )
        for head in heads_of(OWNER, model):
            self._kind_of(head)
        return Steps()

    def adapt(self, state: Steps, leaf: Leaf) -> Steps:
        """Continues with the weights that are trained now."""
        return state

    def train_step(self, state: Steps, leaf: Leaf, train_step: Callable) -> Any:
        """The model's step on each batch twice; wrapped once for several parts."""
        if leaf.optimizer is not leaf_optimizers(leaf.root)[0]:
            return None
        model = leaf.model

        def step(*args: Any, **kwargs: Any) -> Any:
            if not state.active:
                return train_step(*args, **kwargs)
            *others, data = args
            two = _TwoPasses(self, model)
            with (
                replaced(model, "compute_loss", two.compute_loss),
                replaced(model, "compute_metrics", two.compute_metrics),
            ):
                result = train_step(*others, _each(_doubled, data), **kwargs)
            if not two.was_used:
                raise ValueError(
                    f"{OWNER}: the train step must call the model's `compute_loss` in "
                    "training. Received: a step without it. Call it with `x`, `y` and "
                    "`y_pred`, or add the divergence yourself."
                )
            return result

        return step

    def finish(self, state: Steps, leaf: Leaf) -> None:
        """Lets the model's step run unchanged from now on."""
        state.active = False

    def _kind_of(self, head: Head) -> str:
        """The divergence between predictions of an output."""
        if self.divergence != "auto":
            return self.divergence
        loss = head.loss
        name = loss if isinstance(loss, str) else getattr(loss, "__name__", "")
        name = (name or type(loss).__name__).lower()
        if "crossentropy" in name:
            return "binary" if "binary" in name else "categorical"
        if any(word in name for word in SQUARED):
            return "regression"
        raise ValueError(
            f"{OWNER}: `divergence` must be given where the loss does not tell it. "
            f"Received: a model with loss={loss!r}. Give 'categorical', 'binary' or "
            "'regression'."
        )

    def divergence_of(self, model: Any, predicted: Any, sample_weight: Any) -> Any:
        """The mean divergence between the halves of a batch, over all outputs.

        Args:
            model: `keras.Model`, compiled.
            predicted: Outputs for the batch, which is there twice.
            sample_weight: As for `compute_loss`.
        """
        total: Any = 0.0
        for head in heads_of(OWNER, model):
            outputs, weights = head.part_of(predicted), head.part_of(sample_weight)
            is_logits = bool(loss_argument(head.loss, "from_logits", False))
            loss = SymmetricDivergence(self._kind_of(head), is_logits)
            weights = None if weights is None else _half(weights)
            total = total + loss(_half(outputs, 1), _half(outputs), weights)
        return total


class SymmetricDivergence(keras.losses.Loss):
    """The mean of both Kullback-Leibler divergences between two predictions.

    Args:
        kind: `"categorical"`, `"binary"` or `"regression"`.
        from_logits: Bool. Whether predictions are logits.
    """

    def __init__(self, kind: str, from_logits: bool) -> None:
        super().__init__(name="symmetric_divergence")
        self.kind = kind
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The divergence of each sample or position."""
        if self.kind == "regression":
            return ops.mean(ops.square(y_true - y_pred) / 2, axis=-1)
        one, two = self._read(y_true), self._read(y_pred)
        products = (one[0] - two[0]) * (one[1] - two[1]) / 2
        if self.kind == "binary":
            return ops.mean(products, axis=-1)
        return ops.sum(products, axis=-1)

    def _read(self, outputs: Any) -> tuple[Any, Any]:
        """Probabilities, and their logits up to what both predictions share."""
        binary = self.kind == "binary"
        if self.from_logits:
            odds = ops.sigmoid if binary else ops.softmax
            return odds(outputs), outputs
        low = keras.config.epsilon()
        clipped = ops.clip(outputs, low, 1 - low)
        logs = ops.log(clipped)
        return outputs, logs - ops.log(1 - clipped) if binary else logs


class _TwoPasses:
    """What a train step calls on the model while the batch is there twice."""

    def __init__(self, feature: RDrop, model: Any) -> None:
        self._feature = feature
        self._owner = model
        self._loss = model.compute_loss
        self._metrics = model.compute_metrics
        self.was_used = False

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The model's loss over both passes, and the divergence between them."""
        self.was_used = True
        loss = self._loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **kwargs
        )
        found = self._feature.divergence_of(self._owner, y_pred, sample_weight)
        return loss + ops.cast(self._feature.weight * found, loss.dtype)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        """The model's metrics, over the first pass."""
        halves = [_each(_half, part) for part in (x, y, y_pred, sample_weight)]
        return self._metrics(*halves[:3], sample_weight=halves[3])


def _each(function: Callable, structure: Any) -> Any:
    """A function of each tensor in a structure, in which None stays."""
    return keras.tree.map_structure(
        lambda tensor: None if tensor is None else function(tensor), structure
    )


def _doubled(tensor: Any) -> Any:
    return ops.concatenate([tensor, tensor], axis=0)


def _half(tensor: Any, place: int = 0) -> Any:
    """The first or second half of a batch, with its mask."""
    number = tensor.shape[0]
    number = (ops.shape(tensor)[0] if number is None else number) // 2
    part = slice(place * number, (place + 1) * number)
    half, mask = tensor[part], mask_of(tensor)
    if mask is not None:
        set_mask(half, mask[part])
    return half
