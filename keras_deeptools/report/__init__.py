"""Reports: one HTML file about a run, without scripts or network access."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.report._page import Page
from keras_deeptools.report._training_report import training_report

__all__ = ["Page", "training_report"]
