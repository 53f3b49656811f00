"""The best trial of a search as Python code that makes all its values again."""

import ast
import builtins
import dataclasses
import dis
import inspect
import sys
import textwrap
from types import CodeType, FunctionType, ModuleType
from typing import Any

import keras
import numpy as np

from keras_deeptools.engine._state.adapted_state import json_with_adapted_state
from keras_deeptools.tuning._trials.searched_trial import SearchedTrial

MOST_ELEMENTS = 2000
"""Most elements of an array that is written out."""
LINE = 76
"""Characters of a long text in one line."""

UNKNOWN = object()
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
HEAD = '''"""The best of {count} trials: {objective} {score:.5g}.

Trial {trial}{epochs}. {needs}"""
'''


class RecipeText:
    """Collects what the values of a recipe need before they can be written.

    Attributes:
        imports: Lines that import something.
        definitions: Texts of functions and models that stand before the hypermodel.
        missing: Names that the user must define.
    """

    def __init__(self) -> None:
        self.imports: list[str] = []
        self.definitions: list[str] = []
        self.missing: list[str] = []
        self._defined: dict[str, Any] = {}

    def of(self, value: Any, name: str) -> str:
        """An expression for a value.

        Args:
            value: What to write.
            name: Str, what it is called where it cannot be written.
        """
        found = self._found(value)
        if found is not None:
            return found
        self.missing.append(f"`{name}`")
        return name

    def reference(self, thing: Any, name: str) -> str:
        """The name of a class or function, imported, written out or to be defined.

        Args:
            thing: Class or function.
            name: Str, what it is called without a name of its own.
        """
        found = self._referred(thing)
        if found is not None:
            return found
        own = getattr(thing, "__name__", "")
        name = own if own.isidentifier() else name
        self.missing.append(f"`{name}`")
        return name

    def of_model(self, text: str | None, name: str) -> str:
        """The name of a model that was serialized.

        Args:
            text: Str, its JSON, or None where it has none that can be read again.
            name: Str.
        """
        if text is None:
            self.missing.append(f"`{name}`")
            return name
        self.imports.append("import keras")
        self.imports += _imports_of_layers(text)
        pieces = [text[i : i + LINE] for i in range(0, len(text), LINE)]
        lines = "\n".join(f"    {piece!r}" for piece in pieces)
        made = f"{name} = keras.models.model_from_json(\n{lines}\n)"
        self.definitions.append(made)
        return name

    def _found(self, value: Any) -> str | None:
        if is_literal(value):
            return repr(value)
        if isinstance(value, keras.Model):
            return None
        if isinstance(value, type | FunctionType):
            return self._referred(value)
        if isinstance(value, list | tuple):
            return self._of_items(value)
        if isinstance(value, dict):
            return self._of_dict(value)
        if isinstance(value, np.ndarray):
            return self._of_array(value)
        if dataclasses.is_dataclass(value):
            return self._of_dataclass(value)
        return self._of_keras_object(value)

    def _of_items(self, values: Any) -> str | None:
        parts = [self._found(each) for each in values]
        if type(values) not in (list, tuple) or None in parts:
            return None
        inside = ", ".join(filter(None, parts))
        if isinstance(values, list):
            return f"[{inside}]"
        return f"({inside},)" if len(parts) == 1 else f"({inside})"

    def _of_dict(self, values: dict[Any, Any]) -> str | None:
        pairs = [(self._found(k), self._found(v)) for k, v in values.items()]
        if any(None in pair for pair in pairs):
            return None
        return "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"

    def _of_array(self, value: np.ndarray) -> str | None:
        if value.size > MOST_ELEMENTS or value.dtype.kind not in "biuf":
            return None
        self.imports.append("import numpy as np")
        return f"np.array({value.tolist()!r}, {value.dtype.name!r})"

    def _of_dataclass(self, value: Any) -> str | None:
        name = self._referred(type(value))
        names = [each.name for each in dataclasses.fields(value) if each.init]
        parts = [self._found(getattr(value, each)) for each in names]
        if name is None or None in parts:
            return None
        pairs = zip(names, parts, strict=True)
        return f"{name}({', '.join(f'{key}={part}' for key, part in pairs)})"

    def _of_keras_object(self, value: Any) -> str | None:
        """A loss, metric, optimizer or layer, by its configuration."""
        if not hasattr(value, "get_config"):
            return None
        try:
            config = keras.saving.serialize_keras_object(value)
            keras.saving.deserialize_keras_object(config)
        except Exception:
            # Of whatever kind the error is: it cannot be made again so.
            return None
        if not is_literal(config):
            return None
        self.imports.append("import keras")
        module = type(value).__module__
        if not module.startswith("keras.") and _can_import(module):
            self.imports.append(f"import {module.split('._')[0]}")
        return f"keras.saving.deserialize_keras_object({config!r})"

    def _referred(self, thing: Any) -> str | None:
        """Its name, once it is imported or its source written out; None: neither."""
        module, name = getattr(thing, "__module__", None), thing.__name__
        if module in (None, "builtins") or not name.isidentifier():
            return None
        if self._defined.get(name) is thing:
            return name
        if module != "__main__":
            public = module.split("._")[0]
            for place in dict.fromkeys((public, module)):
                if getattr(sys.modules.get(place), name, None) is thing:
                    self.imports.append(f"from {place} import {name}")
                    return str(name)
        if isinstance(thing, FunctionType) and self._write_out(thing):
            return str(name)
        if getattr(sys.modules.get("__main__"), name, None) is thing:
            self.imports.append(f"from __main__ import {name}")
            return str(name)
        return None

    def _write_out(self, function: FunctionType) -> bool:
        """Adds the source of a function of a script, and what it uses."""
        try:
            source = textwrap.dedent(inspect.getsource(function))
            ast.parse(source)
        except (OSError, TypeError, SyntaxError):
            return False
        is_its_own = source.startswith(f"def {function.__name__}(")
        if not is_its_own or "__class__" in _free(function):
            return False
        before = list(self.imports), list(self.definitions), dict(self._defined)
        self._defined[function.__name__] = function
        for name, value in _used_names(function).items():
            line = self._line_for(name, value)
            if line is None:
                self.imports, self.definitions, self._defined = before
                return False
            if line and line not in self.definitions:
                self.definitions.append(line)
        self.definitions.append(source.rstrip())
        return True

    def _line_for(self, name: str, value: Any) -> str | None:
        """A line that defines a name; empty where an import or definition does."""
        if isinstance(value, ModuleType):
            path = value.__name__
            self.imports.append(
                f"import {path}" if path == name else f"import {path} as {name}"
            )
            return ""
        if isinstance(value, type | FunctionType):
            found = self._referred(value)
            if found is None:
                return None
            return "" if found == name else f"{name} = {found}"
        found = self._found(value)
        return None if found is None else f"{name} = {found}"


