"""Callbacks for `model.fit` that act inside the compiled train step."""

from keras_deeptools.callbacks._training_feature import TrainingFeature

__all__ = ["TrainingFeature"]
