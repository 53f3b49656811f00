"""The pages of the documentation that explain each kind of finding."""

import re
from functools import cache
from importlib import metadata

PAGES: dict[str, tuple[str, ...]] = {
    "data": (
        "non-finite inputs",
        "non-finite targets",
        "text as inputs",
        "constant inputs",
        "unscaled inputs",
        "unscaled pixels",
        "uneven inputs",
        "large inputs",
        "integers as quantities",
        "constant features",
        "outliers in the inputs",
        "few samples",
        "duplicate samples",
        "sorted samples",
        "weights that leave samples out",
        "channels in front",
        "validation data on another scale",
        "validation samples in the training data",
        "classes that are not trained",
    ),
    "targets": (
        "labels out of range",
        "text as targets",
        "class numbers for a one-hot loss",
        "one-hot labels for a sparse loss",
        "output units without a class",
        "one class",
        "imbalanced classes",
        "labels without information",
        "classification loss for quantities",
        "regression loss for classes",
        "targets out of reach",
        "unscaled targets",
        "outliers in the targets",
        "outputs of another shape than the targets",
        "accuracy of quantities",
        "logits with from_logits=False",
        "{activation} with from_logits=True",
        "no probabilities",
        "softmax over one unit",
        "softmax over samples",
        "categorical crossentropy over one unit",
        "sigmoid with categorical crossentropy",
        "softmax for several labels",
        "softmax with binary crossentropy",
        "ReLU before a regression loss",
        "ReLU on the logits",
        "negative rates with a Poisson loss",
        "{activation} with a hinge loss",
        "loss of the wrong sign",
        "loss that ignores the predictions",
        "label smoothing too strong",
        "percentage error of zeros",
    ),
    "structure": (
        "no non-linearity",
        "linear layers in a row",
        "narrow layer",
        "softmax between layers",
        "sigmoid in hidden layers",
        "dropout on the output",
        "dropout rate too high",
        "dropout rate of 1",
        "dropout before BatchNormalization",
        "disabled MC dropout",
        "shared seeds",
        "activation on the inputs",
        "BatchNormalization with tiny batches",
        "BatchNormalization that lags",
        "BatchNormalization that will drift",
        "bias before BatchNormalization",
        "regularization outweighs the loss",
        "weight constraint too tight",
        "constraint without effect",
        "regularizer without effect",
    ),
    "sequences": (
        "ids outside the embedding",
        "one-hot rows for an embedding",
        "padding without mask",
        "mask over data",
        "ReLU in recurrent layers",
        "embedding rows used several times",
    ),
    "start": (
        "symmetric units",
        "equal kernels",
        "wrong fans",
        "initial weights too large",
        "initial weights too small",
        "initial biases far from zero",
        "non-finite weights",
        "everything is frozen",
        "frozen layers that were never trained",
        "trainable changed without compiling",
        "dead units",
        "saturated units",
        "vanishing gradient",
        "exploding gradient",
        "vanishing signal",
        "exploding signal",
        "saturated",
    ),
    "training": (
        "fit fails",
        "does not learn",
        "non-finite loss",
        "no gradient reaches",
        "learning rate too low",
        "learning rate too high",
        "learning rate not positive",
        "learning rate decays too soon",
        "too few updates",
        "clipping stops learning",
        "several kinds of clipping",
        "epsilon too large",
        "weight decay too strong",
        "weight decay that is no number",
        "momentum without velocities",
        "schedule that runs ahead",
        "averages outside their constraint",
    ),
    "curves": (
        "non-finite operation",
        "divergence",
        "oscillation",
        "slow convergence",
        "plateau",
        "underfitting",
        "overfitting",
        "validation that is not comparable",
        "one class for all",
        "labels that look wrong",
        "no learning",
    ),
    "gradients": (
        "non-finite",
        "non-finite gradient",
        "dead",
        "vanishing",
        "exploding",
        "large updates",
        "small updates",
    ),
    "self-normalizing": (
        "plain dropout with SELU",
        "initializer that is not for SELU",
        "skip without scaling in a SELU network",
        "inputs",
        "initializer",
        "activation",
        "dropout",
        "skip",
        "padding",
        "pooling",
        "normalization",
        "drift",
    ),
}
"""From a page in docs/findings to the kinds that it explains.

Braces stand for what a finding names: `"{activation} with a hinge loss"` explains
`"relu with a hinge loss"`.
"""

PLACEHOLDER = re.compile(r"\{\w+\}")
DOCUMENTATION = "Documentation"
"""Name of the documentation's address in the metadata of the package."""


def heading_of(kind: str) -> tuple[str, str] | None:
    """Returns page and heading that explain a kind of finding; None if there is none.

    Args:
        kind: Str.

    Example:

    >>> from keras_deeptools._finding_pages import heading_of
    >>> heading_of("relu with a hinge loss")
    ('targets', '{activation} with a hinge loss')
    """
    for page, headings in PAGES.items():
        for heading in headings:
            if kind == heading or re.fullmatch(_pattern(heading), kind):
                return page, heading
    return None


@cache
def page_of(kind: str) -> str:
    """Returns the place in the documentation, from its root; empty if there is none.

    Args:
        kind: Str.

    Example:

    >>> from keras_deeptools._finding_pages import page_of
    >>> page_of("symmetric units")
    'findings/start.html#symmetric-units'
    """
    found = heading_of(kind)
    return f"findings/{found[0]}.html#{anchor_of(found[1])}" if found else ""


def anchor_of(heading: str) -> str:
    """Returns the identifier that Sphinx gives a heading.

    Args:
        heading: Str.
    """
    return re.sub("[^a-z0-9]+", "-", heading.lower()).strip("-")


def documentation() -> str:
    """Returns the documentation's address from the package's metadata, or empty."""
    try:
        known = metadata.metadata("keras-deeptools").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    pairs = [each.partition(", ") for each in known]
    found = [url for name, _, url in pairs if name.strip() == DOCUMENTATION]
    return found[0].rstrip("/") + "/" if found else ""


def _pattern(heading: str) -> str:
    known = [re.escape(part) for part in PLACEHOLDER.split(heading)]
    return r"\w+".join(known)
