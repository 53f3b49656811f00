"""The first line of the user's own code that makes a number that is not finite.

Layers, losses and train steps that a user writes are Python functions, and what they do
between their first and their last line no layer shows. While such code runs without
compilation, Python's trace hook sees every line; the values of the variables before the
line tell which operation in it did it. `Numbers` has what a tensor among them holds, as
far as operations with limits care.
"""

import ast
import linecache
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType
from typing import Any

import keras
import numpy as np

from keras_deeptools.diagnosis._diagnose.facts import finite_numbers
from keras_deeptools.engine._backends.common import FOREIGN, on_host

LIBRARIES = {*FOREIGN, "keras_deeptools"}
INSTALLED = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
MOST_TEXT = 80


@dataclass(frozen=True)
class Numbers:
    """Numbers about one tensor.

    Attributes:
        name: Str, what it is called.
        least: Float, of the finite elements.
        most: Float, of the finite elements.
        zeros: Int.
        size: Int.
        dtype: Str.
    """

    name: str
    least: float
    most: float
    zeros: int
    size: int
    dtype: str

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(self.least), abs(self.most))

    def __str__(self) -> str:
        """A phrase, such as `"x, from 0 to 1.2 with 3 zeros"`."""
        if self.size == 1:
            return f"`{self.name}`, {self.most:.3g}"
        zeros = f" with {self.zeros} zeros" if self.zeros else ""
        return f"`{self.name}`, from {self.least:.3g} to {self.most:.3g}{zeros}"


def numbers_of(name: str, value: Any) -> Numbers | None:
    """Numbers about a tensor, array or number; None for anything else."""
    if keras.ops.is_tensor(value):
        try:
            dtype = keras.backend.standardize_dtype(value.dtype)
            value = on_host(value)
        except Exception:
            # A tensor that is being traced has no numbers.
            return None
    elif isinstance(value, (bool, str)) or value is None:
        return None
    elif isinstance(value, (int, float, np.ndarray, np.generic)):
        dtype = str(getattr(value, "dtype", type(value).__name__))
    else:
        return None
    array, known = finite_numbers(value)
    if not known.size:
        return None
    zeros = int((array == 0).sum())
    return Numbers(
        name, float(known.min()), float(known.max()), zeros, array.size, dtype
    )


