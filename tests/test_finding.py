"""One form for what any diagnosis finds."""

import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest

from keras_deeptools.diagnosis import Finding

pytestmark = pytest.mark.backend_free

DEAD = Finding("dead", "dense_1", "All units are zero.", "Use HeNormal.")


def test_it_reads_as_one_line_of_kind_place_message_remedy_and_reference() -> None:
    found = replace(DEAD, reference="a paper", step=40, epoch=3)
    assert str(found) == (
        "dead at dense_1, step 40, epoch 3: All units are zero. Use HeNormal. (a paper)"
    )


def test_without_a_place_it_reads_as_kind_and_message() -> None:
    assert str(Finding("no learning", "", "It is flat.")) == "no learning: It is flat."


def test_an_epoch_alone_is_a_place() -> None:
    assert str(Finding("slow", "", "It is.", epoch=4)) == "slow at epoch 4: It is."


def test_evidence_is_plain_numbers_that_can_be_written_as_json() -> None:
    evidence = {"norm": np.float32(0.5), "shape": (np.int64(3), 4), "all": np.ones(2)}
    found = replace(DEAD, evidence=evidence)
    expected = {"norm": 0.5, "shape": [3, 4], "all": [1.0, 1.0]}
    assert json.loads(json.dumps(asdict(found)))["evidence"] == expected


def test_it_can_be_compared_hashed_and_pickled() -> None:
    found = replace(DEAD, evidence={"zero": 1.0})
    assert pickle.loads(pickle.dumps(found)) == found and found != DEAD
    assert len({found, replace(found)}) == 1


def test_a_severity_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="Finding: `severity` must be one of"):
        replace(DEAD, severity="fatal")
