"""What of transfer learning and pretraining is searched."""

from typing import Any

import keras

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


def _discriminative(
    groups: Any,
    layer_decay: float,
    learning_rate: float,
    inner_optimizer: str = "adamw",
) -> transfer.DiscriminativeLearningRates:
    """The rate of the head, and the factor from each group to the one below."""
    config = {"class_name": inner_optimizer, "config": {"learning_rate": learning_rate}}
    optimizer = keras.optimizers.get(config)
    return transfer.DiscriminativeLearningRates(
        optimizer, groups=groups, layer_decay=layer_decay
    )


BATCH_NORM = OneOf(("frozen", "statistics", "train"))

NOISE = OneOf(("masking", "gaussian"))

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
    # Howard & Ruder, 2018, section 3.2: each group 1 / 2.6 of the next.
    "discriminative_learning_rates": SearchSpace(
        transfer.DiscriminativeLearningRates,
        {
            "layer_decay": FloatRange(0.3, 1.0),
            "learning_rate": FloatRange(1e-5, 1e-2, log=True),
        },
        make=_discriminative,
    ),
    "fine_tune": SearchSpace(
        transfer.fine_tune,
        {
            "frozen_epochs": IntRange(1, 8, log=True),
            "learning_rate": FloatRange(3e-4, 1e-2, log=True),
            "rate_ratio": FloatRange(1.0, 1000.0, log=True),
            "batch_norm": BATCH_NORM,
        },
    ),
    "freeze_to": SearchSpace(
        transfer.freeze_to, {"group": OneOf((-1, -2, -3, -4)), "batch_norm": BATCH_NORM}
    ),
    "gradual_unfreezing": SearchSpace(
        transfer.GradualUnfreezing,
        {"epochs": IntRange(1, 5), "batch_norm": BATCH_NORM},
    ),
    "reuse": SearchSpace(transfer.reuse, {"num_layers": IntRange(1, 8)}),
    "freeze": SearchSpace(transfer.freeze, {"batch_norm": BATCH_NORM}),
    "unfreeze": SearchSpace(transfer.unfreeze, {"batch_norm": BATCH_NORM}),
    "nt_xent": SearchSpace(
        pretraining.NTXent, {"temperature": FloatRange(0.05, 1.0, log=True)}
    ),
    # Chen et al., 2020, section 5.1 and table 5.
    "pretrain_contrastive": SearchSpace(
        pretraining.pretrain_contrastive,
        {
            "temperature": FloatRange(0.05, 1.0, log=True),
            "projection_units": IntRange(32, 256, log=True),
        },
    ),
    "pretrain_denoising": SearchSpace(
        pretraining.pretrain_denoising,
        {"noise": NOISE, "noise_level": FloatRange(0.1, 0.4)},
    ),
    # Vincent et al., 2010, section 6: corruption of 10, 25 and 40%.
    "pretrain_layerwise": SearchSpace(
        pretraining.pretrain_layerwise,
        {
            "tied": OneOf((True, False)),
            "noise": NOISE,
            "noise_level": FloatRange(0.1, 0.4),
            "epochs": IntRange(5, 50, log=True),
        },
    ),
    # He et al., 2022, section 4.1: 75% of an image, 40 to 80% in fine-tuning.
    "pretrain_masked": SearchSpace(
        pretraining.pretrain_masked, {"mask_rate": FloatRange(0.25, 0.8)}
    ),
}
