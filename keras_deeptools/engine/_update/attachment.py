"""Attaches features to an optimizer, and detaches them."""

import functools
from types import TracebackType
from typing import Any

import keras

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._keras_private.registry import check_seams
from keras_deeptools.engine._update.feature import Feature
from keras_deeptools.engine._update.leaf import Leaf, leaf_optimizers
from keras_deeptools.engine._update.model_optimizers import (
    ModelOptimizer,
    chosen_optimizers,
    model_optimizers,
)
from keras_deeptools.engine._update.optimizer_hooks import SITE, Session, Site
from keras_deeptools.engine._update.target import is_built, own_choice, resolved
from keras_deeptools.engine._update.train_step import (
    forget_functions,
    forget_trace,
    is_fitting,
    keep_trace,
    trace_again,
)
from keras_deeptools.engine._update.update_canary import check_update
from keras_deeptools.engine._update.update_watch import LoopWatch

GUARDED = (
    "fit",
    "compile",
    "evaluate",
    "predict",
    "train_on_batch",
    "test_on_batch",
    "predict_on_batch",
    "get_weights",
    "set_weights",
    "save",
    "save_weights",
    "load_weights",
    "export",
)
"""Methods before which the features of an interrupted `fit` are detached."""


class Attachment:
    """Features that are attached to an optimizer until `detach` is called.

    Made by `attach`. As a context manager it detaches the features at the end of the
    block, also after an exception.

    Attributes:
        features: The attached features, in order.

    Example:

    >>> import keras
    >>> from keras_deeptools import attach
    >>> from keras_deeptools.callbacks import GradientClipper
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> attachment = attach(model, GradientClipper(global_norm=1.0))
    >>> attachment.active
    True
    >>> attachment.detach()
    >>> attachment.active
    False
    """

    def __init__(
        self,
        sites: list[Site],
        features: tuple[Feature, ...],
        in_fit: bool,
        choices: list[list[ModelOptimizer]] | None = None,
    ) -> None:
        self.features = features
        self._sites = sites
        self._in_fit = in_fit
        self._choices = choices
        self._watch = None if in_fit else self._watched()
        self._sessions: list[Any] = []
        self._traced: list[Any] = []
        try:
            for site in sites:
                site.hold(self)
        except BaseException:
            self.detach()
            raise
        self._traced = self._models()
        for model in self._traced:
            trace_again(model)
        self._forget_functions()

    def begin(self, site: Site, late: bool = False) -> None:
        """Starts the features on a built optimizer.

        Args:
            site: `Site` of that optimizer.
            late: Bool. Whether training has begun already.
        """
        mine = [
            (feature, roots)
            for feature, roots in zip(self.features, self._roots(), strict=True)
            if any(root is site.optimizer for root in roots)
        ]
        for feature, roots in mine:
            for leaf in site.leaves:
                leaf.roots = roots
            self._sessions += site.add(feature)
        if late:
            for feature, _ in mine:
                feature.begin_late()

    def _roots(self) -> list[list[Any]]:
        """The optimizers that each feature acts on."""
        if self._choices is None:
            return [[site.optimizer for site in self._sites]] * len(self.features)
        return [[each.optimizer for each in choice] for choice in self._choices]

    def _watched(self) -> LoopWatch:
        choices = self._choices
        if choices is None:
            roots = [site.optimizer for site in self._sites]
            choices = [[ModelOptimizer(o, (o.name,), ((),), True) for o in roots]]
        models = self._models()
        chosen = [each for choice in choices for each in choice]
        chosen = list({id(each.optimizer): each for each in chosen}.values())
        return LoopWatch(models[0] if models else None, chosen)

    @property
    def leaves(self) -> list[Leaf]:
        """One `Leaf` for every optimizer that updates variables itself."""
        return [leaf for site in self._sites for leaf in site.leaves]

    @property
    def active(self) -> bool:
        """Whether the features still take part in updates."""
        return any(self in site.attachments for site in self._sites)

    @property
    def stale(self) -> bool:
        """Whether the attachment belongs to a `fit` that was interrupted."""
        return self._in_fit and not any(map(is_fitting, self._models()))

    def _models(self) -> list[Any]:
        models = {id(site.model): site.model for site in self._sites}
        return [model for model in models.values() if model is not None]

    def extend(self, leaf: Leaf) -> None:
        """Starts the features on one more optimizer.

        Args:
            leaf: `Leaf` of that optimizer.
        """
        site = next(site for site in self._sites if leaf in site.leaves)
        for feature, roots in zip(self.features, self._roots(), strict=True):
            if not any(root is site.optimizer for root in roots):
                continue
            leaf.roots = roots
            session = Session(feature, leaf)
            self._sessions.append(session)
            site.start(session)

    def state(self, feature: Feature) -> list[Any]:
        """The states that `feature.prepare` returned, for each leaf optimizer."""
        return [s.state for s in self._sessions if s.feature is feature]

    def detach(self) -> None:
        """Detaches the features; does nothing if they are detached already."""
        if not self.active:
            return
        if not self.stale:
            for model in self._traced:
                keep_trace(model)
        for site in self._sites:
            if self in site.attachments:
                site.attachments.remove(self)
        try:
            for session in self._sessions:
                session.feature.release(session.state, session.leaf)
        finally:
            for site in self._sites:
                site.remove(self._sessions)
            for model in self._traced:
                forget_trace(model)
            self._forget_functions()

    def _forget_functions(self) -> None:
        for site in self._sites:
            forget_functions(site.optimizer)

    def __enter__(self) -> "Attachment":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seen = {id(leaf.root) for leaf in self.leaves if leaf.entered}
        skipped = [leaf.root for leaf in self.leaves if leaf.num_skipped]
        self.detach()
        if error is None and self._watch is not None:
            self._watch.warn_at_end(skipped, seen)


