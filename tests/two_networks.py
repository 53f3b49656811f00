"""A model with two networks, each trained by an optimizer of its own, on each backend.

On JAX a step is handed all variables and returns them; there are several ways to do it
with optimizers of one's own:

- "scope": all that is variable in a `StatelessScope`, and code as on other backends,
- "tracked": `stateless_apply`, with the optimizers' variables as the model's own,
- "handed": `stateless_apply`, with `_get_jax_state` and `jax_state_sync` of one's own.
"""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype("float32")
LEFT = np.array([[0.5], [0.1], [-0.3]], "float32")
RIGHT = np.array([[-1.0], [0.2], [0.7]], "float32")


class TwoNetworks(keras.Model):
    """Learns the same from the same data twice, with two optimizers."""

    def __init__(self, left_optimizer, right_optimizer, right_updates=1, way="scope"):
        super().__init__(name="two")
        self.left = network("left", LEFT)
        self.right = network("right", RIGHT)
        self.right_updates, self.way = right_updates, way
        self.tracker = keras.metrics.Mean(name="error")
        self.built = True
        self.compile()
        self.left_optimizer, self.right_optimizer = left_optimizer, right_optimizer
        if BACKEND == "jax":
            left_optimizer.build(self.left.trainable_variables)
            right_optimizer.build(self.right.trainable_variables)
            if way != "handed":
                self.states = [*left_optimizer.variables, *right_optimizer.variables]

    def updates(self):
        yield self.left, self.left_optimizer
        for _ in range(self.right_updates):
            yield self.right, self.right_optimizer

    def train_step(self, *arguments):
        if BACKEND == "jax":
            return jax_step(self, *arguments)
        x, y = map(ops.convert_to_tensor, arguments[0][:2])
        for part, optimizer in self.updates():
            loss, gradients = gradients_of(self, part, x, y)
            optimizer.apply(gradients, part.trainable_variables)
        self.tracker.update_state(loss)
        return {"error": self.tracker.result()}

    # What only JAX asks for

    def _get_jax_state(self, purge_model_variables=False, **parts):
        if self.way != "handed":
            return super()._get_jax_state(
                purge_model_variables=purge_model_variables, **parts
            )
        held = self.handed()
        state = [[v.value for v in held[name]] for name in held if parts.get(name)]
        return tuple(state)

    def jax_state_sync(self):
        if self.way != "handed":
            return super().jax_state_sync()
        if getattr(self, "_jax_state", None) and not self._jax_state_synced:
            for name, variables in self.handed().items():
                values = self._jax_state.get(name) or []
                for variable, value in zip(variables, values, strict=False):
                    variable.assign(value)
            self._jax_state_synced = True

    def handed(self):
        own = [*self.left_optimizer.variables, *self.right_optimizer.variables]
        return {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
            "optimizer_variables": own,
            "metrics_variables": self.metrics_variables,
        }


def network(name, kernel):
    layer = keras.layers.Dense(1, use_bias=False, name=f"{name}_dense")
    part = keras.Sequential([keras.Input((3,)), layer], name=name)
    part.set_weights([kernel])
    return part


def gradients_of(model, part, x, y):
    variables = part.trainable_variables
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(part(x) - y))
        return loss, tape.gradient(loss, variables)
    if BACKEND == "torch":
        import torch

        loss = ops.mean(ops.square(part(x) - y))
        gradients = torch.autograd.grad(loss, [v.value for v in variables])
        return loss.detach(), gradients
    import jax

    def loss_of(values):
        scores, _ = part.stateless_call(values, [], x)
        return ops.mean(ops.square(scores - y))

    return jax.value_and_grad(loss_of)([v.value for v in variables])


def jax_step(model, state, data):
    x, y = data[:2]
    if model.way == "scope":
        held = [
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        ]
        pairs = [
            p
            for vs, values in zip(held, state, strict=True)
            for p in zip(vs, values, strict=True)
        ]
        with keras.StatelessScope(pairs) as scope:
            for part, optimizer in model.updates():
                loss, gradients = gradients_of(model, part, x, y)
                optimizer.apply(gradients, part.trainable_variables)
            model.tracker.update_state(loss)
            logs = {"error": model.tracker.result()}
        return logs, tuple([scope.get_current_value(v) for v in vs] for vs in held)
    names = ["trainable", "non_trainable", "optimizer", "metrics"]
    if model.way == "handed":
        held = list(model.handed().values())
    else:
        held = [getattr(model, f"{name}_variables", None) for name in names]
        held[2] = model.optimizer.variables
    values = {
        id(v): value
        for variables, given in zip(held, state, strict=True)
        for v, value in zip(variables, given, strict=True)
    }
    for part, optimizer in model.updates():
        if model.way == "handed":
            own = optimizer.variables
        else:
            # As they were when the model was made.
            now = {id(v) for v in optimizer.variables}
            own = [v for v in model.states if id(v) in now]
        trained = part.trainable_variables
        with keras.StatelessScope([(v, values[id(v)]) for v in trained]):
            loss, gradients = gradients_of(model, part, x, y)
        gradients = [optimizer_scaled(optimizer, own, values, g) for g in gradients]
        new, states = optimizer.stateless_apply(
            [values[id(v)] for v in own], gradients, [values[id(v)] for v in trained]
        )
        values |= {id(v): value for v, value in zip(trained, new, strict=True)}
        values |= {id(v): value for v, value in zip(own, states, strict=True)}
    metric = [values[id(v)] for v in model.tracker.variables]
    metric = model.tracker.stateless_update_state(metric, loss)
    values |= dict(zip(map(id, model.tracker.variables), metric, strict=True))
    logs = {"error": model.tracker.stateless_result(metric)}
    return logs, tuple([values[id(v)] for v in variables] for variables in held)


def optimizer_scaled(optimizer, own, values, gradient):
    """What the gradient of the scaled loss would have been."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return gradient
    with keras.StatelessScope([(v, values[id(v)]) for v in own]):
        return gradient * ops.convert_to_tensor(optimizer.dynamic_scale)


def fit(model, *callbacks, epochs=2, **options):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0} | options
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)


def kernels(model):
    return [part.get_weights()[0] for part in (model.left, model.right)]


def trajectory(kernel, rates, transform=lambda g: g, updates_per_batch=1, batches=4):
    """All weights of gradient descent in numpy, the first ones included."""
    weights, found = kernel.astype("float64"), [kernel]
    for step, rate in enumerate(rates):
        rows = slice(4 * (step // updates_per_batch % batches), None)
        x, y = X[rows][:4].astype("float64"), Y[rows][:4]
        gradient = 2 / len(x) * x.T @ (x @ weights - y)
        weights = weights - rate * transform(gradient)
        found.append(weights)
    return found
