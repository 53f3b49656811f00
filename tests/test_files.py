"""Files are whole at any moment: the old one or the new one, wherever writing broke."""

import json
import math
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest

import public_api
from keras_deeptools._files import force_to_disk, write_json, write_text, write_whole

pytestmark = pytest.mark.backend_free

WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: write_text(path, "new, with ü"),
    "json": lambda path: write_json(path, {"new": 2}),
    "arrays": lambda path: write_whole(path, lambda file: np.savez(file, new=[2])),
}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return WRITERS[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    old = tmp_path / "file"
    old.write_text("old")
    return old


def test_missing_folders_are_made(tmp_path: Path, write: Callable) -> None:
    write(tmp_path / "runs" / "first" / "file")
    assert os.listdir(tmp_path / "runs" / "first") == ["file"]


def test_a_file_that_exists_is_replaced(path: Path, write: Callable) -> None:
    write(path)
    assert b"new" in path.read_bytes()
    assert os.listdir(path.parent) == ["file"]


def test_a_path_may_be_a_str(path: Path, write: Callable) -> None:
    write(str(path))
    assert b"new" in path.read_bytes()


@pytest.mark.parametrize("stage", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_fails_before_the_move_leaves_the_old_file_and_nothing_else(
    path: Path,
    write: Callable,
    stage: str,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, stage, fail)
    with pytest.raises(error):
        write(path)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file"]


def test_a_writer_that_fails_halfway_leaves_the_old_file_and_nothing_else(
    path: Path,
) -> None:
    def half(file: IO[bytes]) -> None:
        file.write(b"ne")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(path, half)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file"]


def test_a_process_killed_while_it_writes_leaves_the_old_file(path: Path) -> None:
    code = (
        "import os, sys\n"
        "from keras_deeptools._files import write_whole\n"
        "write_whole(sys.argv[1], lambda file: (file.write(b'ne'), os._exit(9)))\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    folder = public_api.PACKAGE.parent
    assert subprocess.run(command, cwd=folder, timeout=300).returncode == 9
    assert path.read_text() == "old"


def test_the_bytes_are_on_the_disk_before_the_move(
    path: Path, write: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda n: (order.append("fsync"), fsync(n)))
    monkeypatch.setattr(
        os, "replace", lambda a, b: (order.append("replace"), replace(a, b))
    )
    write(path)
    assert order == ["fsync", "replace"]


def test_a_file_is_emptied_of_its_buffer_before_it_is_forced_to_disk(
    path: Path,
) -> None:
    with path.open("wb") as file:
        file.write(b"new")
        force_to_disk(file)
        assert path.read_bytes() == b"new"


def test_a_file_in_place_of_a_folder_is_an_error_that_changes_nothing(
    path: Path, write: Callable
) -> None:
    with pytest.raises(OSError):
        write(path / "below")
    assert path.read_text() == "old"


def test_a_folder_that_may_not_be_written_to_is_an_error_that_names_it(
    path: Path, write: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not with `chmod`, which the superuser, who runs many a container, is not bound by.
    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError, match="file"):
        write(path)
    monkeypatch.undo()
    assert path.read_text() == "old"


def test_the_file_has_the_rights_of_any_new_file(
    tmp_path: Path, write: Callable
) -> None:
    (tmp_path / "plain").write_text("")
    write(tmp_path / "file")
    rights = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("plain", "file")]
    assert rights[0] == rights[1]


def test_writers_at_once_leave_the_whole_file_of_one_of_them(tmp_path: Path) -> None:
    texts = [letter * 10_000 for letter in "abcd"]
    threads = [
        threading.Thread(target=write_text, args=(tmp_path / "file", text))
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_text() in texts
    assert os.listdir(tmp_path) == ["file"]


def test_text_is_utf_8(path: Path) -> None:
    write_text(path, "ü")
    assert path.read_bytes() == "ü".encode()


def test_json_comes_back_as_the_text_that_was_written(path: Path) -> None:
    assert write_json(path, {"a": [1, None]}) == path.read_text()
    assert json.loads(path.read_text()) == {"a": [1, None]}


def test_json_that_has_no_nan_is_refused_with_the_old_file_kept(path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan}, allow_nan=False)
    assert path.read_text() == "old"
