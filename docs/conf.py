"""Sphinx settings, and the pages of public names and of recipes, which are written."""

import ast
import functools
import importlib
import inspect
import os
import pkgutil
import re
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

# The tutorials are executed on torch, which starts fastest and compiles nothing.
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Threads that wait for a core which something else uses take more time than one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras_deeptools  # noqa: E402

project = "keras-deeptools"
author = "The keras-deeptools authors"
copyright = "The keras-deeptools authors"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "recipes/*"]
html_theme = "furo"
html_title = "keras-deeptools"
html_static_path = ["static"]
html_css_files = ["pictures.css"]
myst_heading_anchors = 3

# Tutorials are notebooks: a cell that raises an error ends the build, as does the last
# cell of each if its network ends at chance.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = "remove"
# They import the recipe with the pretrained network, and the package of this checkout.
ROOT = Path(__file__).resolve().parents[1]
PATHS = [str(ROOT), str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, PATHS))

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


CODE_BLOCK = re.compile(
    r"^```(?:python|\{code-cell\} python)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
PAGES_WITH_EXAMPLES = ("guides", "tutorials")
"""Folders of pages that the reference links to, guides first."""


def public_modules() -> list[ModuleType]:
    """The public modules of the package, by name."""
    found = pkgutil.iter_modules(keras_deeptools.__path__)
    names = sorted(m.name for m in found if m.ispkg and not m.name.startswith("_"))
    return [importlib.import_module(f"keras_deeptools.{name}") for name in names]


def public_names(module: ModuleType) -> list[str]:
    """What `__all__` of a module lists, without modules."""
    names = list(module.__all__)
    return [name for name in names if not inspect.ismodule(getattr(module, name))]


def first_line(thing: object) -> str:
    """The first sentence of a docstring, in one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def mentions(name: str, folder: Path) -> list[str]:
    """Links to at most three pages whose code has the name."""
    links = []
    for group in PAGES_WITH_EXAMPLES:
        for page in sorted((folder / group).glob("*.md")):
            text = page.read_text("utf-8")
            code = "\n".join(CODE_BLOCK.findall(text))
            if re.search(rf"\b{name}\b", code):
                title = re.search(r"^# (.+)$", text, re.M)[1]
                links.append(f"[{title}](../{group}/{page.name})")
    return links[:3]


def summary_table(module: ModuleType, folder: Path) -> list[str]:
    """Lines of a table: each name, what it is, and the pages that show it."""
    lines = ["| name | what it is | examples using it |", "|---|---|---|"]
    for name in public_names(module):
        link = f"{{py:obj}}`{name} <{module.__name__}.{name}>`"
        pages = "; ".join(mentions(name, folder))
        lines.append(f"| {link} | {first_line(getattr(module, name))} | {pages} |")
    return lines


def module_page(module: ModuleType, folder: Path) -> str:
    """Markdown for one module: its purpose, a table, then every public name."""
    lines = [f"# {module.__name__}", "", inspect.getdoc(module) or "", ""]
    lines += [*summary_table(module, folder), "", "```{eval-rst}"]
    for name in public_names(module):
        is_class = inspect.isclass(getattr(module, name))
        kind = "autoclass" if is_class else "autofunction"
        lines += [f".. {kind}:: {module.__name__}.{name}", ""]
    return "\n".join([*lines, "```", ""])


def hooks_page() -> str:
    """Markdown for the methods that a feature of one's own may override."""
    feature = importlib.import_module("keras_deeptools.engine").Feature
    path = "keras_deeptools.engine.Feature"
    lines = [
        "# Hooks of a feature",
        "",
        f"A subclass of {{py:obj}}`Feature <{path}>` overrides the methods it needs.",
        "[The engine](../engine.md) explains in which order they are called.",
        "",
        "| method | what it does |",
        "|---|---|",
    ]
    for name, method in vars(feature).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            link = f"{{py:obj}}`{name} <{path}.{name}>`"
            lines.append(f"| {link} | {first_line(method)} |")
    return "\n".join([*lines, ""])


def write_reference(app: Sphinx) -> None:
    """Write one page per public module, so that no public name can be left out."""
    source = Path(app.srcdir)
    folder = source / "_generated"
    folder.mkdir(exist_ok=True)
    for module in public_modules():
        page = folder / f"{module.__name__.rpartition('.')[2]}.md"
        page.write_text(module_page(module, source), encoding="utf-8")
    (folder / "hooks.md").write_text(hooks_page(), encoding="utf-8")


EXAMPLES = ROOT / "examples"


def recipe_title(name: str) -> str:
    """The first line of a script in `examples/`, without its full stop."""
    script = EXAMPLES / f"{name}.py"
    docstring = ast.get_docstring(ast.parse(script.read_text("utf-8"))) or ""
    return docstring.splitlines()[0].rstrip(".")


def recipe_page(name: str) -> str:
    """Markdown for a recipe: its title, what it prints, and the script to copy."""
    path = f"/../examples/{name}.py"
    return (
        f"# {recipe_title(name)}\n\n{{download}}`{name}.py <{path}>`\n\n"
        f"```{{literalinclude}} {path}\n:language: python\n```\n\n"
        f"It prints\n\n```{{literalinclude}} /recipes/{name}.txt\n"
        ":language: text\n```\n\n"
        f"![{recipe_title(name)}](/images/recipes/{name}.png)\n"
    )


def recipe_card(name: str) -> str:
    """Markdown for a recipe in the gallery: its picture and title."""
    # A fence of backticks may have none in its first line, as some titles do.
    return (
        f"~~~{{grid-item-card}} {recipe_title(name)}\n"
        f":link: _generated/recipes/{name}\n:link-type: doc\n"
        f":img-bottom: images/recipes/{name}.png\n"
        f":img-alt: What {name}.py finds\n~~~\n"
    )


def show_gallery(app: Sphinx, name: str, source: list[str]) -> None:
    """On the page of recipes, lists of names become cards."""

    def cards(found: re.Match[str]) -> str:
        inside = "".join(map(recipe_card, found[1].split()))
        return f"````{{grid}} 1 2 3 3\n:gutter: 2\n\n{inside}````"

    if name == "recipes":
        pattern = re.compile(r"^```\{recipes\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
        source[0] = pattern.sub(cards, source[0])


def write_recipes(app: Sphinx) -> None:
    """Write one page per script in `examples/`."""
    folder = Path(app.srcdir, "_generated", "recipes")
    folder.mkdir(parents=True, exist_ok=True)
    for script in sorted(EXAMPLES.glob("*.py")):
        page = folder / f"{script.stem}.md"
        page.write_text(recipe_page(script.stem), encoding="utf-8")


def keep_errors_beside(app: Sphinx, name: str, source: list[str]) -> None:
    """A narrow column breaks no line between a mean and its standard error."""
    source[0] = source[0].replace(" ± ", "\u00a0±\u00a0")


@functools.cache
def paths_of_names() -> dict[str, str]:
    """Where each public name is in the reference."""
    return {
        name: f"{module.__name__}.{name}"
        for module in public_modules()
        for name in public_names(module)
    }


def link_names(app: Sphinx, name: str, source: list[str]) -> None:
    """On pages to read, the first mention of a public name leads to the reference."""
    if not name.startswith(("guides/", "tutorials/", "faq", "features")):
        return
    left = dict(paths_of_names())

    def linked(found: re.Match[str]) -> str:
        path = left.pop(found[1] or "", None)
        return found[0] if path is None else f"{{py:obj}}`{found[1]} <{path}>`"

    # Code blocks, headings and the texts of links are passed over.
    other = r"^```.*?^```|^#[^\n]*|\[[^\]\n]*\]\([^)]*\)"
    pattern = re.compile(rf"{other}|`(\w+)`", re.MULTILINE | re.DOTALL)
    source[0] = pattern.sub(linked, source[0])


def setup(app: Sphinx) -> None:
    """Register the writers before Sphinx looks for pages."""
    app.connect("source-read", keep_errors_beside)
    app.connect("source-read", link_names)
    app.connect("source-read", show_gallery)
    app.connect("builder-inited", write_reference)
    app.connect("builder-inited", write_recipes)
