"""Pictures of schedules."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from keras_deeptools.schedules import Constant, OneCycle, OneCycleMomentum, Triangular

pytestmark = pytest.mark.backend_free


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_the_line_is_the_schedule_over_its_steps():
    schedule = OneCycle(0.5, 100)
    (line,) = schedule.plot().lines
    np.testing.assert_array_equal(line.get_xdata(), np.arange(100))
    np.testing.assert_array_equal(line.get_ydata(), schedule.values(np.arange(100)))


def test_an_endless_schedule_is_drawn_as_far_as_asked():
    (line,) = Triangular(0.1, 0.5, 10).plot(total_steps=60).lines
    assert line.get_xdata()[-1] == 59


def test_a_long_schedule_is_drawn_with_fewer_points():
    (line,) = OneCycle(0.5, 10**7).plot().lines
    assert len(line.get_xdata()) <= 5000
    assert line.get_xdata()[-1] == 10**7 - 1


def test_several_schedules_share_the_axes_that_are_given():
    _, ax = plt.subplots()
    assert OneCycle(0.5, 100).plot(ax=ax) is ax
    OneCycle(0.5, 100, shape="linear").plot(ax=ax)
    assert len(ax.lines) == 2


def test_the_axes_say_what_they_show():
    assert OneCycle(0.5, 100).plot().get_ylabel() == "learning rate"
    assert OneCycleMomentum(100).plot().get_ylabel() == "momentum"
    assert OneCycle(0.5, 100).plot().get_xlabel() == "step (optimizer update)"


@pytest.mark.parametrize("schedule", [Constant(0.1), Triangular(0.1, 0.5, 10)])
def test_a_schedule_without_an_end_asks_for_the_number_of_steps(schedule):
    with pytest.raises(ValueError, match="plot: `total_steps` must be given"):
        schedule.plot()


def test_a_missing_matplotlib_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"keras-deeptools\[plot\]"):
        OneCycle(0.5, 100).plot()
