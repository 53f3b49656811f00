"""What a model family is: a function of the hyperparameters that builds a model."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import keras

from keras_deeptools.tuning._family_task import FamilyTask


@dataclasses.dataclass(frozen=True)
class ModelFamily:
    """Builds the model of a trial; made by `mlp_space` and its siblings.

    Args:
        task: `FamilyTask`.
        depth: Int >= 1, `IntRange` or `OneOf`.
        width: As `depth`.
        architecture: Function of these three and of `keras_tuner.HyperParameters`, to
            the symbolic inputs and the last hidden features.
    """

    task: FamilyTask
    depth: Any
    width: Any
    architecture: Callable[[FamilyTask, Any, Any, Any], tuple[Any, Any]]

    def __call__(self, hp: Any) -> keras.Model:
        """The compiled model.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        inputs, features = self.architecture(self.task, self.depth, self.width, hp)
        return self.task.finished(hp, inputs, features)

    def without_optimizer(self) -> Self:
        """The family with an optimizer that is not searched."""
        return dataclasses.replace(
            self, task=dataclasses.replace(self.task, optimizers=())
        )
