"""A diagnosis as a page, as JSON, as a table, as a picture and in a notebook."""

import math
import re
import sys

import pytest

from keras_deeptools import _finding_pages
from keras_deeptools.diagnosis import Diagnosis, Finding
from keras_deeptools.diagnosis._diagnose.plots import Measurements
from report_pages import PageReader, charts_of

pytestmark = pytest.mark.backend_free

NASTY = "<script>alert(\"1\")</script> & $x_2$ \x00\x1b 'quoted'"
LAYER = {"mean": 0.0, "std": 1.0, "zero": 0.5, "dead": 0.0, "gradient_std": 0.1}


def diagnosis(name: str = "net") -> Diagnosis:
    cause = Finding(
        "symmetric units",
        name,
        name,
        name,
        evidence={"layers": 2, "value": math.inf, "limits": [0.0, 1.0]},
        code=name,
        reference=name,
        confidence=0.97,
        causes=("does not learn",),
    )
    symptom = Finding("does not learn", "loss", name, caused_by="symmetric units")
    other = Finding(name, name, name, severity="note", samples=(3, 4))
    measured = Measurements(
        {
            "as compiled": [2.3, 2.2, 2.1],
            "0.1 x learning rate": [2.3, 2.3, 2.3],
            "10 x learning rate": [2.3, 900.0, math.inf],
            "one batch": [2.3, 1.0, 0.1],
            "shuffled labels": [2.3, 2.3, 2.3],
        },
        2.3,
        {name: {"values": [0.0, 1.0], "counts": [10, 20]}},
        {name: {"mean": [0.0, 1.0], "std": [1.0, 0.0]}},
        {name: LAYER, "last": LAYER | {"saturated": 0.2, "gradient_std": None}},
    )
    return Diagnosis(name, (cause, other, symptom), "stuck", (name,), measured)


@pytest.fixture(scope="module")
def page() -> str:
    return diagnosis(NASTY).to_html()


def test_every_measurement_has_a_chart_that_is_xml(page: str) -> None:
    assert len(charts_of(page)) == 7


def test_text_from_outside_stays_text(page: str) -> None:
    assert "script" not in PageReader(page).names()
    assert '<script>alert("1")</script> & $x_2$' in PageReader(page).text


def test_the_elements_close_in_order(page: str) -> None:
    assert PageReader(page).left_open == []


def test_no_two_elements_have_one_id(page: str) -> None:
    ids = PageReader(page).values("id")
    assert len(ids) == len(set(ids))


def test_the_page_loads_nothing(page: str) -> None:
    reader = PageReader(page)
    assert not {"link", "script", "iframe", "img"} & set(reader.names())
    assert all(link.startswith("#") for link in reader.values("href"))
    assert not re.search(r"@import|url\((?!#)", page)


def test_what_follows_from_a_cause_is_folded_under_it(page: str) -> None:
    text = PageReader(page).text
    assert text.index("symmetric units") < text.index("Follows from it: does not learn")


def test_a_page_without_measurements_has_no_charts() -> None:
    assert charts_of(Diagnosis("net", ()).to_html()) == []


def test_without_matplotlib_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = PageReader(diagnosis().to_html()).text
    assert "No charts" in text and "symmetric units" in text


def test_without_an_address_the_place_in_the_documentation_is_text(page: str) -> None:
    assert "Documentation: findings/start: symmetric units" in PageReader(page).text


def test_with_the_projects_address_it_is_a_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Metadata:
        def get_all(self, name: str) -> list[str]:
            return ["Source, https://a.org", "Documentation, https://docs.org/tools"]

    monkeypatch.setattr(_finding_pages.metadata, "metadata", lambda name: Metadata())
    href = "https://docs.org/tools/findings/start.html#symmetric-units"
    assert href in PageReader(diagnosis()._repr_html_()).values("href")


def test_a_notebook_shows_causes_and_escapes_text() -> None:
    shown = PageReader(diagnosis(NASTY)._repr_html_())
    assert "script" not in shown.names() and shown.left_open == []
    assert "symmetric units (problem)" in shown.text


def test_json_reads_back_as_the_same_diagnosis() -> None:
    assert Diagnosis.from_json(diagnosis(NASTY).to_json()) == diagnosis(NASTY)


def test_json_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="`text` must be what `to_json` wrote"):
        Diagnosis.from_json("[1, 2]")


def test_json_has_the_page_of_each_finding() -> None:
    found = diagnosis().to_dict()["findings"]
    assert found[0]["page"] == "findings/start.html#symmetric-units"


def test_the_table_has_one_row_for_each_finding() -> None:
    pytest.importorskip("pandas")
    table = diagnosis().to_dataframe()
    assert list(table["kind"][:1]) == ["symmetric units"] and len(table) == 3


def test_the_table_of_nothing_has_the_same_columns() -> None:
    pytest.importorskip("pandas")
    columns = list(diagnosis().to_dataframe().columns)
    assert list(Diagnosis("net", ()).to_dataframe().columns) == columns


def test_the_table_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        diagnosis().to_dataframe()


def test_the_plot_has_a_panel_for_each_measurement() -> None:
    titles = [ax.get_title() for ax in diagnosis().plot("plot.png").axes]
    assert titles[:3] == ["Learning rates", "One batch", "Targets of net"]


def test_a_plot_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Diagnosis("net", ()).plot()
