"""What others' optimizers make of one small problem, for the tests to compare with.

Prints a JSON object: library -> optimizer -> weights after `NUM_UPDATES` updates, all
in double precision. The tests keep it as `tests/optimizers/references.json`:

    pip install optax pytorch_optimizer
    python benchmarks/optimizer_references.py > tests/optimizers/references.json

Two are left out because they differ from their authors' code: Adan of optax 0.2.8
weights differences with `1 - b2` where the authors have `b2` of the same decay, and
ADOPT of pytorch_optimizer 4.1.0 limits its second update as the authors do the third.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

NUM_UPDATES = 50
NUM_WEIGHTS = 16
RATE = 0.02
START = np.cos(np.arange(1.0, NUM_WEIGHTS + 1))
SQUARE = (4, 4)
"""The shape of the weights for optimizers that look at matrices."""
SCALES = np.geomspace(0.01, 10.0, NUM_WEIGHTS)


def gradient(weights: np.ndarray, update: int) -> np.ndarray:
    """Of a quadratic bowl, with a disturbance that differs from update to update.

    Args:
        weights: Array of `NUM_WEIGHTS` floats.
        update: Int, 0 for the first.
    """
    places = np.arange(1.0, NUM_WEIGHTS + 1)
    return SCALES * (weights - 0.5) + 0.3 * np.sin(places * (update + 1))


def trained_by_torch(
    make: Callable[[list[Any]], Any], shape: tuple[int, ...] = (NUM_WEIGHTS,)
) -> list[float]:
    """The weights after training with an optimizer for torch."""
    import torch

    start = torch.tensor(START, dtype=torch.float64)
    weights = torch.nn.Parameter(start.reshape(shape))
    optimizer = make([weights])
    for update in range(NUM_UPDATES):
        values = gradient(weights.detach().numpy().ravel(), update)
        weights.grad = torch.tensor(values, dtype=torch.float64).reshape(shape)
        optimizer.step()
    return weights.ravel().tolist()


def trained_by_optax(optimizer: Any, is_lookahead: bool = False) -> list[float]:
    """The weights after training with an optimizer of optax."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_enable_x64", True)
    weights = jnp.asarray(START, "float64")
    if is_lookahead:
        weights = optax.LookaheadParams.init_synced(weights)
    state = optimizer.init(weights)
    for update in range(NUM_UPDATES):
        fast = weights.fast if is_lookahead else weights
        change = jnp.asarray(gradient(np.asarray(fast), update))
        changes, state = optimizer.update(change, state, weights)
        weights = optax.apply_updates(weights, changes)
    return np.asarray(weights.fast if is_lookahead else weights).tolist()


def torch_references() -> dict[str, dict[str, list[float]]]:
    """What torch's own optimizers and those of pytorch_optimizer lead to."""
    import pytorch_optimizer as of
    import torch

    def lookahead(weights: list[Any]) -> Any:
        inner = torch.optim.SGD(weights, lr=RATE, momentum=0.9)
        return of.Lookahead(inner, k=6, alpha=0.5)

    ours = {
        "AdaBelief": lambda w: of.AdaBelief(w, lr=RATE),
        "Adan": lambda w: of.Adan(w, lr=RATE),
        "AdEMAMix": lambda w: of.AdEMAMix(w, lr=RATE),
        "AdEMAMix warmup": lambda w: of.AdEMAMix(w, lr=RATE, t_alpha_beta3=50),
        "Lookahead": lookahead,
        "Prodigy": lambda w: of.Prodigy(w, lr=1.0, d0=0.1),
        "Prodigy corrected": lambda w: of.Prodigy(
            w, lr=1.0, d0=0.1, bias_correction=True
        ),
    }
    return {
        "torch": {
            "RectifiedAdam": trained_by_torch(lambda w: torch.optim.RAdam(w, lr=RATE))
        },
        "pytorch_optimizer": {n: trained_by_torch(make) for n, make in ours.items()}
        | {
            "SOAP": trained_by_torch(
                lambda w: of.SOAP(w, lr=RATE / 2, weight_decay=0), SQUARE
            )
        },
    }


def optax_references() -> dict[str, dict[str, list[float]]]:
    """What the optimizers of optax lead to."""
    import optax
    from optax import contrib

    inner = optax.sgd(RATE, momentum=0.9)
    found = {
        "RectifiedAdam": trained_by_optax(optax.radam(RATE)),
        "AdaBelief": trained_by_optax(optax.adabelief(RATE)),
        "ADOPT": trained_by_optax(contrib.adopt(RATE)),
        "AdEMAMix": trained_by_optax(contrib.ademamix(RATE)),
        "Lookahead": trained_by_optax(optax.lookahead(inner, 6, 0.5), True),
        "Prodigy corrected": trained_by_optax(contrib.prodigy(1.0, estim_lr0=0.1)),
    }
    return {"optax": found}


if __name__ == "__main__":
    found = torch_references() | optax_references()
    rounded = {
        library: {name: np.round(w, 9).tolist() for name, w in each.items()}
        for library, each in found.items()
    }
    print(json.dumps(rounded, indent=1))
