"""Where the engine joins an optimizer: the methods it wraps on the instance."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_deeptools.engine._backends.active import tensors, training
from keras_deeptools.engine._keras_private.optimizers import (
    APPLY_GRADIENTS,
    CLIP_GRADIENTS,
    UPDATE_STEP,
    tracked,
)
from keras_deeptools.engine._patching import Replacement
from keras_deeptools.engine._update.checkpoint_notes import (
    Note,
    hold_note,
    release_note,
)
from keras_deeptools.engine._update.feature import sample_size
from keras_deeptools.engine._update.guest_state import leave, take_in
from keras_deeptools.engine._update.leaf import Leaf, leaf_optimizers, optimizer_parts
from keras_deeptools.engine._update.rate_multipliers import hold_seam, release_seam
from keras_deeptools.engine._update.scheduled_hyperparameters import (
    check_free,
    scheduled,
)
from keras_deeptools.engine._update.scheduled_variables import (
    ScheduledVariable,
    join_model,
)
from keras_deeptools.engine._update.target import BuildWatch
from keras_deeptools.engine._update.train_step import (
    delist,
    enlist,
    kept_variables,
    note_functions,
)


@dataclass(eq=False)
class Session:
    """One feature at work on one leaf optimizer."""

    feature: Any
    leaf: Leaf
    state: Any = None
    prepared: bool = False
    hyperparameters: list[Any] = field(default_factory=list)
    variables: list[Any] = field(default_factory=list)


SITE = "_keras_deeptools_site"


class Site:
    """All sessions on one optimizer, and the wrapped methods that serve them.

    It is open once the optimizer is built and its variables have values. Attachments
    that came before then begin at that moment, in their order.
    """

    def __init__(self, optimizer: Any, model: Any) -> None:
        self.optimizer = optimizer
        self.model = model
        self.leaves: list[Leaf] = []
        self.is_built = self.is_open = False
        self.is_steady = True
        self.sessions: list[Session] = []
        self.attachments: list[Any] = []
        self._build = BuildWatch(optimizer, model, self._open)
        self._hidden = False
        self._note = Note("features")
        self.replaced: list[Replacement] = []

    def add(self, feature: Any) -> list[Session]:
        """Starts a feature on every leaf optimizer, or leaves no trace of it."""
        started: list[Session] = []
        try:
            for leaf in self.leaves:
                started.append(Session(feature, leaf))
                self.start(started[-1])
        except BaseException:
            for session in started:
                if session.prepared:
                    feature.release(session.state, session.leaf)
            self.remove(started)
            raise
        return started

    def start(self, session: Session) -> None:
        """Starts a feature on one optimizer."""
        leaf = session.leaf
        known = len(leaf.state)
        owner = type(session.feature).__name__
        self.sessions.append(session)
        try:
            session.state = session.feature.prepare(leaf)
            session.prepared = True
            functions = session.feature.hyperparameters(session.state, leaf)
            for name, function in functions.items():
                check_free(leaf, name, owner)
                item = scheduled(leaf, name, function, owner)
                item.overrules = session.feature.overrules
                session.hyperparameters.append(item)
                leaf.scheduled[name] = item
            pairs = session.feature.model_variables(session.state, leaf)
            for name, (variable, function) in pairs.items():
                check_free(leaf, name, owner)
                item = ScheduledVariable(leaf, name, variable, function)
                session.hyperparameters.append(item)
                leaf.scheduled[name] = item
                join_model(self, item)
            if self.model is not None:
                own = self.model.train_step
                if step := session.feature.train_step(session.state, leaf, own):
                    self.replace(self.model, step, "train_step")
        finally:
            session.variables = leaf.state[known:]

    def remove(self, sessions: list[Session]) -> None:
        """Ends sessions; the last one out restores the optimizer."""
        for session in reversed(sessions):
            if session not in self.sessions:
                continue
            for item in reversed(session.hyperparameters):
                # After a step that failed on JAX the variables' memory is gone, for
                # Keras too; the methods must be given back all the same.
                session.leaf.scheduled.pop(item.name, None)
                with contextlib.suppress(RuntimeError, TypeError):
                    item.detach()
            session.leaf.drop_state(session.variables)
            self.sessions.remove(session)
        if not self.attachments:
            self._uninstall()

    # Who is attached

    def hold(self, attachment: Any) -> None:
        """Takes an attachment in, which begins when the site is open."""
        if not self.attachments:
            self._guard()
        self.attachments.append(attachment)
        if self.is_open:
            attachment.begin(self)
        elif self.is_built:
            self._open()
        else:
            self._build.start()

    def _open(self, late: bool = False) -> None:
        """Joins the optimizer, which is built, and begins what waited for it."""
        self._build.end()
        built = [o for o in leaf_optimizers(self.optimizer) if o.built]
        for optimizer in built:
            training.check_supported(optimizer, self.model)
        self.leaves = [
            Leaf(o, self.model, self.optimizer, kept_variables(self.model, o))
            for o in built
        ]
        self.is_open = True
        waiting = list(self.attachments)
        try:
            self._find_hosts()
            self._install()
            for attachment in waiting:
                attachment.begin(self, late)
        except BaseException:
            for attachment in reversed(waiting):
                attachment.detach()
            raise

    def _find_hosts(self) -> None:
        """Settles whose variables the features' state rides with through the step."""
        main = getattr(self.model, "optimizer", None)
        host = tensors.host(self.optimizer, self.model, leaf_optimizers(main))
        if host is None:
            self.replace(self.optimizer, self._checked(self.optimizer.stateless_apply))
            return
        guests = take_in(self.model)
        for leaf in self.leaves:
            leaf.host, leaf.guests = host, guests
        apply = guests.lent(self.optimizer, self.leaves)
        self.replace(self.optimizer, apply, "stateless_apply")
        self.replace(self.model, guests.threaded(self.model.train_step), "train_step")

    def _checked(self, apply: Callable) -> Callable:
        """The `stateless_apply` of the optimizer, which needs the state of features."""

        @functools.wraps(apply)
        def stateless_apply(
            optimizer_variables: Any, grads: Any, trainable_variables: Any
        ) -> Any:
            added = sum(len(leaf.state) for leaf in self.leaves)
            all_there = len(self.optimizer.variables)
            if added and len(optimizer_variables) == all_there - added:
                raise ValueError(
                    "attach: the optimizer's state must be read after attaching, which "
                    f"adds to it. Received: {len(optimizer_variables)} values "
                    f"for {all_there} variables of {self.optimizer.name!r}. Write "
                    "`optimizer_state = [v.value for v in optimizer.variables]` inside "
                    "of `with attach(...):`, or after `on_train_begin()`."
                )
            return apply(optimizer_variables, grads, trainable_variables)

        return stateless_apply

    def _guard(self) -> None:
        """Watches for the end of the `fit` that this serves."""
        enlist(self)
        self.optimizer.__dict__[SITE] = self

    # The compiled step

    def _of(self, leaf: Leaf) -> list[Session]:
        return [session for session in self.sessions if session.leaf is leaf]

    def _wrap_leaf(self, leaf: Leaf) -> None:
        optimizer = leaf.optimizer
        apply_gradients = getattr(optimizer, APPLY_GRADIENTS)
        clip_gradients = getattr(optimizer, CLIP_GRADIENTS)
        update_step = getattr(optimizer, UPDATE_STEP)

        def apply_and_serve(grads: Any, trainable_variables: Any) -> None:
            note_functions(leaf.root)
            leaf.enter(trainable_variables)
            entered: list[Any] = []
            try:
                with training.after(grads), leaf.at_home():
                    for session in self._of(leaf):
                        for item in session.hyperparameters:
                            entered.append(item)
                            item.enter()
                    apply_gradients(grads, trainable_variables)
            finally:
                for item in reversed(entered):
                    item.exit()

        def clip_and_serve(grads: Any) -> Any:
            grads = list(grads)
            for s in self._of(leaf):
                s.feature.observe_gradients(s.state, leaf, grads)
            for s in self._of(leaf):
                grads = s.feature.transform_gradients(s.state, leaf, grads)
            return clip_gradients(grads)

        def update_and_serve(
            grads: Any, trainable_variables: Any, learning_rate: Any
        ) -> None:
            sessions = self._of(leaf)
            wanting = [s for s in sessions if s.feature.wants_updates(s.state, leaf)]
            changing = [s for s in sessions if s.feature.changes_updates]
            limit = sample_size([s.feature for s in wanting + changing])
            if wanting or changing:
                leaf.snapshot = tensors.snapshot(leaf.active, leaf.snapshot, limit)
            update_step(grads, trainable_variables, learning_rate)
            for s in changing:
                before = list(leaf.snapshot or ())
                s.feature.transform_updates(s.state, leaf, before, list(grads))
            if wanting:
                norms = tensors.update_norms(leaf.active, leaf.snapshot, limit)
                for s in wanting:
                    s.feature.observe_updates(s.state, leaf, *norms)
            for s in sessions:
                s.feature.project_weights(s.state, leaf)
            for s in sessions:
                s.feature.observe_weights(s.state, leaf)

        update = training.on_each_replica(optimizer, apply_and_serve)
        served = training.uncompiled(update, self.model)
        self.replace(optimizer, served, APPLY_GRADIENTS)
        self.replace(optimizer, clip_and_serve, CLIP_GRADIENTS)
        self.replace(optimizer, update_and_serve, UPDATE_STEP)

    # Files and configurations

    @contextlib.contextmanager
    def hidden(self, loading: bool = False) -> Iterator[None]:
        """Shows the optimizer as it is without what is attached."""
        if self._hidden:
            yield
            return
        items = [item for s in self.sessions for item in s.hyperparameters]
        for item in items:
            item.hide()
        hosts = {id(leaf.host): leaf.host for leaf in self.leaves}.values()
        complete = [(host, list(tracked(host))) for host in hosts]
        ours = {id(variable) for leaf in self.leaves for variable in leaf.state}
        for host, variables in complete:
            if ours & {id(variable) for variable in variables}:
                tracked(host)[:] = [v for v in variables if id(v) not in ours]
        self._hidden = True
        try:
            yield
        finally:
            self._hidden = False
            for host, variables in complete:
                if len(tracked(host)) != len(variables):
                    tracked(host)[:] = variables
            for item in items:
                item.show(reloaded=loading)

    def _wrap_files(self, optimizer: Any) -> None:
        # What is noted in files lies beneath, and may come and go meanwhile.
        hold_note(optimizer, self._note)
        originals = {
            name: getattr(optimizer, name)
            for name in ("get_config", "save_own_variables", "load_own_variables")
        }

        def get_config() -> dict[str, Any]:
            with self._settled().hidden():
                return originals["get_config"]()

        def save_own_variables(store: Any) -> None:
            with self._settled().hidden():
                originals["save_own_variables"](store)

        def load_own_variables(store: Any) -> None:
            with self._settled().hidden(loading=True):
                originals["load_own_variables"](store)

        self.replace(optimizer, get_config)
        self.replace(optimizer, save_own_variables)
        self.replace(optimizer, load_own_variables)

    def _settled(self) -> "Site":
        """Detaches first what an interrupted `fit` left behind."""
        self.detach_stale()
        return self

    def detach_stale(self) -> None:
        """Ends what belongs to a `fit` that no longer runs."""

    # Wrapping and unwrapping

    def join(self, leaf: Leaf) -> None:
        """Takes in an optimizer that was built after the others."""
        self.leaves.append(leaf)
        self._enter(leaf)
        self._wrap_files(leaf.optimizer)

    def _enter(self, leaf: Leaf) -> None:
        hold_seam(leaf.optimizer, self)
        self._wrap_leaf(leaf)
        leaf.optimizer.__dict__[SITE] = self

    def _install(self) -> None:
        for leaf in self.leaves:
            self._enter(leaf)
        holders = {
            id(o): o for leaf in self.leaves for o in (leaf.optimizer, leaf.host)
        }
        holders[id(self.optimizer)] = self.optimizer
        for optimizer in holders.values():
            self._wrap_files(optimizer)
        for scaler in optimizer_parts(self.optimizer):
            if isinstance(scaler, keras.optimizers.LossScaleOptimizer):
                leaf = self.leaves[0]
                leaf.skipped = leaf.add_state("skipped_updates", dtype="int32")
                methods = training.count_skipped(scaler, leaf.skipped)
                for name, method in methods.items():
                    self.replace(scaler, method, name)

    def _uninstall(self) -> None:
        self._build.end()
        for replacement in reversed(self.replaced):
            replacement.undo()
        self.replaced.clear()
        for leaf in self.leaves:
            if leaf.skipped is not None:
                leaf.drop_state([leaf.skipped])
                leaf.skipped = None
            leaf.snapshot = None
            leaf.optimizer.__dict__.pop(SITE, None)
            release_note(leaf.optimizer, self._note)
            release_note(leaf.host, self._note)
            release_seam(leaf.optimizer, self)
        leave(self.model)
        self.is_open = False
        delist(self)
        self.optimizer.__dict__.pop(SITE, None)
        release_note(self.optimizer, self._note)

    def replace(self, holder: Any, method: Any, name: str | None = None) -> None:
        """Replaces a method for as long as something is attached.

        Args:
            holder: Object whose method it is.
            method: Function, called in its place.
            name: Str; None takes that of `method`.
        """
        name = name or method.__name__
        self.replaced.append(Replacement(holder, name, method))
