"""Starts and watches the processes of a search; imports neither Keras nor a backend."""

from keras_deeptools._launcher._join import join
from keras_deeptools._launcher._launch import launch
from keras_deeptools._launcher._search_run import SearchRun

__all__ = ["SearchRun", "join", "launch"]
