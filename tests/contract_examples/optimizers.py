"""A valid instance of every public class of `keras_deeptools.optimizers`."""

from collections.abc import Callable

import keras

from keras_deeptools import optimizers

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.optimizers.ADOPT": lambda: optimizers.ADOPT(
        0.01, clip_exponent=0.5
    ),
    "keras_deeptools.optimizers.AdEMAMix": lambda: optimizers.AdEMAMix(
        0.01, alpha=2.0, warmup_steps=10
    ),
    "keras_deeptools.optimizers.AdaBelief": lambda: optimizers.AdaBelief(
        0.01, epsilon=1e-8, weight_decay=0.1
    ),
    "keras_deeptools.optimizers.Adan": lambda: optimizers.Adan(0.01, beta_3=0.9),
    "keras_deeptools.optimizers.Lookahead": lambda: optimizers.Lookahead(
        keras.optimizers.SGD(0.1), sync_period=3, slow_step_size=0.8
    ),
    "keras_deeptools.optimizers.Prodigy": lambda: optimizers.Prodigy(
        safeguard_warmup=True
    ),
    "keras_deeptools.optimizers.RectifiedAdam": lambda: optimizers.RectifiedAdam(
        0.01, clipnorm=1.0
    ),
    "keras_deeptools.optimizers.SOAP": lambda: optimizers.SOAP(
        0.01, refresh_every=2, beta_3=0.9
    ),
}
