"""Which remedy `repair` has for each finding, which it tries, and which it keeps."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_deeptools._finding import Finding
from keras_deeptools.diagnosis._diagnose.facts import Facts
from keras_deeptools.diagnosis._repair import (
    remedies_of_data,
    remedies_of_layers,
    remedies_of_training,
)
from keras_deeptools.diagnosis._repair.copies_in_training import Candidate, Trainer
from keras_deeptools.diagnosis._repair.recipe import Case, Recipe, Recipes, Remedy
from keras_deeptools.diagnosis._repair.remedies_of_training import rate_times

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

SHORT = 8
"""A first training of a copy is so many times shorter than the last one."""

LEAST_UPDATES = 24
"""Of a first training, unless these are more than a third of the last one."""

MOST_TRIED = 4
"""Findings whose remedies are tried in each of the two rounds."""

MOST_RECIPES = 3
LEAST_GAIN = 0.005
"""By so much the score must rise for a change to be kept."""

LITTLE_LOSS = 0.02
"""So much the score may fall in a short training where the cause is certain."""

NEAR = 0.1
"""The second best remedy of a finding stays in the race if it is so near."""

FAR = 0.2
"""An original that is so far behind after half of its training is not trained on."""

HIGHER, LOWER = 4.0, 0.1
"""Factors of the learning rate of a copy that is behind after half of its training."""

FALLING = 3
"""Passes in which the loss must fall to be taken as falling all the time."""

CERTAIN = 0.85
LIKELY = 0.7
BELOW_SIMPLE = 0.05
"""So much worse than simple models a network may be without a further search."""

GOOD = 0.995


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


@dataclass(frozen=True, eq=False)
class Tried:
    """A remedy, and how its copy did in a short training."""

    finding: Finding
    candidate: Candidate
    score: float
    kept: bool


@dataclass(eq=False)
class Search:
    """Short trainings of copies; the best one is trained to the end.

    Attributes:
        trainer: `Trainer`.
        updates: Int, of a whole training.
        budget: Int, the most that a remedy may ask for.
        facts: `Facts` of the original.
        diagnose: Function of a candidate that looks for further causes, by short
            trainings too; or None.
        say: Function of a line of text.
        tried: List of `Tried`.
    """

    trainer: Trainer
    updates: int
    budget: int
    facts: Facts
    diagnose: Callable[[Candidate], tuple[Facts, Sequence[Finding]]] | None
    say: Callable[[str], None]
    tried: list[Tried] = field(default_factory=list)
    _done: set[Any] = field(default_factory=set)
    _second: Candidate | None = None

    def run(self, findings: Sequence[Finding]) -> tuple[Candidate, Candidate]:
        """The original, and the copy that did best; both may be the same."""
        least = min(LEAST_UPDATES, self.updates // 3)
        self._short = self._rounded(max(self.updates // SHORT, least))
        self._half = self._rounded(self.updates // 2)
        self._original = self.trainer.started(Recipe())
        self.trainer.advance(self._original, self._short)
        first = findings
        if self.diagnose is not None:
            first = [each for each in findings if (each.confidence or 0) >= LIKELY]
        best = self._finalist(self._improved(self._original, first, self.facts))
        if self.diagnose is not None and not self._is_satisfied(best):
            facts, more = self.diagnose(best)
            best = self._finalist(self._improved(best, more, facts))
        if best is self._original:
            return best, best
        if self.diagnose is not None and not self._is_satisfied(best):
            best = self._with_another_rate(best)
        self.trainer.finish(best, self._end(best), calms=True)
        if not math.isfinite(best.score):
            return self._original, self._original
        if not self.never_learns():
            self.trainer.advance(self._original, self._half)
            if not best.score > self._original.score + FAR:
                self.trainer.finish(self._original, self.updates, calms=False)
            if best.score <= self._original.score + LEAST_GAIN:
                return self._original, self._original
        return self._original, best

    def _finalist(self, best: Candidate) -> Candidate:
        """The better one of the best two copies, after half of the training."""
        if best is self._original:
            return best
        found = [self.trainer.advance(best, self._half)]
        second, self._second = self._second, None
        if second is not None:
            found.append(self.trainer.advance(second, self._half))
        return max(found, key=lambda each: each.score)

    def _with_another_rate(self, best: Candidate) -> Candidate:
        """The copy with another learning rate, where that is better at half time.

        What was changed may want another one than the model as it was: a higher one
        where the loss falls all the time, else a lower one.
        """
        losses = best.losses[-FALLING:]
        is_falling = len(losses) == FALLING and losses == sorted(losses, reverse=True)
        finding = Finding(
            "slow convergence" if is_falling else "oscillation",
            "optimizer",
            f"The copy stays behind what simple models reach: {best.score:.3g}.",
            f"Use a {'higher' if is_falling else 'lower'} learning rate.",
            evidence={"score": best.score},
        )
        case = Case(self.facts, finding, best.recipe, self.budget)
        for recipe in rate_times(case, HIGHER if is_falling else LOWER):
            if recipe is not None:
                other = self.trainer.started(recipe)
                self.trainer.advance(other, self._short)
                self.trainer.advance(other, self._half)
                kept = other.score > best.score + LEAST_GAIN
                self.tried.append(Tried(finding, other, other.score, kept))
                best = other if kept else best
        return best

    def _improved(
        self, best: Candidate, findings: Iterable[Finding], facts: Facts
    ) -> Candidate:
        """The best copy after the remedies of some findings, one upon another."""
        count = 0
        for finding in findings:
            remedy = remedy_for(finding)
            if remedy is None or remedy in self._done or finding.severity == "note":
                continue
            kept = {each.finding.kind for each in self.tried if each.kept}
            if finding.caused_by in kept:
                continue
            if count == MOST_TRIED or self._at_short(best) >= GOOD:
                break
            case = Case(facts, finding, best.recipe, self.budget)
            recipes = [
                each
                for each in remedy(case)
                if each is not None and self.trainer.differ(each, best.recipe)
            ]
            if not recipes:
                continue
            count += 1
            self._done.add(remedy)
            best = self._best_of(best, finding, recipes[:MOST_RECIPES])
        return best

    def _best_of(
        self, best: Candidate, finding: Finding, recipes: Sequence[Recipe]
    ) -> Candidate:
        # Longer trainings show what they bring at their end.
        is_longer = any("epochs" in recipe.fit for recipe in recipes)
        if is_longer:
            self.trainer.advance(best, self._end(best))
        score_of = _last_score if is_longer else self._at_short
        before = score_of(best)
        least = before + LEAST_GAIN
        if finding.severity == "problem" and (finding.confidence or 1) >= CERTAIN:
            least = before - LITTLE_LOSS
        candidates = []
        for recipe in recipes:
            candidate = self.trainer.started(recipe)
            self.trainer.advance(candidate, self._short)
            if is_longer:
                self.trainer.advance(candidate, self._end(candidate))
            candidates.append(candidate)
        chosen = max(candidates, key=score_of)
        score = score_of(chosen)
        kept = math.isfinite(score) and (score > least or not math.isfinite(before))
        for each in candidates:
            is_kept = kept and each is chosen
            self.tried.append(Tried(finding, each, score_of(each), is_kept))
            what = each.failure or ("kept" if is_kept else "not kept")
            self.say(f"{finding.kind}: {score_of(each):.3g}, {what}")
        if not kept:
            return best
        others = [each for each in candidates if each is not chosen]
        near = [each for each in others if score_of(each) > score - NEAR]
        self._second = max(near, key=score_of, default=None)
        return chosen

    def _at_short(self, candidate: Candidate) -> float:
        """The score after the short training."""
        return candidate.scores.get(self._short, -math.inf)

    def _end(self, candidate: Candidate) -> int:
        """Updates of the last training; more if a remedy needs them."""
        epochs = candidate.recipe.fit.get("epochs")
        if epochs is None:
            return self.updates
        return epochs * self.trainer.updates_per_epoch(candidate.recipe)

    def _rounded(self, updates: int) -> int:
        """Whole passes over the data if there are updates enough for one."""
        per_epoch = self.trainer.updates_per_epoch()
        whole = round(updates / per_epoch) * per_epoch
        return min(whole or updates, self.updates)

    def _is_satisfied(self, best: Candidate) -> bool:
        """Whether a copy is as good as simple models are."""
        if best.score >= GOOD:
            return True
        only = self.facts.only
        simple = {} if only is None else only.probe
        if best is self._original or not simple:
            return False
        return best.score >= simple["score"] - BELOW_SIMPLE

    def never_learns(self) -> bool:
        """Whether the original is no better than a constant, or not finite."""
        score = self._original.score
        if not math.isfinite(score):
            return True
        only = self.facts.only
        simple = {} if only is None else only.probe
        if not simple:
            return False
        return score <= simple["chance"] + max(2 * simple["error"], 0.02)


def _last_score(candidate: Candidate) -> float:
    return candidate.score
