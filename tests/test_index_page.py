"""What the package index shows of README.md, rendered as the index does."""

import importlib
import re
import runpy
from pathlib import Path

import pytest
from readme_renderer import markdown

pytestmark = pytest.mark.backend_free

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
index_page = runpy.run_path(str(ROOT / "hatch_build.py"))["index_page"]
ADDRESS = "https://example.org/keras-deeptools"


def rendered(repository: str | None) -> str:
    """HTML of the page."""
    html = markdown.render(index_page(README, repository))
    assert html is not None
    return html


def targets(html: str) -> list[str]:
    """Where its links and pictures lead."""
    return re.findall(r'(?:href|src)="([^"]*)"', html)


@pytest.mark.parametrize("repository", [None, ADDRESS])
def test_no_link_or_picture_is_relative(repository):
    found = [each for each in targets(rendered(repository)) if "://" not in each]
    assert [each for each in found if not each.startswith("#")] == []


def test_links_and_pictures_lead_to_files_of_the_repository():
    places = [each.split("/HEAD/") for each in targets(rendered(ADDRESS))]
    paths = [place[1].split("#")[0] for place in places if len(place) == 2]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_pictures_have_addresses_where_the_repository_has_one():
    html = rendered(ADDRESS)
    assert f'src="{ADDRESS}/raw/HEAD/docs/images/first-look.png"' in html


def test_without_an_address_nothing_is_left_of_pictures():
    html = rendered(None)
    assert "<img" not in html
    assert "drawn by" not in html
    assert "![" not in html


def test_every_word_of_the_text_stays_without_an_address():
    assert "fine-tunes pretrained networks" in rendered(None)
    assert "Coming from fastai" in rendered(None)


def test_names_can_be_imported_from_where_the_page_of_features_says():
    page = (ROOT / "docs" / "features.md").read_text("utf-8")
    missing = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        modules = re.findall(r"`(keras_deeptools[.\w]*)`", cells[-1])
        for name in re.findall(r"`(\w+)`", cells[1]) if modules else []:
            homes = [importlib.import_module(module) for module in modules]
            if not any(hasattr(home, name) for home in homes):
                missing.append((name, modules))
    assert missing == []
