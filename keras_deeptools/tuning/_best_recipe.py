"""The best trial of a search as Python code."""

import ast
import inspect
import sys
from typing import Any

import keras

from keras_deeptools.tuning._searched_trial import SearchedTrial

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
    imports, making, missing = _making(hypermodel)
    fixed = [f"hp.Fixed({name!r}, {value!r})" for name, value in trial.values.items()]
    lines = [
        *sorted({"import keras_tuner", *imports}, key=_import_order),
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


def _making(hypermodel: Any) -> tuple[list[str], list[str], list[str]]:
    """Imports, lines that make `hypermodel`, and names that the user must define."""
    if hypermodel is None:
        return [], [], ["`hypermodel`"]
    cls = type(hypermodel)
    if cls.__module__.startswith("keras_tuner."):
        # KerasTuner wraps a plain function so.
        source, found = _reference(hypermodel.build, "build")
        line = "hypermodel = keras_tuner.HyperModel()", f"hypermodel.build = {found}"
        return source, list(line), [] if source else [f"`{found}`"]
    imports, name = _reference(cls, cls.__name__)
    parameters = [
        one
        for one in inspect.signature(cls.__init__).parameters.values()
        if one.name != "self" and one.kind not in VARIADIC
    ]
    held = {one.name: _attribute(hypermodel, one.name) for one in parameters}
    # What it does not keep as it was given cannot be given again.
    if not imports or any(value is UNKNOWN for value in held.values()):
        return [], [], [f"`hypermodel` (a `{cls.__name__}`)"]
    arguments, missing = [], []
    for one in parameters:
        value = held[one.name]
        if value is not one.default and not _same(value, one.default):
            text, source, is_known = _argument(value, one.name)
            arguments.append(f"    {one.name}={text},")
            imports += source
            missing += [] if is_known else [f"`{text}`"]
    return imports, [f"hypermodel = {name}(", *arguments, ")"], missing


def _attribute(hypermodel: Any, argument: str) -> Any:
    """What it keeps of an argument."""
    name = "_source" if argument == "build" else argument
    return getattr(hypermodel, name, UNKNOWN)


def _argument(value: Any, name: str) -> tuple[str, list[str], bool]:
    """Text of an argument, what it imports, and whether it stands for itself."""
    if _is_literal(value):
        return repr(value), [], True
    if callable(value) and not isinstance(value, keras.Model):
        imports, found = _reference(value, name)
        return found, imports, bool(imports)
    return name, [], False


def _reference(thing: Any, otherwise: str) -> tuple[list[str], str]:
    """How to import a class or function, and its name; no import where that fails."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__name__", "")
    if module in (None, "__main__", "builtins") or not name.isidentifier():
        return [], name if name.isidentifier() else otherwise
    public = module.split("._")[0]
    for place in dict.fromkeys((public, module)):
        if getattr(sys.modules.get(place), name, None) is thing:
            return [f"from {place} import {name}"], name
    return [], name


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError):
        return False


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and _is_literal(one) and one == other


def _import_order(line: str) -> tuple[bool, str]:
    return not line.startswith("import"), line
