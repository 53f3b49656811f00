"""The trainers of fastai and Lightning, silent, for a torch net and batches."""

import logging
import tempfile
import time
import warnings
from typing import Any

from peer_nets import torch_optimizer
from peer_packages import module, subclass

FOLDER = tempfile.mkdtemp(prefix="peers-")
"""Where they write what they cannot do without writing."""


class Stopwatch:
    """When the steps of an epoch began and ended, and when the epoch was over."""

    begun = ended = over = 0.0

    @property
    def seconds(self) -> tuple[float, float]:
        """Of the steps, and of what comes after them."""
        return self.ended - self.begun, self.over - self.ended


def fastai_learner(
    net: Any,
    loader: Any,
    optimizer: str | None = None,
    rate: float = 1e-3,
    validated: bool = False,
) -> Any:
    """A silent fastai `Learner`.

    Args:
        net: Torch module.
        loader: fastai `DataLoader`.
        optimizer: Str for torch's optimizer in fastai's wrapper; None: fastai's Adam.
        rate: Float, learning rate.
        validated: Bool, whether it may validate, and predict.
    """
    import torch

    learner, data = module("fastai.learner"), module("fastai.data.core")
    kwargs: dict[str, Any] = {}
    if optimizer is not None:
        wrapper = module("fastai.optimizer").OptimWrapper

        def wrapped(parameters: Any, lr: float) -> Any:
            return wrapper(opt=torch_optimizer(list(parameters), optimizer, lr))

        kwargs = {"opt_func": wrapped, "lr": rate}

    def before_validate(self: Any) -> None:
        raise module("fastai.callback.core").CancelValidException

    no_validation = subclass(
        learner.Callback, order=-300, before_validate=before_validate
    )
    learn = learner.Learner(
        data.DataLoaders(loader, loader, path=FOLDER, device="cpu"),
        net,
        loss_func=torch.nn.CrossEntropyLoss(),
        cbs=None if validated else [no_validation()],
        path=FOLDER,
        **kwargs,
    )
    learn.remove_cbs(
        [one for one in learn.cbs if type(one).__name__ == "ProgressCallback"]
    )
    learn.logger = lambda *_: None
    return learn


def fastai_stopwatch() -> tuple[list[Any], Stopwatch]:
    """Callbacks of fastai that tell the time, and what they tell."""
    learner, watch = module("fastai.learner"), Stopwatch()

    def begin(self: Any) -> None:
        watch.begun = time.perf_counter()

    def end(self: Any) -> None:
        watch.ended = time.perf_counter()

    def finish(self: Any) -> None:
        watch.over = time.perf_counter()

    base = learner.Callback
    steps = subclass(base, order=-250, before_train=begin, after_train=end)
    epoch = subclass(base, order=250, after_epoch=finish)
    return [steps(), epoch()], watch


def lightning_module(
    net: Any, optimizer: str = "adam", rate: float = 1e-3, total_steps: int = 0
) -> Any:
    """A `LightningModule` around a net.

    Args:
        net: Torch module.
        optimizer: `"adam"` or `"sgd"`.
        rate: Float, learning rate.
        total_steps: Int; if it is not 0, `OneCycleLR` moves the rate at every step.
    """
    import torch

    def training_step(self: Any, batch: Any, index: int) -> Any:
        x, y = batch
        return torch.nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self: Any) -> Any:
        chosen = torch_optimizer(self.parameters(), optimizer, self.learning_rate)
        if not total_steps:
            return chosen
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            chosen, rate, total_steps=total_steps
        )
        scheduler = {"scheduler": schedule, "interval": "step"}
        return {"optimizer": chosen, "lr_scheduler": scheduler}

    wrapped = subclass(
        module("lightning").LightningModule,
        training_step=training_step,
        configure_optimizers=configure_optimizers,
    )()
    wrapped.net, wrapped.learning_rate = net, rate
    return wrapped


def lightning_trainer(callbacks: list | None = None, **kwargs: Any) -> Any:
    """A silent Lightning `Trainer` for one epoch on the CPU."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    defaults = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar"), False
    )
    return module("lightning").Trainer(
        accelerator="cpu",
        callbacks=callbacks,
        default_root_dir=FOLDER,
        **{"max_epochs": 1, "enable_model_summary": False, **defaults, **kwargs},
    )


def lightning_stopwatch() -> tuple[Any, Any, Stopwatch]:
    """A first and a last callback of Lightning that tell the time, and what."""
    callback, watch = module("lightning").Callback, Stopwatch()

    def begin(self: Any, *args: Any) -> None:
        watch.begun = time.perf_counter()

    def end(self: Any, *args: Any) -> None:
        watch.ended = time.perf_counter()

    def finish(self: Any, *args: Any) -> None:
        watch.over = time.perf_counter()

    steps = subclass(callback, on_train_epoch_start=begin, on_train_epoch_end=end)
    epoch = subclass(callback, on_train_epoch_end=finish)
    return steps(), epoch(), watch
