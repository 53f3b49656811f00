"""Pages to read, keep and send: one HTML file of a run, without scripts or network."""

from keras_deeptools import _keras_import  # noqa: F401
from keras_deeptools.report._page import Page
from keras_deeptools.report._training_report import training_report

__all__ = ["Page", "training_report"]
