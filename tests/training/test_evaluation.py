"""Values of a whole split: every image once and in order, however it is cut into batches, parts and processes."""

import jax.numpy as jnp
import numpy as np
import pytest

from pixelcnn_jax import InputError
from pixelcnn_jax.data.batches import evaluation_batches
from pixelcnn_jax.data.dataset import from_array
from pixelcnn_jax.training.evaluation import make_evaluator, score


def numbered(count):
    return from_array(np.arange(count).reshape(count, 1, 1, 1), levels=count)


def value(params, batch):
    return params * batch["image"][:, 0, 0, 0].astype(jnp.float32)


@pytest.mark.parametrize(("batch_size", "microbatch_size"), [(8, None), (5, None), (16, 8), (6, 3), (48, 3), (48, 24)])
@pytest.mark.parametrize("count", [7, 48, 50])
def test_every_image_is_counted_once_and_in_order(count, batch_size, microbatch_size):
    evaluate = make_evaluator(value, batch_size=batch_size, microbatch_size=microbatch_size)
    actual = evaluate(jnp.float32(2), numbered(count))
    np.testing.assert_array_equal(actual, 2 * np.arange(count))


def test_values_may_be_vectors():
    def both(params, batch):
        return jnp.stack([value(params, batch), -value(params, batch)], axis=1)

    actual = make_evaluator(both, batch_size=16, microbatch_size=8)(jnp.float32(1), numbered(20))
    np.testing.assert_array_equal(actual, np.stack([np.arange(20), -np.arange(20)], axis=1))


def test_a_score_is_the_mean_in_nats_and_in_bits_per_dim():
    actual = score(np.arange(7, dtype=np.float32), numbered(7))
    assert (actual["images"], actual["nats"], actual["data"]) == (7, 3.0, "array")
    np.testing.assert_allclose(actual["bits_per_dim"], 3.0 / np.log(2))


def test_a_loss_that_is_no_likelihood_has_its_own_measure():
    actual = score(np.arange(7, dtype=np.float32), numbered(7), measure="triplet_loss")
    assert actual == {"data": "array", "images": 7, "triplet_loss": 3.0}


def test_processes_share_the_batches():
    few = numbered(9)
    whole = list(evaluation_batches(few, batch_size=6))
    shares = [list(evaluation_batches(few, batch_size=6, process_index=i, process_count=3)) for i in range(3)]
    for name in ("image", "mask"):
        for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), batch[name])
    assert sum(batch["mask"].sum() for batch in whole) == 9
    with pytest.raises(InputError, match="batch_size"):
        list(evaluation_batches(few, batch_size=6, process_count=4))
