import os
from pathlib import Path

import pytest

from keras_deeptools.report import Page

pytestmark = pytest.mark.backend_free

PAGE = Page("Title").add("Heading", "Text.")


def test_missing_folders_are_made_and_the_path_comes_back(tmp_path: Path) -> None:
    path = PAGE.save(str(tmp_path / "runs" / "first" / "report.html"))
    assert path == tmp_path / "runs" / "first" / "report.html"
    assert path.read_text("utf-8") == PAGE.html()


def test_a_file_that_exists_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    PAGE.save(path)
    assert path.read_text("utf-8") == PAGE.html()
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_folder_is_refused_with_a_file_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="It is a folder: give for instance .*report"):
        PAGE.save(tmp_path)


@pytest.mark.parametrize("name", ["report", "report.txt", "html"])
def test_another_kind_of_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"`path` must be the path of a file that ends"
    ):
        PAGE.save(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ValueError, match="'runs' is a file, no folder"):
        PAGE.save(tmp_path / "runs" / "report.html")


def test_a_path_must_be_one() -> None:
    with pytest.raises(TypeError, match="`path` must be the path of a file"):
        PAGE.save(3)
