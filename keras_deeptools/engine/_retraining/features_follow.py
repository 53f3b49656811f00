"""Keeping features attached while the optimizer is built for other variables."""

from typing import Any

from keras_deeptools.engine._backends.active import training
from keras_deeptools.engine._state.snapshot import Structure
from keras_deeptools.engine._update.leaf import Leaf, leaf_optimizers
from keras_deeptools.engine._update.optimizer_hooks import SITE, Session, Site
from keras_deeptools.engine._update.train_step import is_fitting


def site_of(optimizer: Any) -> Site | None:
    """What is attached to an optimizer, after taking off what is left over."""
    site = vars(optimizer).get(SITE) if optimizer is not None else None
    if site is not None:
        site.detach_stale()
        site = vars(optimizer).get(SITE)
    return site


def site_structures(site: Site) -> list[Structure]:
    """The structure of all that `take_out` and `bring_back` change."""
    items = [item for session in site.sessions for item in session.hyperparameters]
    features = [session.feature for session in site.sessions]
    owners = [site, *site.attachments, *site.leaves, *site.sessions, *items, *features]
    return [Structure(each) for each in {id(each): each for each in owners}.values()]


def take_out(site: Site) -> None:
    """Takes the features' variables out of the optimizer, so that it can be rebuilt."""
    for session in site.sessions:
        for item in session.hyperparameters:
            item.withdraw()
    for leaf in site.leaves:
        for variable in leaf.state:
            training.untrack(leaf.optimizer, variable)


def bring_back(site: Site) -> None:
    """Brings them back, and lets every feature follow to the variables there are now.

    What a part of a MultiOptimizer starts to train, which trained nothing before, is
    joined by every feature.
    """
    site.is_steady = False
    for leaf in site.leaves:
        for variable in leaf.state:
            training.track(leaf.optimizer, variable)
        leaf.follow()
    for session in list(site.sessions):
        _follow(session, site.model)
    known = {id(leaf.optimizer) for leaf in site.leaves}
    for optimizer in leaf_optimizers(site.optimizer):
        if optimizer.built and id(optimizer) not in known:
            leaf = Leaf(optimizer, site.model, root=site.optimizer)
            site.join(leaf)
            for attachment in site.attachments:
                attachment.extend(leaf)


def _follow(session: Session, model: Any) -> None:
    leaf = session.leaf
    before = {id(variable) for variable in leaf.state}
    for item in session.hyperparameters:
        item.follow()
    if not session.feature.follows:
        name = type(session.feature).__name__
        when = "during this `fit`" if is_fitting(model) else "now"
        raise ValueError(
            f"{name}: what is attached to an optimizer must be able to follow when "
            f"layers are frozen or unfrozen. Received: {name} attached {when}, which "
            "prepares state for the variables and has no `follow`. Detach it first, or "
            "give it that method."
        )
    session.state = session.feature.follow(session.state, leaf)
    kept = {id(variable) for variable in leaf.state}
    new = [variable for variable in leaf.state if id(variable) not in before]
    session.variables = [v for v in session.variables if id(v) in kept] + new
