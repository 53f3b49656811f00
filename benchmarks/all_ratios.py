"""One table of the ratios that the benchmarks printed, beside what people do today.

`python -m benchmarks --page` puts it at the top of the page it writes. A ratio is read
from the section of its benchmark and backend, so the table says what the sections say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

HEADING = "## All ratios"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
MACHINE = re.compile(r"minutes; (\d+-core .*)\.$", re.MULTILINE)


@dataclass(frozen=True)
class Ratio:
    """A cell of a table that a benchmark prints.

    Attributes:
        what: Str, what takes so many times as long, or is so many times as large.
        beside: Str, as what.
        benchmark: Str, name of the script.
        row: Str, the first cell of its row; two, where names fill two columns.
        column: Str above the cell.
    """

    what: str
    beside: str
    benchmark: str
    row: str
    column: str


PLAIN = "plain `fit`"
STEP = "over its own plain"
MC = "loop over `mc_predict`"
PEERS = {
    "Keras": ("OneCycleScheduler", "GradientMonitor", "WeightAveraging"),
    "torch loop": ("OneCycleLR", "norm of each", "AveragedModel, EMA"),
    "fastai": ("fit_one_cycle", "a callback written for it", None),
    "Lightning": ("OneCycleLR", "grad_norm, kept", "EMAWeightAveraging"),
}


def of_peers() -> Iterator[Ratio]:
    """Steps of every trainer with the same three things."""
    kinds = ("1cycle", "gradients", "averages")
    for trainer, ways in PEERS.items():
        for kind, way in zip(kinds, ways, strict=True):
            if way is not None:
                row = f"{trainer} | {kind}: {way}"
                beside = f"its plain step ({trainer})"
                yield Ratio(f"step with {kind}: {way}", beside, "peers", row, STEP)
    yield Ratio(
        "step with gradients: cockpit",
        "its plain step (torch loop)",
        "peers",
        "torch loop | gradients: cockpit, GradNorm",
        STEP,
    )


def of_peers_predictions() -> Iterator[Ratio]:
    """What other packages take for the same samples, and for the same measure."""
    for way in (
        "torch loop",
        "torch-uncertainty, loop",
        "torch-uncertainty, batch repeated",
        "fastai, MCDropoutCallback",
    ):
        what = f"100 passes, dropout in every layer: {way}"
        yield Ratio(what, "`mc_predict`", "peers", way, "over ours")
    for measure, peer in (
        ("ECE, l1", "torchmetrics"),
        ("ECE, equal shares", "torch-uncertainty"),
        ("Brier score", "torch-uncertainty"),
        ("ECE, l1", "keras-proba"),
    ):
        what, row = f"{measure}: {peer}", f"{measure} | {peer}"
        yield Ratio(what, "the same here", "peers", row, "theirs takes, over ours")


def of_overhead() -> Iterator[Ratio]:
    """Steps with each callback, and with what people do today in its place."""
    for way in (
        "plain `fit` again (control)",
        "GradientMonitor, norm",
        "GradientMonitor, all four",
        "today: gradients computed again",
        "OneCycleScheduler",
        "today: rate set before each batch",
        "MaxNormEnforcer",
        "today: get_weights, set_weights",
        "WeightAveraging",
    ):
        joint = ", " if way.startswith(("plain", "today")) else " with "
        yield Ratio(f"step{joint}{way}", PLAIN, "overhead", way, "step")


def of_imports() -> Iterator[Ratio]:
    """The package alone, and Keras with one of its modules and with all of them."""
    for what in (
        "`import keras_deeptools`",
        "`import keras, keras_deeptools.callbacks`",
        "`import keras` and every module of the package",
    ):
        yield Ratio(what, "`import keras`", "import_time", what, "over keras alone")


RATIOS = (
    *of_imports(),
    *of_overhead(),
    Ratio(
        "step of 200 variables, plain again (control)",
        PLAIN,
        "discriminative_rates",
        "plain `fit` again (control)",
        "step",
    ),
    Ratio(
        "step of 200 variables with DiscriminativeLearningRates",
        PLAIN,
        "discriminative_rates",
        "5 layer groups",
        "step",
    ),
    Ratio(
        "LSUV layer by layer, eagerly",
        "`lsuv`",
        "lsuv",
        "eager walk",
        "warm, over `lsuv`",
    ),
    Ratio(
        "100 passes: a loop of compiled predict, 256 rows",
        "`mc_predict`",
        "mc_predict",
        "compiled predict, 256 rows, 10 passes",
        MC,
    ),
    Ratio(
        "100 passes: a loop of compiled predict, one row",
        "`mc_predict`",
        "mc_predict",
        "compiled predict, one row, 100 passes",
        MC,
    ),
    Ratio(
        "100 passes of MobileNetV2: a loop of compiled predict",
        "`mc_predict`",
        "mc_predict",
        "compiled predict, 2 passes",
        MC,
    ),
    Ratio(
        "100 passes of MobileNetV2: `model(x, training=True)`",
        "`mc_predict`",
        "mc_predict",
        "`model(x, training=True)`, 1 pass",
        MC,
    ),
    Ratio(
        "epoch of a head on a frozen MobileNetV2",
        "on cached features",
        "feature_cache",
        "images, frozen",
        "over features",
    ),
    Ratio(
        "search of 20 heads, less the same search on features",
        "one pass over the images",
        "head_search",
        "(search - heads, KerasTuner) / pass",
        "processor",
    ),
    *of_peers(),
    *of_peers_predictions(),
)


def cells(line: str) -> list[str]:
    """The texts of a line of a table."""
    return [text.strip() for text in line.strip().strip("|").split("|")]


def found(section: str, ratio: Ratio) -> str | None:
    """What a section has of a ratio, or None."""
    names = cells(ratio.row)
    header: list[str] = []
    before = ""
    for line in section.splitlines():
        if line.startswith("|"):
            row = cells(line)
            if not before.startswith("|"):
                header = row
            elif row[: len(names)] == names and ratio.column in header:
                return row[header.index(ratio.column)] or None
        before = line
    return None


def ratio_table(page: str) -> str:
    """The section of all ratios; empty where the page has none.

    Args:
        page: Str, the page of measurements.
    """
    sections = {
        part.split("\n", 1)[0].removeprefix("## "): part
        for part in re.split(r"(?m)^(?=## )", page)
    }
    lines = []
    for ratio in RATIOS:
        values = [
            found(sections.get(f"{ratio.benchmark}, {backend}", ""), ratio)
            for backend in BACKENDS
        ]
        if any(values):
            texts = [ratio.what, ratio.beside, *(value or "" for value in values)]
            lines.append(f"| {' | '.join(texts)} |")
    if not lines:
        return ""
    machines = dict.fromkeys(
        match[1]
        for name, part in sections.items()
        if name.split(",")[0] in {ratio.benchmark for ratio in RATIOS}
        for match in MACHINE.finditer(part)
    )
    names = ["what", "over", *BACKENDS.values()]
    head = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    about = (
        "How many times as long, with the standard error where the section of the "
        "benchmark gives one; from\n"
    )
    return "\n".join(
        [
            HEADING,
            "",
            about + "\n".join(f"{one}." for one in machines),
            "",
            *head,
            *lines,
        ]
    )


def with_ratios(page: str) -> str:
    """The page with the table, read from it anew, before all sections.

    Args:
        page: Str, the page of measurements.
    """
    parts = re.split(r"(?m)^(?=## )", page)
    title, *sections = (part for part in parts if not part.startswith(HEADING))
    table = ratio_table(page)
    all_parts = [
        title.rstrip(),
        *([table] if table else []),
        *map(str.rstrip, sections),
    ]
    return "\n\n".join(all_parts) + "\n"
