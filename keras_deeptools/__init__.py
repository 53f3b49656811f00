"""Tools that make training deep networks with Keras 3 work.

`callbacks` is what users add to `fit`, `layers` and `initializers` what models are made
of and start from, `diagnosis` what finds out what is wrong, `uncertainty` how sure a
model is. `schedules` are hyperparameters over the steps, `statistics` the numbers that
callbacks judge by, `transfer` and `pretraining` are for few labels, `engine` is what
joins an optimizer's updates and runs models.
"""

import sys

__version__ = "0.1.0"

# While `python -m keras_deeptools` looks for its module, Python has "-m" here; nothing
# may import keras then, because the command line can still choose the backend.
if sys.argv[:1] != ["-m"]:
    from keras_deeptools.callbacks import find_learning_rate
    from keras_deeptools.engine import attach

__all__ = ["attach", "find_learning_rate"]
