"""Which variables a gradient clipper takes together."""

from keras_deeptools.callbacks._clipping_limits import OWNER
from keras_deeptools.callbacks._layer_selection import LayerSelection
from keras_deeptools.engine import Leaf, optimized_variables


def clipping_groups(
    selection: LayerSelection, leaf: Leaf, per: str, joint: bool
) -> tuple[dict[int, int], list[str]]:
    """The group of each chosen variable, and the groups' names.

    Args:
        selection: `LayerSelection`.
        leaf: `Leaf`.
        per: `"layer"` or `"variable"`.
        joint: Bool, whether a norm over all chosen variables is limited.

    Returns:
        Dict from the position of a variable to its group, and a list of names.

    Raises:
        ValueError: If `joint`, and several optimizers train the chosen variables.
    """
    held = selection.of(leaf)
    own = {id(variable) for variable in optimized_variables(leaf.root)}
    everywhere = [h for h in selection.everywhere(leaf) if id(h.variable) in own]
    if joint and 0 < len(held) < len(everywhere):
        raise ValueError(
            f"{OWNER}: `global_norm` must span variables of one optimizer, since "
            "each sees its own gradients only. Received: a MultiOptimizer that "
            f"trains {len(held)} of {len(everywhere)} chosen variables with "
            f"{leaf.optimizer.name!r}. Use `norm`, or choose `layers` of one "
            "optimizer."
        )
    names = [h.group if per == "layer" else h.variable.path for h in held]
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    groups = {h.position: number[name] for h, name in zip(held, names, strict=True)}
    return groups, list(number)
