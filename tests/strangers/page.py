"""The table of the exam as a page of the documentation."""

from collections import Counter

from .features import FEATURES
from .program import PROGRAMS

BACKENDS = ("tensorflow", "jax", "torch")
LETTERS = {"tensorflow": "T", "jax": "J", "torch": "P"}

HEAD = """# Other people's code

This page is written by `python -m tests.strangers --page docs/strangers.md`. Its
{programs} programs are short and in our own words; their ideas come from Keras'
examples and guides, from tutorials and from public issues. Many of them build no
model before `fit`, have no `Input`, train in a `train_step` or a loop of their own,
use several optimizers, or take their data from generators, folders and datasets. The
programs are in `tests/strangers/`.

Every program is trained as its author does it. Then it is trained with each callback
of this package alone and with all of them together, and it is given to the functions
that examine a model. A program passes when no error and no unexpected warning comes
up. `GradientMonitor` passes only where all weights are equal to the last bit to those
of the plain run, and "save and load" only where the file gives the same weights back.

The letters are the backends on which a feature passes: T for TensorFlow, J for JAX, P
for torch. A small letter means that the feature says, as anybody would expect, that
it has nothing to do there, or that it meets a setting of the author's: `mc_predict`
needs a layer that drops at random, `layer_groups` and `GradualUnfreezing` need a
graph, an optimizer may have no momentum to cycle, or a schedule of its own. A dot
stands for a backend that the author's code does not run on, a dash for what does not
apply to a loop of the author's own, a question mark for what was not tried in this
run, and an exclamation mark for a fault.

"""


def letter(name: str, backend: str, outcomes: dict[str, str], feature: str) -> str:
    """How one outcome is shown in a cell."""
    if backend not in PROGRAMS[name].backends:
        return "."
    outcome = outcomes.get(feature)
    if outcome is None:
        return "?"
    if outcome == "-":
        return "-"
    if outcome == "passed":
        return LETTERS[backend]
    return LETTERS[backend].lower() if outcome.startswith("refused: ") else "!"


def page(found: dict) -> str:
    """Markdown of all outcomes.

    Args:
        found: Dict from (topic, program, source) to a dict from backend to a dict from
            feature to outcome.
    """
    tried = {
        f for each in found.values() for outcomes in each.values() for f in outcomes
    }
    features = [feature for feature in FEATURES if feature in tried]
    lines = [HEAD.format(programs=len(found))]
    shown = [f.replace(" ", "&nbsp;") if " " in f else f"`{f}`" for f in features]
    counts: Counter[str] = Counter()
    texts: dict[str, set[str]] = {}
    topics = list(dict.fromkeys(topic for topic, *_ in found))
    lines.append("| number | feature |\n|---|---|")
    lines += [f"| {n} | {name} |" for n, name in enumerate(shown, 1)]
    for topic in topics:
        lines.append(f"\n## {topic.capitalize()}\n")
        numbers = " | ".join(str(n) for n in range(1, len(features) + 1))
        lines.append(f"| program | {numbers} |\n|---|{'---|' * len(features)}")
        for (its_topic, name, _), by_backend in found.items():
            if its_topic != topic:
                continue
            cells = []
            for feature in features:
                cell = ""
                for backend in BACKENDS:
                    outcomes = by_backend.get(backend, {})
                    kind = letter(name, backend, outcomes, feature)
                    cell += kind
                    counts["passed" if kind.isupper() else kind] += 1
                    if kind.islower():
                        texts.setdefault(feature, set()).add(_rule(outcomes[feature]))
                cells.append(cell)
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    refused = sum(counts[each.lower()] for each in LETTERS.values())
    runs = counts["passed"] + refused + counts["!"]
    lines.insert(
        1,
        f"In all, {counts['passed']} of {runs} runs pass, {refused} say what is "
        f"missing or in the way, and {counts['!']} are faults.\n",
    )
    lines.append("\n## What is said where a feature has nothing to do\n")
    for feature, said in texts.items():
        lines += [f"- {feature}: {text}" for text in sorted(said)]
    lines.append("\n## Where the ideas come from\n")
    lines.append("| program | source |\n|---|---|")
    lines += [f"| `{name}` | {source} |" for _, name, source in found]
    return "\n".join(lines) + "\n"


def _rule(outcome: str) -> str:
    """The rule of an error or a warning, without the names in it."""
    text = outcome.removeprefix("refused: ").split(": ", 1)[-1]
    text = text.split(" Received:")[0]
    if "has no momentum to cycle" in text:
        text = (
            "The optimizer has no momentum to cycle; the learning rate alone is cycled."
        )
    return " ".join(text.split())
