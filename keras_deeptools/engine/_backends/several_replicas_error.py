"""The error of what cannot take part in training on several replicas."""


class SeveralReplicasError(ValueError):
    """Raised where a feature meets a `tf.distribute` strategy of several replicas.

    Keras reduces gradients only inside of the update there, after the point where
    features see them: each replica would see, clip and record its own part. On JAX,
    `keras.distribution` has no such limit, since gradients inside of a compiled step
    are global arrays, nor has `DistributedDataParallel` on torch, which reduces them in
    the backward pass.

    A `ValueError`, so that what catches those of `attach` catches it too.

    Args:
        *args: Str. What was given, and the way out.

    Example:

    >>> from keras_deeptools.engine import SeveralReplicasError
    >>> try:
    ...     raise SeveralReplicasError("attach: the strategy has 2 replicas.")
    ... except ValueError as error:
    ...     print(error)
    attach: the strategy has 2 replicas.
    """
