"""The trainers of fastai and Lightning, silent, for a torch net and batches."""

import logging
import tempfile
import time
import warnings
from typing import Any

from peer_nets import torch_optimizer
from peer_packages import module

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
    net: Any, loader: Any, optimizer: str | None = None, rate: float = 1e-3
) -> Any:
    """A silent fastai `Learner` without validation.

    Args:
        net: Torch module.
        loader: fastai `DataLoader`.
        optimizer: Str for torch's optimizer in fastai's wrapper; None: fastai's Adam.
        rate: Float, learning rate.
    """
    import torch

    learner, data = module("fastai.learner"), module("fastai.data.core")
    kwargs: dict[str, Any] = {}
    if optimizer is not None:
        wrapper = module("fastai.optimizer").OptimWrapper

        def wrapped(parameters: Any, lr: float) -> Any:
            return wrapper(opt=torch_optimizer(list(parameters), optimizer, lr))

        kwargs = {"opt_func": wrapped, "lr": rate}

    class NoValidation(learner.Callback):
        order = -300

        def before_validate(self) -> None:
            raise module("fastai.callback.core").CancelValidException

    learn = learner.Learner(
        data.DataLoaders(loader, loader, path=FOLDER, device="cpu"),
        net,
        loss_func=torch.nn.CrossEntropyLoss(),
        cbs=[NoValidation()],
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

    class Steps(learner.Callback):
        order = -250

        def before_train(self) -> None:
            watch.begun = time.perf_counter()

        def after_train(self) -> None:
            watch.ended = time.perf_counter()

    class Epoch(learner.Callback):
        order = 250

        def after_epoch(self) -> None:
            watch.over = time.perf_counter()

    return [Steps(), Epoch()], watch


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

    class Wrapped(module("lightning").LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.learning_rate = rate

        def training_step(self, batch: Any, index: int) -> Any:
            x, y = batch
            return torch.nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> Any:
            chosen = torch_optimizer(self.parameters(), optimizer, self.learning_rate)
            if not total_steps:
                return chosen
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                chosen, rate, total_steps=total_steps
            )
            scheduler = {"scheduler": schedule, "interval": "step"}
            return {"optimizer": chosen, "lr_scheduler": scheduler}

    return Wrapped()


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

    class Steps(callback):
        def on_train_epoch_start(self, *args: Any) -> None:
            watch.begun = time.perf_counter()

        def on_train_epoch_end(self, *args: Any) -> None:
            watch.ended = time.perf_counter()

    class Epoch(callback):
        def on_train_epoch_end(self, *args: Any) -> None:
            watch.over = time.perf_counter()

    return Steps(), Epoch(), watch
