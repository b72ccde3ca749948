"""The test vectors of docs/integer_codec.md: files, the integers of the network that wrote them, and the pixels."""

import json
from pathlib import Path

import jax
import numpy as np
import reference_decoder
from proofs import random_images, randomised
from safetensors.numpy import load_file

from pixelcnn_jax import GatedPixelCNN, compress, decompress, load_pretrained, quantise
from pixelcnn_jax.zoo.pretrained import save_pretrained

VECTORS = Path(__file__).parent / "vectors"  # made by make_vectors, and never again
WEIGHTS = VECTORS / "mixture.safetensors"
PAGE = Path(__file__).parents[2] / "docs" / "integer_codec.md"


def make_vectors():
    network = GatedPixelCNN(
        levels=8, features=2, layers=1, first_kernel_size=3, head_features=2, mixture=2, point_masses=True
    )
    several = np.asarray(random_images(network, (7, 3, 4), key=2))
    variables = randomised(network.init(jax.random.key(1), several), scale=0.3)
    save_pretrained(WEIGHTS, *quantise(network, variables, several), image_shape=(2, 2))
    model, variables, _ = load_pretrained(WEIGHTS)
    images = {"2x2": np.array([[[[6], [1]], [[7], [0]]]], np.int32), "groups": several}
    for name, pixels in images.items():
        data = compress(model, variables, pixels, batch_size=3, extra=b"any bytes" if name == "groups" else b"")
        (VECTORS / f"{name}.pcnn").write_bytes(data)
    expected = {name: {"pixels": pixels.tolist()} for name, pixels in images.items()}
    expected["2x2"]["steps"] = steps_of((VECTORS / "2x2.pcnn").read_bytes())
    (VECTORS / "expected.json").write_text(json.dumps(expected, indent=1))


def steps_of(data):
    """Returns the values that the reference decoder reads at each sub-pixel."""
    shape, levels, _, lanes, _, streams = reference_decoder.read_file(data)
    params, steps = reference_decoder.read_params(load_file(WEIGHTS)), []
    reference_decoder.decode_group(params, levels, shape, lanes, streams[0], None, None, steps)
    return steps


def vectors():
    expected = json.loads((VECTORS / "expected.json").read_text())
    return {name: ((VECTORS / f"{name}.pcnn").read_bytes(), one) for name, one in expected.items()}


def test_the_vectors_are_read_and_written():
    model, variables, _ = load_pretrained(WEIGHTS)
    for data, expected in vectors().values():
        np.testing.assert_array_equal(decompress(model, variables, data), expected["pixels"])
    pixels = np.asarray(vectors()["2x2"][1]["pixels"], np.int32)
    assert compress(model, variables, pixels, batch_size=3, verify=False) == vectors()["2x2"][0]


def test_a_decoder_in_numpy_integers_reads_the_vectors():
    for data, expected in vectors().values():
        np.testing.assert_array_equal(reference_decoder.decode(load_file(WEIGHTS), data), expected["pixels"])
    data, expected = vectors()["2x2"]
    assert steps_of(data) == expected["steps"]


def test_the_page_shows_the_example():
    """Every byte, and every step."""
    data, expected = vectors()["2x2"]
    text = PAGE.read_text()
    shown = "".join("".join(line.split("|")[2].split()) for line in text.splitlines() if line.startswith("| `"))
    assert bytes.fromhex(shown) == data
    for step in expected["steps"]:
        numbers = (f"{step['state']:,}", f"{step['slot']:,}", *(f"{x:,}" for x in step["bounds"]), str(step["value"]))
        assert f"| {' | '.join((numbers[0], numbers[1], ' '.join(numbers[2:-1]), numbers[-1]))} |" in text
