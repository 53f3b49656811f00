"""What of `keras_deeptools.transfer` the contract does not make by itself."""

# Handles on a model's own layers, which a copy or a pickle would not be.
HANDLES = {
    "keras_deeptools.transfer.LayerGroup",
    "keras_deeptools.transfer.LayerGroups",
}
