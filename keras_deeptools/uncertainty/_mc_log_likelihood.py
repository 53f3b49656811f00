"""How likely the targets are under the Monte Carlo prediction of a model."""

from typing import Any

import keras
import numpy as np

from keras_deeptools.uncertainty._mc_predict import mc_predict
from keras_deeptools.uncertainty._predictive_likelihood import (
    classification_log_likelihood,
    likelihood_of_loss,
    regression_log_likelihood,
)


def mc_log_likelihood(
    model: keras.Model,
    x: Any,
    y: Any,
    likelihood: str,
    num_samples: int,
    seed: int,
    owner: str = "tune_dropout_rate",
) -> tuple[np.ndarray, float]:
    """Log-likelihood of every row, and the noise that was fitted.

    Args:
        model: `keras.Model`, compiled.
        x: Inputs.
        y: Targets.
        likelihood: `"classification"`, `"regression"` or `"auto"`, by the loss.
        num_samples: Int >= 0, Monte Carlo samples; 0: the plain prediction.
        seed: Int >= 0.
        owner: Str. Who is named in errors.
    """
    from_logits = False
    if likelihood == "auto":
        likelihood, from_logits = likelihood_of_loss(owner, model.loss)
    needs_samples = from_logits or likelihood == "regression"
    if not num_samples:
        outputs = np.asarray(model.predict(x, verbose=0))[None]
    else:
        prediction = mc_predict(
            model,
            x,
            num_samples,
            seed=seed,
            return_samples=needs_samples,
            verbose=0,
        )
        outputs = prediction.samples if needs_samples else prediction.mean[None]
    if likelihood == "classification":
        return classification_log_likelihood(owner, outputs, y, from_logits), np.nan
    targets = np.asarray(y, "float64").reshape(outputs.shape[1], -1)
    return regression_log_likelihood(
        np.asarray(outputs).reshape(*outputs.shape[:2], -1), targets
    )
