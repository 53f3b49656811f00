import copy
import re
import sys

import keras
import numpy as np
import pytest

from keras_deeptools.diagnosis import Audit, Finding, LayerSignal, SignalPropagation
from keras_deeptools.report import Page
from keras_deeptools.schedules import OneCycle
from keras_deeptools.uncertainty import reliability_diagram
from report_pages import PageReader, charts_of

pytestmark = pytest.mark.one_backend

NASTY = "<script>alert(\"1\")</script> & $x_2$ \x00\x1b\ud800 'quoted'"


def nasty_signals() -> SignalPropagation:
    values = np.linspace(-1, 1, 50).astype("float32")
    layers = [
        LayerSignal(
            f"{NASTY.encode('utf-8', 'ignore').decode()}{i}",
            "Dense",
            mean=0.0,
            std=1.0,
            activations=values,
        )
        for i in range(3)
    ]
    return SignalPropagation(tuple(layers))


@pytest.fixture(scope="module")
def nasty_page() -> str:
    page = Page(NASTY, NASTY)
    finding = Finding(NASTY, NASTY, NASTY, NASTY, code=NASTY, reference=NASTY)
    page.add(NASTY, NASTY, nasty_signals(), Audit(NASTY, (finding,)))
    page.add("Twice", nasty_signals())
    return page.html()


def test_text_from_outside_stays_text(nasty_page: str) -> None:
    assert "script" not in PageReader(nasty_page).names()
    assert '<script>alert("1")</script> & $x_2$' in PageReader(nasty_page).text


def test_a_page_holds_no_sign_that_html_forbids(nasty_page: str) -> None:
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", nasty_page)
    assert nasty_page.encode("utf-8")


def test_the_elements_of_a_page_close_in_order(nasty_page: str) -> None:
    assert PageReader(nasty_page).left_open == []


def test_no_two_elements_of_a_page_have_one_id(nasty_page: str) -> None:
    ids = PageReader(nasty_page).values("id")
    assert len(ids) == len(set(ids))


def test_every_reference_of_a_page_is_to_itself(nasty_page: str) -> None:
    page = PageReader(nasty_page)
    links = [*page.values("href"), *page.values("xlink:href"), *page.values("src")]
    links += re.findall(r"url\(([^)]*)\)", nasty_page)
    assert links and all(link.startswith(("#", "data:image/png")) for link in links)
    ids = set(page.values("id"))
    assert {link[1:] for link in links if link[0] == "#"} <= ids


def test_a_page_may_load_nothing(nasty_page: str) -> None:
    policies = PageReader(nasty_page).values("content")
    assert any("default-src 'none'" in policy for policy in policies)


def test_charts_are_well_formed_xml_with_text_as_text(nasty_page: str) -> None:
    charts = charts_of(nasty_page)
    assert len(charts) == 4
    texts = [it.text for it in charts[0].iter("{http://www.w3.org/2000/svg}text")]
    assert any("$x_2$" in (text or "") for text in texts)


def test_every_chart_says_what_it_shows_to_who_does_not_see_it(
    nasty_page: str,
) -> None:
    page = PageReader(nasty_page)
    charts = [its for name, its in page.elements if name == "svg"]
    ids = set(page.values("id"))
    for chart in charts:
        assert chart["role"] == "img"
        assert set(chart["aria-labelledby"].split()) <= ids
    assert page.names().count("desc") == len(charts)


def test_charts_take_their_ink_from_the_page(nasty_page: str) -> None:
    assert "prefers-color-scheme: dark" in nasty_page
    charts = "".join(re.findall(r"<svg .*?</svg>", nasty_page, re.DOTALL))
    assert "currentColor" in charts
    assert not re.findall("#0[0-9]0[0-9]0[0-9]|#000000|#ffffff", charts)


def test_panels_of_one_figure_become_charts_of_a_column() -> None:
    page = Page("Signals").add("Signals", nasty_signals()).html()
    assert page.count("<svg") == 2


def test_every_number_of_a_chart_stands_in_a_table_of_text_too() -> None:
    diagram = reliability_diagram([0.2, 0.2, 0.9, 0.9], [0, 1, 1, 1], num_bins=5)
    page = PageReader(Page("Sure?").add("Calibration", diagram).html())
    assert diagram.table() in page.texts


def test_parts_that_only_draw_only_speak_or_are_models_can_be_added() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="top")])
    page = Page("All kinds")
    page.add("Parts", OneCycle(0.1, total_steps=10), Audit("net", ()), model, "Text.")
    text = PageReader(page.html()).text
    assert page.html().count("<svg") == 1
    assert "nothing found" in text and "9 weights" in text and "Text." in text


def test_a_figure_of_ones_own_can_be_added() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2], [1, 2])
    assert Page("Own").add("Figure", figure).html().count("<svg") == 1


@pytest.mark.parametrize(
    "part",
    [None, 5, [1], object(), Page],
    ids=["None", "int", "list", "object", "class"],
)
def test_what_cannot_be_shown_is_refused(part: object) -> None:
    page = Page("Title")
    with pytest.raises(TypeError, match="`parts` must be text, a figure, a model"):
        page.add("Heading", part)
    assert "Heading" not in page.html()


def test_what_has_nothing_to_draw_yet_says_so() -> None:
    from keras_deeptools.callbacks import GradientMonitor

    page = PageReader(Page("Early").add("Gradients", GradientMonitor()).html())
    assert "No chart: GradientMonitor.plot: there must be recorded norms" in page.text


def test_a_copy_of_a_page_grows_by_itself() -> None:
    page = Page("One").add("First", "Text.")
    other = copy.deepcopy(page).add("Second", "More.")
    assert "Second" in other.html() and "Second" not in page.html()


def test_two_pages_of_the_same_parts_are_the_same() -> None:
    made = [Page("Same").add("Signals", nasty_signals()).html() for _ in range(2)]
    assert made[0] == made[1]


def test_without_matplotlib_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "keras-deeptools\[plot\]"'):
        Page("Title").add("Schedule", OneCycle(0.1, total_steps=10))
    assert "Text." in Page("Title").add("Words", "Text.").html()


@pytest.mark.parametrize("title", ["", "  ", None, 3])
def test_a_title_must_be_a_text(title: object) -> None:
    with pytest.raises(ValueError, match="Page: `title` must be a text"):
        Page(title)
