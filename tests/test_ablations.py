"""Networks without a part: the rest is as it was, what is left out shows, and each is causal."""

import json
from functools import cache

import jax
import numpy as np
import pytest
from proofs import assert_causal, dependence, random_images, randomised, receptive_field

from configs import digits_ablations
from experiments import ablations
from experiments.ablated import AblatedPixelCNN
from pixelcnn_jax import GatedPixelCNN, log_prob
from pixelcnn_jax.data.dataset import no_images
from pixelcnn_jax.training.loop import Experiment, Splits

strict = pytest.mark.usefixtures("strict_dtypes")
ml_collections_reads_files_as_before = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

SIZES = {"levels": 3, "features": 16, "layers": 3, "first_kernel_size": 3, "head_features": 24}


@cache
def build(channels=1, **parts):
    model = AblatedPixelCNN(channels=channels, **SIZES, **parts)
    return model, randomised(model.init(jax.random.key(0), random_images(model, (1, 5, 6))), scale=0.1)


@strict
def test_the_whole_is_the_gated_pixelcnn():
    model, variables = build(channels=3)
    images = random_images(model, (2, 5, 6))
    expected = jax.jit(GatedPixelCNN(channels=3, **SIZES).apply)(variables, images)
    np.testing.assert_allclose(jax.jit(model.apply)(variables, images), expected, atol=1e-5)


@strict
@pytest.mark.parametrize("name", ["relu", "one stack", "vertical residual"])
def test_without_a_part_it_is_causal_and_another_network(name):
    parts = ablations.VARIANTS[name]
    model, variables = build(channels=2, **parts)
    assert_causal(model, variables, (3, 4))
    if name == "vertical residual":  # the same parameters
        whole, _ = build(channels=2)
        images = random_images(model, (2, 5, 6))
        assert abs(log_prob(model, variables, images) - log_prob(whole, variables, images)).max() > 1e-3


@strict
def test_one_stack_has_the_blind_spot_and_two_have_none():
    shape = (5, 6)
    whole = receptive_field(GatedPixelCNN(**SIZES), shape)
    one, two = (dependence(*build(two_stacks=stacks), shape) for stacks in (False, True))
    assert (two >= whole).all()
    assert (one <= whole).all()
    of_the_middle = one.reshape(*shape, *shape)[2, 2]
    assert not of_the_middle[1, 5]  # to the right, above: no step of one row goes further than one column
    assert two.reshape(*shape, *shape)[2, 2][1, 5]


@strict
def test_another_order_is_the_same_network_of_other_colours():
    order, images = (2, 0, 1), jax.random.randint(jax.random.key(0), (2, 1, 4, 5, 3), 0, 9)
    plain = Experiment(lambda key: {}, lambda params, batch, key: batch["image"], lambda params, key: images)
    turned = ablations.reordered(plain, order)
    seen = turned.loss({}, {"image": images}, None)
    np.testing.assert_array_equal(seen, images[..., np.array(order)])
    np.testing.assert_array_equal(turned.sample({}, jax.random.key(0))[..., np.array(order)], images)


def small_config(tmp_path, text=""):
    file = tmp_path / "small.py"
    file.write_text(
        "from configs import digits_ablations\n\n\ndef get_config():\n"
        "    config = digits_ablations.get_config()\n"
        "    config.steps, config.eval_every, config.batch_size, config.seeds = 2, 2, 16, 2\n"
        "    config.model.features, config.model.layers, config.variants = 12, 1, ('whole',)\n"
        f"    {text}\n"
        "    return config\n"
    )
    return ["ablations", f"--config={file}", f"--workdir={tmp_path / 'runs'}"]


@ml_collections_reads_files_as_before
def test_the_command_trains_each_and_tells_their_spread(tmp_path, capsys):
    line = small_config(tmp_path)
    ablations.main(line)
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = first["variants"].values()
    assert len(set(row["each"])) == 2
    assert row["spread"] > 0
    ablations.main(line)  # all is trained: it only tells
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == first


@pytest.mark.parametrize("name", ablations.VARIANTS)
def test_variants_have_as_many_parameters(name):
    config, like = digits_ablations.get_config(), no_images((8, 8, 3), levels=17, classes=None)
    whole, part = (ablations.variant(config, of, Splits(like, like)) for of in ("whole", name))
    assert whole.features == 32
    made = jax.eval_shape(part.init, jax.random.key(0), random_images(part, (1, 2, 2)))
    assert ablations.count(part) == sum(x.size for x in jax.tree.leaves(made))
    np.testing.assert_allclose(ablations.count(part), ablations.count(whole), rtol=0.05)


@ml_collections_reads_files_as_before
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("config.variants = ('relu',)", "variants must be whole"),
        ("config.variants = ('whole', 'blue first')", "needs three channels, not 1"),
        ("config.seeds = 1", "at least two seeds"),
        ("config.augment = 0.5", "without augment"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, text, told):
    with pytest.raises(SystemExit, match=told):
        ablations.main(small_config(tmp_path, text))
