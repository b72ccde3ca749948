"""Training that starts from trained weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from tiny_runs import tiny_experiment

from pixelcnn_jax import InputError, load_pretrained, log_prob, save_pretrained
from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import TrainConfig
from pixelcnn_jax.training.warm_start import trained_params, warm_started


def started(name, experiment):
    """The initial parameters of an experiment that starts from a model."""
    return warm_started(experiment.init(jax.random.key(5)), trained_params(name, experiment), experiment.networks)


def test_parameters_begin_as_those_of_the_model(whole):
    experiment = tiny_experiment()[1]
    params = started(str(whole), experiment)
    jax.tree.map(np.testing.assert_array_equal, params, load_pretrained(whole).variables)
    assert jax.tree.structure(params) == jax.tree.structure(jax.eval_shape(experiment.init, jax.random.key(0)))


def test_a_network_given_a_label_begins_as_one_of_the_same_shape_without(whole):
    experiment = tiny_experiment("class_conditional", data__labels=True)[1]
    before, after = experiment.init(jax.random.key(5)), started(str(whole), experiment)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    flat, trained = (flatten_dict(one, sep=".") for one in (after, load_pretrained(whole).variables))
    for name, x in flat.items():
        np.testing.assert_array_equal(x, trained.get(name, np.zeros_like(x)))
    assert {name.rpartition("_")[2] for name in flat.keys() - trained.keys()} == {"h"}
    image = jnp.zeros((1, 8, 8, 1), jnp.int32)
    given = nll(experiment.networks, after, image, h=jax.nn.one_hot(jnp.zeros(1, jnp.int32), 10))
    model, variables, _ = load_pretrained(whole)
    np.testing.assert_allclose(given, -log_prob(model, variables, image), rtol=1e-5)


def test_only_the_kernels_of_h_and_s_begin_at_zero():
    one = jnp.ones(1)
    params = {"first": {"vertical": {"kernel": one}, "vertical_h": one}, "log_s": one, "enc_s": {"kernel": one}}
    assert warm_started(params, {"first": {"vertical": {"kernel": one}}}, None) == params


def test_a_decoder_begins_as_a_model_without_a_condition(tmp_path, whole):
    experiment = tiny_experiment("autoencoder")[1]
    before = experiment.init(jax.random.key(5))
    after = started(str(whole), experiment)
    trained = load_pretrained(whole).variables["params"]
    assert jax.tree.structure(after) == jax.tree.structure(before)
    decoder = after["decoder"]["params"]
    np.testing.assert_array_equal(decoder["head"]["hidden"]["kernel"], trained["head"]["hidden"]["kernel"])
    same = {
        jax.tree_util.keystr(path)
        for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(after), jax.tree.leaves(before), strict=True)
        if np.array_equal(x, y)
    }
    assert not any(path.startswith("['decoder']") for path in same)
    assert any(path.startswith("['encoder']") for path in same)
    save_pretrained(tmp_path, experiment.networks, before, {"image_spec": ImageSpec(8, 8, 1, 17)})
    with pytest.raises(InputError, match=r"start_from.* is a different network"):
        trained_params(str(tmp_path), tiny_experiment()[1])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model__features": 16}, r"start_from.*\['params'\].*shape.*8.*16"),
        ({"model__code_features": 3}, r"start_from.*\['first'\].*shape.*2,.*4,"),
        ({"model__network": "PixelCNN"}, r"start_from.*\['params'\]"),
    ],
)
def test_a_model_of_another_network_is_refused_by_the_parameter_that_differs(whole, changes, named):
    with pytest.raises(InputError, match=named):
        trained_params(str(whole), tiny_experiment(**changes)[1])


def test_a_part_that_is_left_out_may_differ_unless_nothing_is_left(whole):
    with pytest.raises(InputError, match=r"reinitialise must name parts.*got first, layers, head"):
        trained_params(str(whole), tiny_experiment()[1], without=("first", "layers", "head"))
    params = trained_params(str(whole), tiny_experiment(model__head_features=20)[1], without=("head",))
    assert "first" in params["params"]
    assert "head" not in params["params"]
    with pytest.raises(InputError, match=r"reinitialise must name parts.*got heads"):
        trained_params(str(whole), tiny_experiment()[1], without=("heads",))
    with pytest.raises(InputError, match=r"\['first'\]"):
        trained_params(str(whole), tiny_experiment(model__first_kernel_size=5)[1], without=("head",))
    with pytest.raises(InputError, match=r"reinitialise needs start_from"):
        TrainConfig(reinitialise=("head",))