def attach(target: Any, *features: Feature, optimizer: Any = None) -> Attachment:
    """Lets features take part in the compiled updates of an optimizer.

    The callbacks of this package do so for the duration of `fit`. Call it yourself for
    `train_on_batch`, a custom `train_step` or your own loop; every callback that acts
    on updates is a feature and can be passed. A loop that compiles its own step
    (`tf.function`, `jax.jit`) must call the step for the first time after attaching. A
    loop that holds the optimizer's state (JAX) must read the state after attaching, and
    assign it to the optimizer in the end. Functions that the model's own `train_step`
    calls are traced again.

    Neither the model nor the optimizer needs to be built. If they are not, the features
    start when the first update builds the optimizer, and a feature that does not fit is
    refused there, before that update.

    Args:
        target: A compiled `keras.Model`, or an optimizer. The optimizer of a compiled
            model is treated like that model.
        *features: One or more `Feature` objects. Their stages run in a fixed order
            (see `Feature`), features of one stage in the order given here.
        optimizer: Which optimizers of the model to attach to. None: those that its
            train step uses, which is the one that it was compiled with unless the model
            has a custom `train_step`, or those that a callback was given
            (`optimizer=`). A name (`"g_optimizer"`, `"optimizers[0]"`,
            `"optimizers['g']"`), an optimizer, a list of these, or `"all"`.

    Returns:
        `Attachment`; use it as a context manager, which warns of updates in which no
        attached feature took part, or call its `detach`.

    Raises:
        TypeError: If `target` or a feature is of the wrong type.
        ValueError: If the model is not compiled or has no trainable variables, several
            models use the optimizer, or a feature does not fit the optimizer. Nothing
            has then been changed.

    Example:

    >>> import keras, numpy as np
    >>> from keras_deeptools import attach
    >>> from keras_deeptools.callbacks import GradientClipper, MaxNormEnforcer
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("adam", loss="mse")
    >>> with attach(model, GradientClipper(value=0.5), MaxNormEnforcer(1.0)):
    ...     for _ in range(3):
    ...         logs = model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    """
    targets = resolved(target, optimizer)
    if not features:
        raise ValueError(
            "attach: at least one feature must be given. Received: features=(). "
            "Pass for instance `GradientClipper(global_norm=1.0)`."
        )
    for feature in features:
        if not isinstance(feature, Feature):
            raise TypeError(
                "attach: every feature must be a `keras_deeptools.engine.Feature`. "
                f"Received: feature={feature!r}. The callbacks of this package that "
                "act on updates are features; other callbacks go to `fit`."
            )
    choices = None
    if isinstance(target, keras.Model):
        choices = [
            chosen_optimizers(target, own_choice(feature, optimizer))
            for feature in features
        ]
        chosen = {id(each.optimizer): each for choice in choices for each in choice}
        targets = [(each.optimizer, target) for each in chosen.values()]
    sites = [_site(*each) for each in targets]
    for site in sites:
        site.is_built = is_built(site.optimizer, site.model)
        if not site.is_built:
            training.check_deferred_build(site.optimizer)
    in_fit = any(is_fitting(site.model) for site in sites)
    return Attachment(sites, features, in_fit, choices)


def _site(optimizer: Any, model: Any) -> Site:
    """The site of an optimizer, without the features that an interrupted `fit` left."""
    site = optimizer.__dict__.get(SITE)
    if site is not None:
        site.detach_stale()
        site = optimizer.__dict__.get(SITE)
    if site is not None and site.optimizer is not optimizer:
        raise ValueError(
            "attach: an optimizer inside another one must be attached through the "
            f"outer one. Received: target={optimizer.name!r}, which is part of "
            f"{site.optimizer.name!r}. Pass the outer optimizer or the model."
        )
    return _new_site(optimizer, model) if site is None else site


def _new_site(optimizer: Any, model: Any) -> Site:
    check_seams("attach", "layers", "optimizers", "saving")
    check_update("attach")
    for leaf in leaf_optimizers(optimizer):
        training.check_supported(leaf, model)
    return _GuardedSite(optimizer, model)


class _GuardedSite(Site):
    """A site that notices when the `fit` that it served has been interrupted."""

    def detach_stale(self) -> None:
        for attachment in list(self.attachments):
            if attachment.stale:
                attachment.detach()

    def _guard(self) -> None:
        super()._guard()
        if self.model is None:
            return
        for name in GUARDED:
            self.replace(self.model, self._guarded(getattr(self.model, name)), name)

    def _guarded(self, method: Any) -> Any:
        @functools.wraps(method)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            self.detach_stale()
            return method(*args, **kwargs)

        return guarded


def attached_features(model: keras.Model) -> list[Any]:
    """The features that are attached to the model's optimizers, in order.

    Args:
        model: `keras.Model`, compiled.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine import Feature, attach
    >>> from keras_deeptools.engine._update.attachment import attached_features
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> with attach(model, Feature()):
    ...     print(len(attached_features(model)))
    1
    """
    attachments = [each for site in _sites(model) for each in site.attachments]
    features = [feature for each in attachments for feature in each.features]
    return list({id(feature): feature for feature in features}.values())


def _sites(model: keras.Model) -> list[Any]:
    found = [vars(each.optimizer).get(SITE) for each in model_optimizers(model)]
    return [site for site in found if site is not None]
