"""A two-dimensional convolution whose outputs keep mean 0 and variance 1."""

import keras

from keras_deeptools.layers._self_normalizing_conv import SelfNormalizingConv


@keras.saving.register_keras_serializable(package="keras_deeptools")
class SelfNormalizingConv2D(SelfNormalizingConv, keras.layers.Conv2D):
    """A convolution over images that keeps mean 0 and variance 1, also at the edges.

    LeCun normal kernel, SELU and AlphaDropout, as in `SelfNormalizingDense`. Plain
    zero padding takes variance from the edges (over half in a corner),
    layer after layer; here `padding="same"` gives it back by a factor for the taps
    that fall outside, and `"reflect"` pads with mirrored data.

    Args:
        filters: Int >= 1. Number of output channels.
        kernel_size: Int >= 1 or tuple of two ints. Taps of the kernel by axis.
        strides: Int >= 1 or tuple of two ints. Step between outputs.
        padding: `"valid"`, `"same"` (zeros; outputs with `r` of `k` taps on data are
            multiplied by `sqrt(k / r)`) or `"reflect"` (mirrored data, output sizes
            as for `"same"`; needs inputs of known size).
        data_format: `"channels_last"` or `"channels_first"`. None takes Keras'
            setting.
        dilation_rate: Int >= 1 or tuple of two ints. Step between taps.
        groups: Int >= 1. Groups of channels that are convolved apart.
        rate: Float in [0, 1). Fraction of outputs that AlphaDropout sets to the
            negative saturation value in training.
        use_bias: Bool. Whether to add a bias.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the outputs.
        kernel_constraint: Constraint of the kernel.
        bias_constraint: Constraint of the bias.
        seed: Int >= 0 or None. Fixes the initial kernel and the dropout masks.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`, or with channels first, of
            mean 0 and variance 1.
        training: Bool. Whether AlphaDropout is on.

    Returns:
        Tensor `(batch, new_height, new_width, filters)`, or with channels first.

    Raises:
        ValueError: If an argument is out of range. When built: if `"reflect"` would
            need more data than there is, or inputs are of unknown size.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import SelfNormalizingConv2D
    >>> convolve = SelfNormalizingConv2D(64, 3, padding="same", seed=0)
    >>> x = np.random.default_rng(0).normal(size=(64, 5, 5, 16))
    >>> y = keras.ops.convert_to_numpy(convolve(x.astype("float32")))
    >>> corner = y[:, 0, 0].std()
    >>> bool(0.9 < corner < 1.1)
    True

    Reference:
        Klambauer et al., 2017, section 2. https://arxiv.org/abs/1706.02515
        (dense layers only; the treatment of edges is ours)
    """
