"""Losses of the user's own: whether they ask for what the targets are."""

from collections.abc import Iterator

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.facts import Facts


def wrong_direction(facts: Facts) -> Iterator[Finding]:
    """Losses of the user's that are smaller for wrong predictions, or ignore them."""
    for each in facts.outputs:
        values = each.loss_values
        if not values:
            continue
        right, constant, far = values["right"], values["constant"], values["far"]
        size = max(map(abs, values.values()))
        if right > constant and right > far + 1e-6 * size:
            yield Finding(
                "loss of the wrong sign",
                each.end.name,
                f"{each.end.loss_name} is {right:.3g} for predictions that are right "
                f"and {far:.3g} for such that are far off: training drives them apart.",
                "Change the sign of what the loss returns.",
                evidence=values,
                code="loss = lambda y, predicted: -score(y, predicted)",
                confidence=0.9,
                reference="measured",
            )
        elif abs(right - constant) <= 1e-6 * size and abs(right - far) <= 1e-6 * size:
            yield Finding(
                "loss that ignores the predictions",
                each.end.name,
                f"{each.end.loss_name} is {right:.3g} for predictions that are right, "
                "for a constant and for such that are far off: it has no gradient.",
                "Compute the loss from the predictions, by functions with a slope.",
                evidence=values,
                confidence=0.9,
                reference="measured",
            )


RULES = (wrong_direction,)
"""The rules of this file."""
