"""Text in aligned columns."""

import pytest

from keras_deeptools._text_table import text_table

pytestmark = pytest.mark.backend_free

ROWS = [["a", "1.25", ""], ["longer", "10", "kept"]]


def test_columns_of_text_stand_left_and_those_of_numbers_right() -> None:
    assert text_table(["layer", "mean", "note"], ROWS, text=(0, -1)).splitlines() == [
        "layer   mean  note",
        "a       1.25",
        "longer    10  kept",
    ]


def test_a_rule_separates_the_titles() -> None:
    lines = text_table(["layer", "mean", "note"], ROWS, text=(0, 2), rule=True)
    assert lines.splitlines()[1] == "------  ----  ----"


def test_without_titles_only_the_rows_are_written() -> None:
    assert text_table([], ROWS).splitlines()[0] == "a       1.25"


def test_a_table_without_rows_has_its_titles() -> None:
    assert text_table(["layer", "mean"], []) == "layer  mean"
