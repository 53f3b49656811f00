"""The optimizers that a model has, and those that its train step uses."""

import types

import keras
import pytest

from keras_deeptools.engine._update.model_optimizers import (
    chosen_optimizers,
    log_prefix,
    model_optimizers,
    used_optimizers,
)

Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD


def names(found):
    return [each.name for each in found]


class Pair(keras.Model):
    """Holds two networks; its step is told by a subclass."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        self.critic = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


class Gan(Pair):
    def compile(self, g_optimizer, d_optimizer, **options):
        super().compile(**options)
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer

    def train_step(self, *arguments):
        self.d_optimizer.apply([], self.critic.trainable_variables)
        return self.update_generator()

    def update_generator(self):
        self.g_optimizer.apply([], self.generator.trainable_variables)
        return {}


@pytest.fixture
def gan():
    model = Gan()
    model.compile(Adam(name="first"), SGD())
    return model


def test_attributes_are_found_beside_the_optimizer_of_compile(gan):
    assert names(model_optimizers(gan)) == ["optimizer", "g_optimizer", "d_optimizer"]


def test_containers_of_any_depth_are_found():
    model = Pair()
    model.pair = (Adam(), [SGD()])
    model.by_name = {"g": Adam(), "inner": {"d": SGD()}}
    model._hidden = SGD()
    model.settings = types.SimpleNamespace(late=Adam())
    model.critic.compile(SGD(), "mse")
    assert names(model_optimizers(model)) == [
        "pair[0]",
        "pair[1][0]",
        "by_name['g']",
        "by_name['inner']['d']",
        "settings.late",
        "_hidden",
        "critic.optimizer",
    ]


class Ahead(SGD):
    """An optimizer of the user's that leaves the work to another one."""

    def __init__(self, worker):
        super().__init__(0.1)
        self.worker = worker


def test_what_an_optimizer_of_the_users_holds_is_found():
    model = Pair()
    model.compile(Ahead(Adam()), "mse")
    assert names(model_optimizers(model)) == ["optimizer", "optimizer.worker"]


def test_an_optimizer_inside_another_is_called_like_the_outer_one():
    inner = Adam()
    model = Pair()
    model.mine = inner
    model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
    [found] = model_optimizers(model)
    assert found.optimizer is model.optimizer
    assert set(found.names) == {"optimizer", "mine"}
    assert chosen_optimizers(model, "mine")[0].optimizer is model.optimizer


def test_one_optimizer_under_two_names_is_found_once():
    model, shared = Gan(), Adam()
    model.compile(shared, shared, optimizer=shared)
    [found] = model_optimizers(model)
    assert found.names == ("g_optimizer", "d_optimizer", "optimizer")


def test_a_model_with_keras_own_step_uses_the_optimizer_of_compile():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.later = Adam()
    assert names(used_optimizers(model)) == ["optimizer"]


def test_the_step_and_the_methods_it_calls_tell_what_is_used(gan):
    assert names(used_optimizers(gan)) == ["g_optimizer", "d_optimizer"]


class Containers(Pair):
    def train_step(self, *arguments):
        for name, optimizer in self.optimizers.items():
            optimizer.apply([name])


class Closure(Pair):
    def train_step(self, *arguments):
        def update():
            self.g_optimizer.apply([])

        return update()


class Inherited(Pair):
    def train_step(self, *arguments):
        logs = super().train_step(*arguments)
        return logs | {"rate": 1.0}


class Trainer:
    def __init__(self):
        self.optimizer = Adam()

    def step(self):
        self.optimizer.apply([])


class Delegating(Pair):
    def train_step(self, *arguments):
        self.trainer.step()


class OfSubmodels(Pair):
    def train_step(self, *arguments):
        self.critic.optimizer.apply([])


class Through(Pair):
    @property
    def generators(self):
        return self.g_optimizer

    def train_step(self, *arguments):
        self.generators.apply([])


class Computed(Pair):
    def train_step(self, *arguments):
        getattr(self, "g" + "_optimizer").apply([])


@pytest.mark.parametrize(
    ("cls", "used"),
    [
        (Containers, ["optimizers['g']", "optimizers['d']"]),
        (Closure, ["g_optimizer"]),
        (Inherited, ["optimizer"]),
        (Delegating, ["trainer.optimizer"]),
        (OfSubmodels, ["critic.optimizer"]),
        (Through, ["g_optimizer"]),
        (Computed, ["optimizer"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_used_is_told_from_the_code_of_a_step(cls, used):
    model = cls()
    model.compile()
    if cls is Containers:
        model.optimizers = {"g": Adam(), "d": SGD()}
    else:
        model.g_optimizer, model.trainer = Adam(), Trainer()
        model.critic.compile(SGD(), "mse")
    assert names(used_optimizers(model)) == used


def test_a_compiled_model_inside_is_not_used_by_its_outer_model():
    # A teacher, an encoder: what it was trained with stays in it.
    model = Gan()
    model.critic.compile("sgd", "mse")
    model.compile(Adam(), SGD())
    assert names(used_optimizers(model)) == ["g_optimizer", "d_optimizer"]
    assert names(chosen_optimizers(model, "all")) == ["g_optimizer", "d_optimizer"]


def test_optimizers_are_chosen_by_name_by_object_and_by_list(gan):
    g, d = gan.g_optimizer, gan.d_optimizer

    def chosen(choice):
        return [each.optimizer for each in chosen_optimizers(gan, choice)]

    assert chosen("g_optimizer") == chosen("first") == chosen(g) == [g]
    assert chosen(["d_optimizer", g]) == [d, g]
    assert chosen(None) == chosen("all") == [g, d]
    assert chosen("optimizer") == [gan.optimizer]


def test_elements_and_whole_containers_can_be_named():
    model = Pair()
    model.optimizers = [Adam(), SGD()]
    model.named = {"g": Adam()}
    for name in ("optimizers[0]", "optimizers[1]", "named['g']"):
        assert names(chosen_optimizers(model, name)) == [name]
    chosen = chosen_optimizers(model, "optimizers")
    assert names(chosen) == ["optimizers[0]", "optimizers[1]"]


def test_an_unknown_name_is_refused_with_those_that_there_are(gan):
    with pytest.raises(ValueError, match=r"'G'.*`g_optimizer` and `d_optimizer`"):
        chosen_optimizers(gan, "G")


@pytest.mark.parametrize("choice", [3, ["g_optimizer", None], []])
def test_what_is_no_choice_is_refused(gan, choice):
    with pytest.raises((TypeError, ValueError), match="`optimizer` must be the name"):
        chosen_optimizers(gan, choice)


def test_a_model_without_any_is_refused():
    with pytest.raises(ValueError, match="must be compiled"):
        chosen_optimizers(Pair(), None)


def test_a_name_begins_log_entries_without_brackets():
    model = Pair()
    model.named = {"g": Adam()}
    assert [log_prefix(found) for found in model_optimizers(model)] == ["named_g_"]
