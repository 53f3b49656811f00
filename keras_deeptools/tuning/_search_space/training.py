"""What of transfer learning and pretraining is searched."""

from typing import Any

from keras_deeptools import pretraining, transfer
from keras_deeptools.callbacks import (
    L2SP,
    AdaptiveGradientClipping,
    GradientClipper,
    HyperparameterScheduler,
    MaxNormEnforcer,
    OneCycleScheduler,
    PercentileClipping,
    RDrop,
    SharpnessAwareMinimization,
    WeightAveraging,
)
from keras_deeptools.schedules import LinearRamp
from keras_deeptools.tuning._search_space.ranges import (
    FloatRange,
    IntRange,
    OneOf,
    SearchSpace,
)
from keras_deeptools.tuning._search_space.searched_optimizer import named_optimizer


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
    """The head's learning rate, and the factor from each group to the one below."""
    optimizer = named_optimizer(inner_optimizer, {"learning_rate": learning_rate})
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
    "interpolate_weights": SearchSpace(
        transfer.interpolate_weights, {"mix": FloatRange(0.0, 1.0)}
    ),
    "reuse_layers": SearchSpace(transfer.reuse_layers, {"num_layers": IntRange(1, 8)}),
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


def _one_cycle(
    max_learning_rate: float,
    low_momentum: float,
    high_momentum: float,
    total_steps: int | None = None,
    warmup_fraction: float = 0.3,
    initial_divisor: float = 25.0,
    final_divisor: float = 1e4,
    shape: str = "cosine",
    three_phase: bool = False,
) -> OneCycleScheduler:
    """The ends of the momentum one by one."""
    return OneCycleScheduler(
        max_learning_rate,
        total_steps,
        warmup_fraction,
        initial_divisor,
        final_divisor,
        (low_momentum, high_momentum),
        shape=shape,
        three_phase=three_phase,
    )


def _weight_decay_ramp(
    num_steps: int, initial_weight_decay: float, final_weight_decay: float
) -> HyperparameterScheduler:
    """Weight decay from one value to another."""
    ramp = LinearRamp(initial_weight_decay, final_weight_decay, num_steps)
    return HyperparameterScheduler({"weight_decay": ramp})


def _averaging(
    decay: float | None,
    start: int | float | None = None,
    every: int = 1,
    warmup: float | None = 9.0,
    validated: bool = True,
    kept: bool = True,
    batch_norm_data: Any = None,
) -> WeightAveraging:
    """A mean of all weights is one of the last quarter, if nothing else is given."""
    if start is None:
        start = 0.75 if decay is None else 0
    return WeightAveraging(
        decay,
        start=start,
        every=every,
        warmup=warmup,
        validated=validated,
        kept=kept,
        batch_norm_data=batch_norm_data,
    )


CALLBACKS = {
    # Brock et al., 2021, section 4.2: 0.01 to 0.16, by the batch size.
    "adaptive_gradient_clipping": SearchSpace(
        AdaptiveGradientClipping,
        {"clipping_factor": FloatRange(0.01, 0.16, log=True)},
    ),
    "gradient_clipper": SearchSpace(
        GradientClipper, {"global_norm": FloatRange(0.1, 10.0, log=True)}
    ),
    "hyperparameter_scheduler": SearchSpace(
        HyperparameterScheduler,
        {
            "initial_weight_decay": FloatRange(1e-6, 1e-2, log=True),
            "final_weight_decay": FloatRange(1e-4, 1e-1, log=True),
        },
        make=_weight_decay_ramp,
    ),
    # Li et al., 2018, section 4.2: alpha and beta over powers of ten.
    "l2sp": SearchSpace(
        L2SP,
        {
            "strength": FloatRange(1e-4, 1.0, log=True),
            "head_strength": FloatRange(1e-4, 1e-1, log=True),
        },
    ),
    # Srivastava et al., 2014, section 5.1: c from 3 to 4; smaller for small layers.
    "max_norm_enforcer": SearchSpace(
        MaxNormEnforcer, {"max_norm": FloatRange(0.5, 5.0, log=True)}
    ),
    # Seetharaman et al., 2020, figure 2: the percentiles that were tried.
    "percentile_clipping": SearchSpace(
        PercentileClipping, {"percentile": OneOf((1, 10, 25, 50, 90))}
    ),
    # Liang et al., 2021, section 3: 0.6 for images, 1 to 5 for language.
    "r_drop": SearchSpace(RDrop, {"weight": FloatRange(0.1, 10.0, log=True)}),
    # Foret et al., 2021, section 3.1: 0.01 to 0.5.
    "sharpness_aware_minimization": SearchSpace(
        SharpnessAwareMinimization,
        {
            "radius": FloatRange(0.01, 1.0, log=True),
            "interval": OneOf((1, 2)),
            "adaptive": OneOf((False, True)),
        },
    ),
    # Smith, 2018, sections 4 and 5.
    "one_cycle_scheduler": SearchSpace(
        OneCycleScheduler,
        {
            "max_learning_rate": FloatRange(1e-4, 1.0, log=True),
            "warmup_fraction": FloatRange(0.1, 0.45),
            "initial_divisor": OneOf((10.0, 25.0, 100.0)),
            "final_divisor": OneOf((1e2, 1e4, 1e6)),
            "low_momentum": OneOf((0.8, 0.85, 0.9)),
            "high_momentum": OneOf((0.95, 0.97, 0.99)),
            "shape": OneOf(("cosine", "linear")),
        },
        make=_one_cycle,
    ),
    # None: the mean of the last quarter, Izmailov et al., 2018, section 4.
    "weight_averaging": SearchSpace(
        WeightAveraging, {"decay": OneOf((0.99, 0.999, None))}, make=_averaging
    ),
}
