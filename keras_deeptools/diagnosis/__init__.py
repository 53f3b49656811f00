"""What is wrong with a model, where, and what to change."""

from keras_deeptools.diagnosis._layer_signal import LayerSignal
from keras_deeptools.diagnosis._signal_findings import SignalFinding
from keras_deeptools.diagnosis._signal_propagation import signal_propagation
from keras_deeptools.diagnosis._signal_result import SignalPropagation

__all__ = [
    "LayerSignal",
    "SignalFinding",
    "SignalPropagation",
    "signal_propagation",
]
