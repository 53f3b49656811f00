"""What of transfer learning and pretraining is searched."""

from typing import Any

from keras_deeptools import pretraining, transfer
from keras_deeptools.tuning._ranges import FloatRange, IntRange, OneOf
from keras_deeptools.tuning._search_space import SearchSpace


def _backbone(
    input_shape: tuple[int | None, ...],
    model: Any,
    pooling: str | None = None,
    weights: str | None = "imagenet",
    **arguments: Any,
) -> Any:
    """Network of a name, which needs the shape of the images."""
    return transfer.backbone(model, input_shape, weights, pooling, **arguments)


BATCH_NORM = OneOf(("frozen", "statistics", "train"))

TRAINING = {
    "backbone": SearchSpace(
        transfer.backbone,
        {
            "model": OneOf(("MobileNetV2", "EfficientNetV2B0", "ResNet50V2")),
            "pooling": OneOf((None, "avg", "max")),
        },
        make=_backbone,
    ),
    "classifier": SearchSpace(
        transfer.classifier,
        {
            "head": OneOf(("average", "concat")),
            "dropout_rate": FloatRange(0.0, 0.5),
        },
    ),
    "freeze": SearchSpace(transfer.freeze, {"batch_norm": BATCH_NORM}),
    "unfreeze": SearchSpace(transfer.unfreeze, {"batch_norm": BATCH_NORM}),
    # Vincent et al., 2010, section 6: corruption of 10, 25 and 40%.
    "pretrain_layerwise": SearchSpace(
        pretraining.pretrain_layerwise,
        {
            "tied": OneOf((True, False)),
            "noise": OneOf(("masking", "gaussian")),
            "noise_level": FloatRange(0.1, 0.4),
            "epochs": IntRange(5, 50, log=True),
        },
    ),
}