def is_literal(value: Any) -> bool:
    """Whether a value is its own text.

    Args:
        value: Anything.
    """
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def json_of(model: keras.Model) -> str | None:
    """The JSON of a model, from which it can be made again; None where it cannot.

    Args:
        model: `keras.Model`.
    """
    try:
        text = json_with_adapted_state(model)
        keras.models.model_from_json(text)
    except Exception:
        # Layers without a configuration, lambdas: of whatever kind the error is.
        return None
    return str(text)


def _imports_of_layers(text: str) -> list[str]:
    """Imports of the modules in which the layers of a model are registered."""
    found = set()
    for name, cls in keras.saving.get_custom_objects().items():
        module = getattr(cls, "__module__", "")
        if f'"{name}"' in text and _can_import(module):
            found.add(f"import {module.split('._')[0]}")
    return sorted(found)


def _can_import(module: str) -> bool:
    return module not in ("", "__main__", "builtins") and module in sys.modules


def _free(function: FunctionType) -> tuple[str, ...]:
    return function.__code__.co_freevars


def _used_names(function: FunctionType) -> dict[str, Any]:
    """Globals and outer variables that a function and those inside it read."""
    names: dict[str, None] = {}
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                names[step.argval] = None
    found = {
        name: function.__globals__[name]
        for name in names
        if name in function.__globals__ and not hasattr(builtins, name)
    }
    cells = function.__closure__ or ()
    for name, cell in zip(_free(function), cells, strict=True):
        if cell.cell_contents is not function:
            found[name] = cell.cell_contents
    # Annotations are read where the function is defined.
    source = ast.parse(textwrap.dedent(inspect.getsource(function)))
    read = {node.id for node in ast.walk(source) if isinstance(node, ast.Name)}
    for name in read & function.__globals__.keys():
        if not hasattr(builtins, name):
            found.setdefault(name, function.__globals__[name])
    return found


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
