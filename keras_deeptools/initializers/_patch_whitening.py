"""A first convolution that whitens the patches of its images."""

from typing import Any

import keras
import numpy as np

from keras_deeptools._arguments import checked_count, checked_float, message
from keras_deeptools.engine._data.checks import checked_batch
from keras_deeptools.engine._graph.layers import listed
from keras_deeptools.engine._keras_private.layers import flat_layers
from keras_deeptools.engine._passes.capture import Capture

OWNER = "patch_whitening"
CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


def patch_whitening(
    model: keras.Model,
    x: Any,
    *,
    layer: str | None = None,
    epsilon: float = 5e-4,
    max_patches: int = 200_000,
) -> int:
    """Sets the filters of the first convolution to whiten patches of the images.

    The filters become the eigenvectors of the covariance of all patches that the
    kernel sees, each divided by the standard deviation along it: their outputs are
    uncorrelated and of variance 1, which natural images are far from, so that the
    layers behind train faster from the first step on. A layer with more filters than a
    patch has numbers gets their negatives next, which an activation such as ReLU tells
    apart; twice as many filters use both. Filters beyond these keep their values. A
    bias is set so that outputs have mean 0. Layers in front of the convolution, such
    as normalization, are taken into account.

    Call it on a new model, before `fit`. Jordan freezes the kernel:
    `model.get_layer(...).trainable = False`.

    Args:
        model: `keras.Model` with a convolution. It is built from `x` if it is not yet.
        x: Images as for `fit`: arrays, a `tf.data.Dataset`, `PyDataset`, torch
            `DataLoader` or generator, of which a batch is read; they are scaled as in
            training. A few hundred are enough.
        layer: Str, the name of the convolution; None takes the first that is called.
        epsilon: Float >= 0. It is added to the variances, so that directions in which
            patches hardly differ are not blown up; for inputs of variance 1.
        max_patches: Int >= 2. The largest number of patches that are used, evenly taken
            from all.

    Returns:
        Int, the number of filters that were set.

    Raises:
        TypeError: If `model` is not a Keras model, or Keras does not take the data.
        ValueError: If the model has no such convolution, it has groups, an argument is
            out of range, or the data do not fit. Nothing has been changed.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.initializers import patch_whitening
    >>> conv = keras.layers.Conv2D(12, 2)
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), conv])
    >>> x = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).cumsum(axis=1)
    >>> patch_whitening(model, x, epsilon=0.0)
    12
    >>> y = model.predict(x, verbose=0).reshape(-1, 12)
    >>> bool(np.allclose(np.cov(y.T), np.eye(12), atol=1e-2))
    True

    Reference:
        Jordan, 2024, section 3.1. https://arxiv.org/abs/2404.00498, after Page, 2018,
        https://myrtle.ai/learn/how-to-train-your-resnet. There, means are not
        subtracted, and there are twice as many filters as a patch has numbers.
    """
    checked_float(OWNER, "epsilon", epsilon, at_least=0)
    checked_count(OWNER, "max_patches", max_patches, minimum=2)
    batch = checked_batch(OWNER, model, x)
    network = batch.networks[0]
    found, images = _first_convolution(network, batch.x, layer)
    if found.groups > 1:
        raise ValueError(message(OWNER, "layer", "a layer without groups", found.name))
    patches = _patches(found, images, max_patches)
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(patches.T, bias=True))
    scales = 1 / np.sqrt(np.maximum(values, 0) + epsilon + 1e-12)
    whitening = (vectors * scales)[:, ::-1]
    number = min(found.filters, 2 * whitening.shape[1])
    filters = np.concatenate([whitening, -whitening], axis=1)[:, :number]
    kernel = np.array(keras.ops.convert_to_numpy(found.kernel), "float32")
    kernel.reshape(-1, found.filters)[:, :number] = filters
    found.kernel.assign(kernel)
    if found.bias is not None:
        bias = np.array(keras.ops.convert_to_numpy(found.bias), "float32")
        bias[:number] = -mean @ filters
        found.bias.assign(bias)
    return number


def _first_convolution(network: Any, x: Any, name: str | None) -> tuple[Any, Any]:
    """The convolution that is called first, or that of a name, and what it receives."""

    def received(call: Any, value: Any) -> Any:
        fits = isinstance(call.layer, CONVOLUTIONS)
        return value if fits and name in (None, call.layer.name) else None

    captured = Capture(network, received=received, once=True)(x)
    for call, value in zip(captured.calls, captured.received, strict=True):
        if value is not None:
            return call.layer, np.asarray(value, "float32")
    names = [each.name for each in flat_layers(network) if _is_convolution(each)]
    rule = f"None or the name of a convolution. {listed(names)}"
    raise ValueError(message(OWNER, "layer", rule, name))


def _is_convolution(layer: Any) -> bool:
    return isinstance(layer, CONVOLUTIONS)


def _patches(layer: Any, images: np.ndarray, most: int) -> np.ndarray:
    """Patches `(number, taps * channels)` of images, as the kernel sees them."""
    if layer.data_format == "channels_first":
        images = np.moveaxis(images, 1, -1)
    spatial = tuple(range(1, images.ndim - 1))
    spans = [
        (taps - 1) * step + 1
        for taps, step in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    ]
    if any(
        images.shape[axis] < span for axis, span in zip(spatial, spans, strict=True)
    ):
        rule = f"images of at least {tuple(spans)}, the kernel's size"
        raise ValueError(message(OWNER, "x", rule, images.shape))
    windows = np.lib.stride_tricks.sliding_window_view(images, spans, spatial)
    steps: Any = [slice(None, None, step) for step in layer.dilation_rate]
    windows = windows[(..., *steps)]
    # (batch, *places, channels, *taps) to (number, taps, channels).
    windows = np.moveaxis(windows, len(spatial) + 1, -1)
    places = windows.shape[: len(spatial) + 1]
    total = int(np.prod(places))
    chosen = np.linspace(0, total - 1, min(total, most)).astype("int64")
    return (
        windows[np.unravel_index(chosen, places)]
        .reshape(len(chosen), -1)
        .astype("float64")
    )
