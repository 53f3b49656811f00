"""Sphinx settings, and the pages of public names and of recipes, which are written."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

import keras_deeptools

project = "keras-deeptools"
author = "The keras-deeptools authors"
copyright = "The keras-deeptools authors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "keras-deeptools"
myst_heading_anchors = 3

# Docstrings are Markdown at heart: single backticks are code.
default_role = "literal"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    ("Reference", "References"),
]
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def room_page(room: ModuleType) -> str:
    """Markdown for one room: its purpose, then every name of its `__all__`."""
    lines = [f"# {room.__name__}", "", inspect.getdoc(room) or "", "", "```{eval-rst}"]
    for name in room.__all__:
        thing = getattr(room, name)
        if inspect.ismodule(thing):
            continue
        kind = "autoclass" if inspect.isclass(thing) else "autofunction"
        lines += [f".. {kind}:: {room.__name__}.{name}", ""]
    return "\n".join([*lines, "```", ""])


def write_reference(app: Sphinx) -> None:
    """Write one page per public room, so that no public name can be left out."""
    folder = Path(app.srcdir, "_generated")
    folder.mkdir(exist_ok=True)
    found = pkgutil.iter_modules(keras_deeptools.__path__)
    names = sorted(m.name for m in found if m.ispkg and not m.name.startswith("_"))
    for name in names:
        room = importlib.import_module(f"keras_deeptools.{name}")
        (folder / f"{name}.md").write_text(room_page(room), encoding="utf-8")


def recipe_page(script: Path) -> str:
    """Markdown for a recipe: its first line and the whole script, to read and copy."""
    docstring = ast.get_docstring(ast.parse(script.read_text("utf-8"))) or ""
    title = docstring.splitlines()[0].rstrip(".")
    path = f"/../examples/{script.name}"
    return (
        f"# {title}\n\n{{download}}`{script.name} <{path}>`\n\n"
        f"```{{literalinclude}} {path}\n:language: python\n```\n"
    )


def write_recipes(app: Sphinx) -> None:
    """Write one page per script in `examples/`."""
    folder = Path(app.srcdir, "_generated", "recipes")
    folder.mkdir(parents=True, exist_ok=True)
    for script in sorted(Path(app.srcdir).parent.glob("examples/*.py")):
        page = folder / f"{script.stem}.md"
        page.write_text(recipe_page(script), encoding="utf-8")


def keep_errors_beside(app: Sphinx, name: str, source: list[str]) -> None:
    """A narrow column breaks no line between a mean and its standard error."""
    source[0] = source[0].replace(" ± ", "\u00a0±\u00a0")


def setup(app: Sphinx) -> None:
    """Register the writers before Sphinx looks for pages."""
    app.connect("source-read", keep_errors_beside)
    app.connect("builder-inited", write_reference)
    app.connect("builder-inited", write_recipes)
