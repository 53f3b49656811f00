"""DropBlock: dropout of connected regions of feature maps."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools._arguments import checked_bool, checked_count, checked_option
from keras_deeptools.layers._stochastic_depth import StructuredDropout

NEWTON_STEPS = 12
FORMATS = ("channels_last", "channels_first")


@keras.saving.register_keras_serializable(package="keras_deeptools")
class DropBlock2D(StructuredDropout):
    """Drops square regions of feature maps in training.

    Neighbours in a feature map carry nearly the same information, so that dropout of
    single elements removes little of it; a whole block takes an object's part away. Put
    the layer after convolutions, in the later stages of a network and also on skip
    connections. At inference it does nothing; `mc_predict` samples it like dropout.

    `rate` is the fraction of the elements that is dropped on average, for every size of
    the map and of the block: the probability that a block begins at a position is
    computed from how many blocks can cover each element. With the paper's formula,
    which ignores that blocks overlap, fewer elements are dropped; published programs
    drop up to nine times as many on maps as small as the block.

    Args:
        rate: Float in [0, 1). Fraction of the elements to drop. 0.05 to 0.25 are
            common.
        block_size: Int >= 1. Side of the square blocks. 1 is dropout. Blocks are as
            large as the map at most.
        per_channel: Bool. Whether each channel has blocks of its own, as in the paper;
            otherwise all channels of a sample share them.
        data_format: `"channels_last"`, `"channels_first"` or None for Keras' configured
            format.
        seed: Int >= 0 or None. Layers with the same seed and different names draw
            different masks; None takes a new seed for every layer.
        **kwargs: As for every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor `(batch, height, width, channels)`, or with channels at axis 1.
            A height or width that is unknown when the model is compiled must not be
            smaller than the block.
        training: Bool.

    Returns:
        Tensor, same shape and dtype as `inputs`.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: If an argument is of the wrong type.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools.layers import DropBlock2D
    >>> layer = DropBlock2D(0.2, block_size=3, seed=0)
    >>> y = layer(np.ones((500, 7, 7, 2), "float32"), training=True)
    >>> bool(abs((keras.ops.convert_to_numpy(y) == 0).mean() - 0.2) < 0.02)
    True

    Reference:
        Ghiasi et al., 2018, algorithm 1. https://arxiv.org/abs/1810.12890. Here, kept
        elements are scaled by `1 / (1 - rate)` and not by the count of each batch, so
        that samples do not depend on each other, and `rate` does not grow in training.
    """

    def __init__(
        self,
        rate: float,
        block_size: int = 7,
        per_channel: bool = True,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, seed, **kwargs)
        owner = type(self).__name__
        self.block_size = checked_count(owner, "block_size", block_size)
        self.per_channel = checked_bool(owner, "per_channel", per_channel)
        data_format = data_format or keras.config.image_data_format()
        self.data_format = checked_option(owner, "data_format", data_format, FORMATS)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def dropped(self, inputs: Any) -> Any:
        """Returns `inputs` with blocks set to zero and the rest scaled."""
        known = list(inputs.shape)
        sizes = [
            own if own is not None else dynamic
            for own, dynamic in zip(known, ops.shape(inputs), strict=True)
        ]
        last = self.data_format == "channels_last"
        order = (1, 2, 3) if last else (2, 3, 1)
        height, width, channels = (sizes[axis] for axis in order)
        is_known = known[order[0]] is not None and known[order[1]] is not None
        shape = (sizes[0], height, width, channels if self.per_channel else 1)
        keep = self._kept(shape, np if is_known else ops)
        if not last:
            keep = ops.transpose(keep, (0, 3, 1, 2))
        scaled = inputs * ops.cast(1 / (1 - self.rate), inputs.dtype)
        return ops.where(keep, scaled, ops.zeros_like(inputs))

    def _kept(self, shape: tuple[Any, ...], xp: Any) -> Any:
        batch, height, width, channels = shape
        block = [
            min(self.block_size, size) if isinstance(size, int) else self.block_size
            for size in (height, width)
        ]
        chance = block_probability(self.rate, (height, width), block, xp)
        places = (height - block[0] + 1, width - block[1] + 1)
        drawn = keras.random.uniform(
            (batch, *places, channels), seed=self.seed_generator, dtype="float32"
        )
        begins = ops.cast(drawn < chance, "float32")
        around = [(side - 1, side - 1) for side in block]
        begins = ops.pad(begins, [(0, 0), *around, (0, 0)])
        # The default format is given, since the mask has its channels last.
        covered = ops.max_pool(
            begins, tuple(block), 1, "valid", data_format="channels_last"
        )
        return covered < 0.5

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "block_size": self.block_size,
            "per_channel": self.per_channel,
            "data_format": self.data_format,
        }


def block_probability(rate: float, sizes: Any, block: Any, xp: Any) -> Any:
    """The probability that a block begins at a position, for a fraction dropped.

    An element that `n` blocks can cover is kept with probability `exp(-t * n)`, where
    `t = -log(1 - probability)`. Newton's method finds the `t` with which the mean over
    the map is `1 - rate`: from 0 it rises towards it, as the logarithm of the mean is
    convex.

    Args:
        rate: Float in [0, 1), the fraction of the elements to drop.
        sizes: Height and width of the map.
        block: Height and width of a block.
        xp: `numpy`, or `keras.ops` for sizes that are tensors.
    """
    counts = [
        _num_covering(size, side, xp) for size, side in zip(sizes, block, strict=True)
    ]
    covering = counts[0][:, None] * counts[1][None, :]
    # In units of the largest count numbers stay near 1.
    covering = covering / (block[0] * block[1])
    t: Any = 0.0
    for _ in range(NEWTON_STEPS):
        kept = xp.exp(-t * covering)
        mean = xp.mean(kept)
        t = t + (xp.log(mean) - np.log1p(-rate)) * mean / xp.mean(kept * covering)
    return 1 - xp.exp(-t / (block[0] * block[1]))


def _num_covering(size: Any, side: int, xp: Any) -> Any:
    """How many positions of a block along an axis cover each element."""
    before = xp.arange(1, size + 1, dtype="float32")
    behind = size + 1 - before if xp is np else ops.flip(before)
    most = side if xp is np else ops.cast(side, "float32")
    places = size - side + 1 if xp is np else ops.cast(size - side + 1, "float32")
    return xp.minimum(xp.minimum(before, behind), xp.minimum(most, places))
