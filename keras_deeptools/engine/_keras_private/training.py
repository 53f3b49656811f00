"""What a model's training holds privately: losses, metrics, steps and callbacks."""

import inspect
import re
from typing import Any

import keras

from keras_deeptools.engine._keras_private.seam import (
    Seam,
    has,
    has_private,
    private,
    samples,
)

COMPILED = ("optimizer", "_compile_loss", "_compile_metrics", "_compile_config")
"""Attributes of a model that `compile` sets."""

INITIAL_EPOCH = "_initial_epoch"
"""Attribute of a model with the epoch that a callback lets `fit` begin at."""

KEPT_BY_SNAPSHOTS = (
    "train_function",
    "test_function",
    "predict_function",
    "steps_per_execution",
    "stop_training",
    "stop_evaluating",
    "history",
    INITIAL_EPOCH,
    "_jit_compile",
    "_eval_epoch_iterator",
)
"""Attributes of a model that `fit` and its callbacks change."""

NOT_KEPT = {"stop_predicting", "_jax_state", "_jax_state_synced"}
"""What methods that train assign too: of no meaning later, or put back apart."""

TRAINING_METHODS = (
    "fit",
    "evaluate",
    "train_on_batch",
    "test_on_batch",
    "make_train_function",
    "make_test_function",
)

SYNCED = "_jax_state_synced"
"""Attribute of a model on JAX: whether its variables hold what its last step gave."""


def compiled_loss(model: Any) -> Any:
    """What computes the loss that a model was compiled with, or None.

    The public `model.loss` is what the user gave, without weights and names.
    """
    return getattr(model, "_compile_loss", None)


def loss_given(model: Any) -> Any:
    """The loss that a user gave to `compile`, or None."""
    compiled = compiled_loss(model)
    return None if compiled is None else compiled._user_loss


def loss_weights_given(model: Any) -> Any:
    """The `loss_weights` that a user gave to `compile`, or None."""
    return compiled_loss(model)._user_loss_weights


def functions_of_losses() -> Any:
    """The module whose functions losses call, of the backend.

    `nn` of a backend up to Keras 3.15, and `ops.nn` later.
    """
    backend = private("backend")
    return getattr(backend, "ops", backend).nn


def compute_own_loss(model: Any, **arguments: Any) -> Any:
    """What the model's `compute_loss` returns, with the arguments that it knows."""
    return model._compute_loss(**arguments)


def whole_loss(loss: Any) -> Any:
    """The loss of a batch, of which Keras computes the part of one of the replicas."""
    return private("losses.loss", "unscale_loss_for_distribution")(loss)


def new_loss(loss: Any, weights: Any, names: list[str] | None) -> Any:
    """What computes a loss for the outputs of a model, as `compile` makes it."""
    compile_loss = private("trainers.compile_utils", "CompileLoss")
    return compile_loss(loss, weights, output_names=names)


def compile_config(model: Any) -> dict[str, Any]:
    """The arguments that `compile` was called with, as objects.

    The public `get_compile_config` serializes them.
    """
    return dict(model._compile_config.config)


def compiled_parts(model: Any) -> list[Any]:
    """What a model was compiled with that has state: losses and metrics, or None."""
    return [model._compile_loss, model._compile_metrics]


def own_metrics(model: Any) -> list[Any]:
    """All metrics of a model but those of models inside it."""
    return model._get_own_metrics()


def build_for(model: Any, **data: Any) -> None:
    """Builds model, metrics and optimizer as JAX and torch do before the first step.

    Args:
        model: `keras.Model`, compiled.
        **data: `data_batch` or `iterator`.
    """
    model._symbolic_build(**data)


def build_in_strategy(model: Any, iterator: Any) -> None:
    """The same on TensorFlow, where it happens only for a distributed model."""
    model._maybe_symbolic_build(iterator=iterator)


def is_distributed(model: Any) -> bool:
    """Whether a model was made under a `tf.distribute` strategy."""
    return getattr(model, "_distribute_strategy", None) is not None


JAX_STATE = (
    "trainable_variables",
    "non_trainable_variables",
    "optimizer_variables",
    "metrics_variables",
)
"""What a train step on JAX is given and returns, in its order."""


def jax_state(model: Any, names: tuple[str, ...]) -> Any:
    """The values that a step on JAX is given: one list for each name."""
    return model._get_jax_state(**dict.fromkeys(names, True))


def begin_jax_step(model: Any) -> None:
    """Notes that the variables do not hold the state any more."""
    model._jax_state_synced = False


def end_jax_step(model: Any, state: dict[str, Any] | None) -> None:
    """Notes what a step returned, to be synchronized; None: nothing is."""
    model._jax_state = state
    if state is None:
        model._jax_state_synced = True


def list_jax_shardings(model: Any) -> None:
    """Lets Keras up to 3.11 list again how each variable lies on the devices.

    It lists them when `fit` begins, before callbacks have added any.
    """
    listed = getattr(model, "_record_training_state_sharding_spec", None)
    optimizer = getattr(model, "optimizer", None)  # Uncompiled models have none there.
    if listed is not None and optimizer is not None and optimizer.built:
        listed()


PARALLEL = "ddp_model"
"""Attribute of a model on torch with the `DistributedDataParallel` that trains it."""


