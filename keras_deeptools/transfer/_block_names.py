"""The block of a network that a layer's name says it is in."""

import re

# The numbered blocks of keras.applications: block_1_expand, conv2_block1_1_conv,
# block1a_se_reduce, convnext_tiny_stage_0_block_1_gelu, block35_4_mixed.
_NUMBERED = re.compile(r"(.*block(?:(?:8|17|35)_\d+|_?\d+[a-z]?))(?:_|$)")
_EXPANDED = re.compile(r"(expanded_conv(?:_\d+)?)(?:_|$)")  # MobileNetV2 and V3
_MIXED = re.compile(r"(mixed_?\d+[a-z]?)(?:_|$)")  # Inception
_DEPTHWISE = re.compile(r"conv_(?:dw|pw|pad)_(\d+)(?:_|$)")  # MobileNet
_CELL = re.compile(r"(?:normal|reduction)_concat_(.+)")  # NASNet


def block_name(name: str) -> str | None:
    """The block that the name of a layer says it is in, None where it names none.

    Args:
        name: Str, name of a layer.

    Example:

    >>> from keras_deeptools.transfer._block_names import block_name
    >>> block_name("conv2_block1_1_conv"), block_name("block1a_dwconv")
    ('conv2_block1', 'block1a')
    >>> block_name("conv_dw_3_relu"), block_name("activation_17")
    ('conv_block_3', None)
    """
    for pattern in (_NUMBERED, _EXPANDED, _MIXED):
        if found := pattern.match(name):
            return found[1]
    if found := _DEPTHWISE.match(name):
        return f"conv_block_{found[1]}"
    if found := _CELL.match(name):
        return f"cell_{found[1]}"
    return None


def ends_cell(name: str) -> bool:
    """True for what ends a NASNet cell.

    A cell reads the two cells before it, so that no call lies on every path.

    Args:
        name: Str, name of a layer.

    Example:

    >>> from keras_deeptools.transfer._block_names import ends_cell
    >>> ends_cell("normal_concat_3"), ends_cell("conv2_block1_concat")
    (True, False)
    """
    return _CELL.match(name) is not None
