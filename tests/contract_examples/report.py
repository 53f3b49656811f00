"""A valid instance of every public class of `keras_deeptools.report`."""

from collections.abc import Callable

from keras_deeptools import report

EXAMPLES: dict[str, Callable[[], object]] = {
    "keras_deeptools.report.Page": lambda: report.Page("Title").add("Heading", "Text."),
}
