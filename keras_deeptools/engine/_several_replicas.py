"""What is refused where gradients are seen before they are reduced over replicas."""


class SeveralReplicasError(ValueError):
    """Raised where a feature meets a `tf.distribute` strategy of several replicas.

    Keras reduces gradients only inside of the update there, after the point where
    features see them. `keras.distribution` on JAX has no such limit.

    Example:

    >>> from keras_deeptools.engine import SeveralReplicasError
    >>> issubclass(SeveralReplicasError, ValueError)
    True
    """