def forget_parallel(model: Any) -> bool:
    """Lets `fit` wrap a model for several processes again; returns whether it was.

    torch reduces the gradients of what is trained when a model is wrapped, of nothing
    else, and waits for all of them.
    """
    if getattr(model, PARALLEL, None) is None:
        return False
    # Past torch's own tracking of modules, as Keras sets it.
    object.__setattr__(model, PARALLEL, None)
    return True


def knows_jax_state(model: Any) -> bool:
    """Whether a model hands its state to steps, as on JAX."""
    return hasattr(model, SYNCED)


def begin_callbacks(callbacks: keras.callbacks.CallbackList) -> Any:
    """Begins a list of callbacks without calling them; returns its progress bar.

    It returns None for a list without one. Up to Keras 3.11 such a list has no separate
    beginning.
    """
    begin = getattr(callbacks, "_on_begin", None)
    if begin is not None:
        begin()
    return callbacks._progbar


def _assigned_by_training() -> set[str]:
    """The attributes that the methods which train a model assign, by their source."""
    found: set[str] = set()
    for cls in keras.Model.__mro__:
        for name in TRAINING_METHODS:
            method = vars(cls).get(name)
            if method is not None and cls.__module__.startswith("keras.src."):
                source = inspect.getsource(inspect.unwrap(method))
                found |= set(re.findall(r"\bself\.(\w+) = ", source))
    return found


def _compiled() -> Any:
    model = samples.graph
    if not model.compiled:
        model.compile(samples.optimizer, loss="mse", metrics=["mae"])
    return model


SEAMS = (
    Seam(
        "Trainer._compile_loss, CompileLoss._user_loss, CompileLoss._user_loss_weights",
        "reading the loss that a model was compiled with",
        "Capture needs a loss, and errors about targets say less",
        lambda: (
            loss_given(_compiled()) == "mse" and loss_weights_given(_compiled()) is None
        ),
    ),
    Seam(
        "Trainer.fit, Trainer._eval_epoch_iterator",
        "putting back what training changes in a model",
        "range tests leave a model changed",
        lambda: (
            _assigned_by_training() - NOT_KEPT <= set(KEPT_BY_SNAPSHOTS)
            and has(_compiled(), "train_function", "steps_per_execution")()
        ),
    ),
    Seam(
        "JAXTrainer._record_training_state_sharding_spec",
        "letting Keras up to 3.11 list the shardings of what is attached",
        "nothing can be attached on JAX with Keras up to 3.11",
        lambda: True,
        "3.10 and 3.11; later versions need none",
    ),
    Seam(
        "TorchTrainer.ddp_model",
        "freezing and unfreezing while `fit` trains in several processes",
        "nothing can be unfrozen in several processes",
        lambda: not forget_parallel(keras.Sequential()),
        "3.16; earlier versions train in one process",
    ),
    Seam(
        "Trainer._compile_config",
        "compiling a copy like its original",
        "copies of a compiled model are not compiled",
        lambda: compile_config(_compiled())["loss"] == "mse",
    ),
    Seam(
        "Trainer._compile_metrics, Trainer._get_own_metrics",
        "resetting the metrics of a model between batches",
        "the loss of one batch contains earlier ones",
        lambda: (
            len(compiled_parts(_compiled())) == 2
            and isinstance(own_metrics(_compiled()), list)
        ),
    ),
    Seam(
        "Trainer._compute_loss",
        "calling a model's own `compute_loss`",
        "models with a loss of their own cannot be captured",
        has(keras.Model, "_compute_loss"),
    ),
    Seam(
        "compile_utils.CompileLoss",
        "computing a loss without touching that of the model",
        "Capture cannot go backward",
        has_private("trainers.compile_utils", "CompileLoss"),
    ),
    Seam(
        "losses.loss.unscale_loss_for_distribution",
        "computing the loss of a batch in the scope of a `tf.distribute` strategy",
        "the sharpness is that of a part of the loss",
        has_private("losses.loss", "unscale_loss_for_distribution"),
    ),
    Seam(
        "backend.nn, backend.ops.nn",
        "training on pixels with torch, whose view of them it cannot go back through",
        "`fine_tune` fails on images of classes with torch on a CPU",
        lambda: callable(functions_of_losses().sparse_categorical_crossentropy),
    ),
    Seam(
        "Trainer._symbolic_build",
        "creating before training what `fit` would create",
        "range tests are not undone to the bit",
        has(keras.Model, "_symbolic_build"),
    ),
    Seam(
        "Trainer._maybe_symbolic_build, Trainer._distribute_strategy",
        "the same under `tf.distribute`",
        "range tests fail on distributed models",
        lambda: (
            keras.backend.backend() != "tensorflow"
            or has(samples.graph, "_maybe_symbolic_build", "_distribute_strategy")()
        ),
    ),
    Seam(
        "JAXTrainer._get_jax_state, _jax_state, _jax_state_synced",
        "training on one batch at a time on JAX",
        "the loss of one batch is not known on JAX",
        lambda: (
            keras.backend.backend() != "jax" or has(keras.Model, "_get_jax_state")()
        ),
    ),
    Seam(
        "CallbackList._on_begin, CallbackList._progbar",
        "going on with a `fit` on other data",
        "callbacks see two trainings where features are cached for a part of one",
        lambda: begin_callbacks(keras.callbacks.CallbackList()) is None,
    ),
)
