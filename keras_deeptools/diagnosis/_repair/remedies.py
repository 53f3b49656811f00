"""What `repair` changes for each kind of finding, and what no change can fix."""

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._repair import (
    remedies_of_data,
    remedies_of_layers,
    remedies_of_training,
)
from keras_deeptools.diagnosis._repair.recipe import Case, Recipes, Remedy

ENDS = (
    "ReLU before a regression loss",
    "categorical crossentropy over one unit",
    "class numbers for a one-hot loss",
    "classification loss for quantities",
    "labels out of range",
    "logits with from_logits=False",
    "loss of the wrong sign",
    "loss that ignores the predictions",
    "negative rates with a Poisson loss",
    "no probabilities",
    "one-hot labels for a sparse loss",
    "regression loss for classes",
    "sigmoid with categorical crossentropy",
    "softmax over one unit",
    "softmax with binary crossentropy",
    "targets out of reach",
)
"""Kinds that are fixed by the last activation and the loss."""

ENDINGS = (" with from_logits=True", " with a hinge loss")
"""The same, for each activation."""


def shape_of_outputs(case: Case) -> Recipes:
    """The last vector of a sequence, or the loss that the targets ask for."""
    return [
        *remedies_of_layers.last_vector(case),
        *remedies_of_data.end_for_loss(case),
    ]


def initialize_or_clip(case: Case) -> Recipes:
    """Initial weights that keep the scale of gradients, or clipped ones."""
    return [*remedies_of_layers.initialize(case)[:1], *remedies_of_training.clip(case)]


REMEDIES: dict[str, Remedy] = {
    **dict.fromkeys(ENDS, remedies_of_data.end_for_loss),
    "ReLU on the logits": remedies_of_layers.linear_logits,
    "BatchNormalization that lags": remedies_of_layers.quicker_averages,
    "BatchNormalization with tiny batches": remedies_of_training.usual_batches,
    "ReLU in recurrent layers": remedies_of_layers.bounded_recurrence,
    "channels in front": remedies_of_data.channels_last,
    "clipping stops learning": remedies_of_training.clip_as_usual,
    "dead units": remedies_of_layers.revive,
    "divergence": remedies_of_training.lower_rate,
    "dropout before BatchNormalization": remedies_of_layers.less_dropout,
    "dropout on the output": remedies_of_layers.less_dropout,
    "dropout rate of 1": remedies_of_layers.less_dropout,
    "dropout rate too high": remedies_of_layers.less_dropout,
    "equal kernels": remedies_of_layers.initialize,
    "everything is frozen": remedies_of_training.unfreeze,
    "epsilon too large": remedies_of_training.usual_epsilon,
    "exploding gradient": initialize_or_clip,
    "exploding signal": initialize_or_clip,
    "fit fails": shape_of_outputs,
    "frozen layers that were never trained": remedies_of_training.unfreeze,
    "ids outside the embedding": remedies_of_layers.larger_vocabulary,
    "imbalanced classes": remedies_of_data.weigh_classes,
    "initial biases far from zero": remedies_of_layers.initialize,
    "initial weights too large": remedies_of_layers.initialize,
    "initial weights too small": remedies_of_layers.initialize,
    "initializer that is not for SELU": remedies_of_layers.initialize,
    "large inputs": remedies_of_data.scale_inputs,
    "large updates": remedies_of_training.lower_rate,
    "learning rate decays too soon": remedies_of_training.longer_schedule,
    "learning rate not positive": remedies_of_training.other_rate,
    "learning rate too high": remedies_of_training.other_rate,
    "learning rate too low": remedies_of_training.other_rate,
    "linear layers in a row": remedies_of_layers.rectify,
    "narrow layer": remedies_of_layers.wider,
    "no gradient reaches": remedies_of_layers.revive,
    "no non-linearity": remedies_of_layers.rectify,
    "non-finite inputs": remedies_of_data.fill_missing,
    "non-finite targets": remedies_of_data.drop_missing_targets,
    **dict.fromkeys(
        ("non-finite gradient", "non-finite loss"), remedies_of_training.lower_rate
    ),
    "non-finite weights": remedies_of_layers.initialize,
    "oscillation": remedies_of_training.lower_rate,
    "outliers in the targets": remedies_of_data.robust_loss,
    "outputs of another shape than the targets": shape_of_outputs,
    "padding without mask": remedies_of_layers.mask_padding,
    "plain dropout with SELU": remedies_of_layers.alpha_dropout,
    "plateau": remedies_of_training.lower_rate,
    "regularization outweighs the loss": remedies_of_layers.less_regularization,
    "saturated units": remedies_of_layers.initialize,
    "sigmoid in hidden layers": remedies_of_layers.other_activation,
    "small updates": remedies_of_training.other_rate,
    "softmax between layers": remedies_of_layers.rectify,
    "sorted samples": remedies_of_data.shuffle,
    "symmetric units": remedies_of_layers.initialize,
    "text as targets": remedies_of_data.number_text,
    "too few updates": remedies_of_training.more_epochs,
    "uneven inputs": remedies_of_data.scale_inputs,
    "unscaled inputs": remedies_of_data.scale_inputs,
    "unscaled pixels": remedies_of_data.scale_inputs,
    "unscaled targets": remedies_of_data.scale_targets,
    "vanishing gradient": remedies_of_layers.rectify_or_initialize,
    "vanishing signal": remedies_of_layers.rectify_or_initialize,
    "weight constraint too tight": remedies_of_layers.wider_constraint,
    "weight decay too strong": remedies_of_training.less_decay,
    "weights that leave samples out": remedies_of_data.no_weights,
}
"""From a kind of finding to what is changed for it."""

NOT_BY_THE_MODEL = {
    "classes that are not trained": "Split the samples at random, or by class.",
    "labels that look wrong": "Look at the samples that the finding lists.",
    "labels without information": "Look at whether inputs and labels belong together.",
    "non-finite inputs": "Look at where they come from, whatever the model does.",
    "non-finite targets": "Look at where they come from.",
    "text as inputs": "Turn it into numbers, for instance by TextVectorization.",
    "one class": "Look at how the labels are read.",
    "validation data on another scale": "Scale them as the training data are scaled.",
    "validation samples in the training data": "Split before copying or augmenting.",
    "validation that is not comparable": "Give training and validation data one scale.",
}
"""Kinds whose fault lies in the data, and what to do about them instead."""


def remedy_for(finding: Finding) -> Remedy | None:
    """What is changed for a finding, or None."""
    if finding.kind.endswith(ENDINGS):
        return remedies_of_data.end_for_loss
    return REMEDIES.get(finding.kind)


def answer_to(finding: Finding) -> str:
    """Why no change of the model can fix a finding; empty where one may."""
    advice = NOT_BY_THE_MODEL.get(finding.kind)
    if advice is None:
        return ""
    only = "" if finding.kind in REMEDIES else "No change of the model can fix it. "
    return f"{finding.kind}: {finding.message} {only}{advice}"
