"""The best trial of a search as Python code."""

import inspect
from typing import Any

import keras

from keras_deeptools.tuning._search_report.recipe_text import RecipeText, is_literal
from keras_deeptools.tuning._trials.searched_trial import SearchedTrial

UNKNOWN = object()
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
HEAD = '''"""The best of {count} trials: {objective} {score:.5g}.

Trial {trial}{epochs}. {needs}"""
'''


def recipe(
    trial: SearchedTrial, hypermodel: Any, objective: str, num_trials: int
) -> str:
    """Code that makes the hyperparameters and the model of a trial.

    Args:
        trial: `SearchedTrial`.
        hypermodel: Hypermodel of the search, or None.
        objective: Str, what the score is called.
        num_trials: Int, how many trials there were.
    """
    text = RecipeText()
    making = _making(hypermodel, text)
    fixed = [f"hp.Fixed({name!r}, {value!r})" for name, value in trial.values.items()]
    before = [line for each in text.definitions for line in ("", *each.split("\n"), "")]
    lines = [
        *sorted({"import keras_tuner", *text.imports}, key=_import_order),
        *before,
        "",
        "hp = keras_tuner.HyperParameters()",
        *fixed,
        "",
        *making,
        "model = hypermodel.build(hp)",
        "",
        "",
        "def train(*args, **kwargs):",
        '    """Trains it as in the search; arguments are those of `search`."""',
        *_epochs(trial),
        "    return hypermodel.fit(hp, model, *args, **kwargs)",
    ]
    missing = list(dict.fromkeys(text.missing))
    best = "" if trial.best_epoch is None else f", best in epoch {trial.best_epoch}"
    needs = (
        f"Define {', '.join(missing)} first, as for the search.\n" if missing else ""
    )
    head = HEAD.format(
        count=num_trials,
        objective=objective,
        score=trial.score,
        trial=trial.trial_id,
        epochs=best,
        needs=needs,
    )
    return "\n".join([head, *lines, ""])


def _epochs(trial: SearchedTrial) -> list[str]:
    if trial.epochs is None:
        return []
    return [f'    kwargs.setdefault("epochs", {trial.epochs})']


def _making(hypermodel: Any, text: RecipeText) -> list[str]:
    """Lines that make `hypermodel`; what they need is added to the text."""
    if hypermodel is None:
        text.missing.append("`hypermodel`")
        return []
    cls = type(hypermodel)
    if cls.__module__.startswith("keras_tuner."):
        # KerasTuner wraps a plain function so.
        found = text.reference(hypermodel.build, "build")
        return ["hypermodel = keras_tuner.HyperModel()", f"hypermodel.build = {found}"]
    parameters = [
        one
        for one in inspect.signature(cls).parameters.values()
        if one.kind not in VARIADIC
    ]
    held = {one.name: _attribute(hypermodel, one.name) for one in parameters}
    trial = RecipeText()
    name = trial.reference(cls, cls.__name__)
    # What it does not keep as it was given cannot be given again.
    if trial.missing or any(value is UNKNOWN for value in held.values()):
        text.missing.append(f"`hypermodel` (a `{cls.__name__}`)")
        return []
    text.imports += trial.imports
    arguments = []
    for one in parameters:
        value = held[one.name]
        if value is one.default or _same(value, one.default):
            continue
        if isinstance(value, keras.Model):
            kept = getattr(hypermodel, "_json", None)
            found = text.of_model(kept, one.name)
        else:
            found = text.of(value, one.name)
        arguments.append(f"    {one.name}={found},")
    return [f"hypermodel = {name}(", *arguments, ")"]


def _attribute(hypermodel: Any, argument: str) -> Any:
    """What it keeps of an argument."""
    given = getattr(hypermodel, "_given", {})
    if argument in given:
        return given[argument]
    name = "_source" if argument == "build" else argument
    return getattr(hypermodel, name, UNKNOWN)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and is_literal(one) and one == other


def _import_order(line: str) -> tuple[bool, str]:
    return not line.startswith("import"), line