def is_bad(value: Any) -> bool:
    """Whether a tensor, or one of a list or dict of them, is not finite throughout."""
    if isinstance(value, (list, tuple)):
        return any(is_bad(each) for each in value)
    if isinstance(value, dict):
        return any(is_bad(each) for each in value.values())
    if isinstance(value, float):
        return not np.isfinite(value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and not np.isfinite(value).all()
    if not keras.ops.is_tensor(value):
        return False
    try:
        if "float" not in keras.backend.standardize_dtype(value.dtype):
            return False
        return not bool(on_host(keras.ops.all(keras.ops.isfinite(value))))
    except Exception:
        # A tensor that is being traced has no numbers.
        return False


def bad_rows(value: Any) -> tuple[int, ...]:
    """Positions along the first axis at which a tensor is not finite."""
    array = np.asarray(on_host(value)).astype("float64")
    if array.ndim == 0:
        return ()
    hit = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    return tuple(int(each) for each in np.flatnonzero(hit))


@dataclass(frozen=True, eq=False)
class UserLine:
    """A line after which something was not finite.

    Attributes:
        code: The function's code.
        number: Int, the line in its file.
        variables: Dict, the function's variables before the line ran.
        globals: Dict, those of its module.
    """

    code: CodeType
    number: int
    variables: dict[str, Any]
    globals: dict[str, Any]

    @property
    def place(self) -> str:
        """Function and line, such as `"line 3 of call"`."""
        name = "a lambda" if self.code.co_name == "<lambda>" else self.code.co_name
        return f"line {self.number} of {name}"

    def operation(self) -> tuple[str, list[tuple[str, Any]]]:
        """The innermost expression that is not finite, though its parts are.

        The expressions of the line are evaluated again, so wrap this in a snapshot.

        Returns:
            Tuple of its source and a list of its parts, each with its source and value;
            the source of the whole line where no single one was found.
        """
        for node in _expressions(self.code, self.number):
            value = self._value(node)
            if value is not None and is_bad(value):
                parts = [
                    (ast.unparse(each), self._value(each)) for each in _parts(node)
                ]
                return _short(ast.unparse(node)), parts
        line = linecache.getline(self.code.co_filename, self.number).strip()
        return _short(line.removeprefix("return ")), []

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        try:
            program = compile(ast.Expression(node), "<diagnosis>", "eval")
            return eval(program, self.globals, self.variables)
        except Exception:
            # Such as `super()`, which works in its own function alone.
            return None


class UserLines:
    """Watches the user's functions that run in this thread, inside of a block."""

    def __init__(self) -> None:
        self._found: list[UserLine] = []
        self._running: list[_Watched] = []
        self._hook: Any = None

    def __enter__(self) -> "UserLines":
        self._hook = sys.gettrace()
        sys.settrace(self._entered)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.settrace(self._hook)

    def first(self) -> UserLine | None:
        """The first line of functions that run, or returned what is not finite."""
        return self._found[0] if self._found else None

    def current(self) -> UserLine | None:
        """The line that runs, of the innermost of the user's functions."""
        return self._running[-1].line() if self._running else None

    def _entered(self, frame: FrameType, event: str, argument: Any) -> Any:
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module in LIBRARIES or frame.f_code.co_filename.startswith(INSTALLED):
            return None
        self._running.append(_Watched(frame, self._found, self._running))
        return self._running[-1]


class _Watched:
    """The trace hook of one call of a function."""

    def __init__(
        self, frame: FrameType, found: list[UserLine], running: list["_Watched"]
    ) -> None:
        self._frame, self._found, self._known = frame, found, len(found)
        self._running = running
        self._number: int | None = None
        self._before: dict[str, Any] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> "_Watched":
        if event in ("line", "return"):
            new = [
                value
                for name, value in frame.f_locals.items()
                if value is not self._before.get(name, self)
            ]
            if event == "return":
                new.append(argument)
            if self._number is not None and any(is_bad(value) for value in new):
                self._note()
        if event == "line":
            self._number, self._before = frame.f_lineno, dict(frame.f_locals)
        if event == "return":
            self._running.remove(self)
            if argument is not None and not is_bad(argument):
                # Such as -inf under a softmax: what came of it is finite.
                del self._found[self._known :]
        return self

    def line(self) -> UserLine | None:
        """The line that ran last, or runs."""
        if self._number is None:
            return None
        frame = self._frame
        return UserLine(frame.f_code, self._number, self._before, frame.f_globals)

    def _note(self) -> None:
        line = self.line()
        if line is None or len(self._found) > self._known:
            return
        if "inf" not in linecache.getline(line.code.co_filename, line.number):
            self._found.append(line)


def _expressions(code: CodeType, number: int) -> Iterator[ast.expr]:
    """Calls and operators in the statement at a line, inner ones first."""
    function = _function(code)
    if function is None:
        return
    body = [function.body] if isinstance(function, ast.Lambda) else function.body
    statements = [
        node
        for each in body
        for node in ast.walk(each)
        if isinstance(node, (ast.stmt, ast.Lambda)) or node is function.body
        if node.lineno <= number <= (node.end_lineno or node.lineno)
    ]
    if statements:
        yield from _inner_first(statements[-1])


def _inner_first(node: ast.AST) -> Iterator[ast.expr]:
    scopes = (ast.Lambda, ast.FunctionDef, ast.ListComp, ast.GeneratorExp, ast.DictComp)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, scopes):
            yield from _inner_first(child)
    if isinstance(node, (ast.Call, ast.BinOp, ast.UnaryOp)):
        yield node


def _parts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.Call):
        method = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        named = [each.value for each in node.keywords]
        return [*node.args, *named, *method]
    return [node.operand] if isinstance(node, ast.UnaryOp) else []


def _function(code: CodeType) -> Any:
    """The syntax tree of a function, or None where its source is not known."""
    source = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    is_lambda = code.co_name == "<lambda>"
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        alike = isinstance(node, ast.Lambda) == is_lambda
        if alike and _first_line(node) == code.co_firstlineno:
            arguments = [each.arg for each in node.args.args]
            if arguments == list(code.co_varnames[: code.co_argcount]):
                found.append(node)
    names = set(code.co_names)
    exact = [each for each in found if names == _names(each)]
    return next(iter([*exact, *found]), None)


def _first_line(node: Any) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _names(function: Any) -> set[str]:
    """Names that a function of one expression reads from outside of it."""
    own = {each.arg for each in function.args.args}
    found = {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute)}
    return found | {
        n.id for n in ast.walk(function) if isinstance(n, ast.Name) and n.id not in own
    }


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 3] + "..."
