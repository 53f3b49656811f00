"""The initializer of Fixup."""

import keras

from keras_deeptools._arguments import checked_count, checked_seed

OWNER = "fixup_initializer"


def fixup_initializer(
    num_blocks: int, num_layers: int = 2, seed: int | None = None
) -> keras.initializers.VarianceScaling:
    """He normal, times `num_blocks ** (-1 / (2 * num_layers - 2))`.

    For all weight layers of a residual branch but the last, which starts at zero. An
    update then changes the net's output by an amount that does not grow with depth,
    without normalization. `norm_free_block(scheme="fixup")` sets it.

    Args:
        num_blocks: Int >= 1. Residual branches in the whole net.
        num_layers: Int >= 2. Weight layers in each branch.
        seed: Int >= 0 or None. Seed; layers that share it start alike.

    Returns:
        `keras.initializers.VarianceScaling`.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: If an argument is not an integer.

    Example:

    >>> from keras_deeptools.layers import fixup_initializer
    >>> fixup_initializer(num_blocks=16).scale
    0.125

    Reference:
        Zhang et al., 2019, section 3. https://arxiv.org/abs/1901.09321
    """
    blocks = checked_count(OWNER, "num_blocks", num_blocks)
    layers = checked_count(OWNER, "num_layers", num_layers, 2)
    return keras.initializers.VarianceScaling(
        scale=2 * blocks ** (-1 / (layers - 1)),
        mode="fan_in",
        distribution="untruncated_normal",
        seed=checked_seed(OWNER, seed),
    )
