"""The page of the documentation, in Chromium: it draws, completes, decodes and refuses."""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference_decoder
from integer_models import PREDICTION, make_integer, one_hot
from safetensors.numpy import load_file
from sklearn.datasets import load_sample_image
from test_coding import GOLDEN, golden_images
from test_vectors import VECTORS, WEIGHTS, vectors

from pixelcnn_jax import compress, load_pretrained
from pixelcnn_jax.zoo.pretrained import save_pretrained

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "browser.md").read_text()
PUBLISHED = ROOT / "pixelcnn_jax" / "weights"
FLAGS = ["--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-quic", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def address():
    """Serves the checkout as the guide prints it, but at a free port; the address of the page."""
    words = shlex.split(re.search(r"^python (.*http.server) 8000$", GUIDE, flags=re.MULTILINE)[1])
    command = [sys.executable, "-u", *words, "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        port = re.search(r"port (\d+)", server.stdout.readline())[1]
        yield re.search(r"http://localhost:8000/\S+\.html", GUIDE)[0].replace("8000", port)
        server.terminate()


@pytest.fixture(scope="module")
def page(address):
    from playwright.sync_api import sync_playwright

    if not (chromium := shutil.which("chromium")):
        pytest.skip("no chromium on the PATH")
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium, args=FLAGS).new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(error))
        page.set_default_timeout(300_000)
        page.goto(address)
        yield page
        assert not errors


def run(page, file, body, options):
    """Evaluates JavaScript for each of the options ``o``, with the model of a file."""
    page.unroute_all()
    page.route("**/model.*", lambda route: route.fulfill(path=file.with_suffix("." + route.request.url.split(".")[-1])))
    load = f"const {{ load }} = await import('{page.url.replace('.html', '.js')}');"
    load += "const model = await load('/model.safetensors'), all = [];"
    return page.evaluate(
        f"async (options) => {{ {load} for (const o of options) all.push({body}); return all; }}", options
    )


def check_draws(page, file, h=None, rows=0, components=0, temperature=1):
    """Ten images, of which the first rows are given."""
    spec = json.loads(file.with_suffix(".json").read_text())["image_spec"]
    levels, shape = spec["levels"], (10, spec["height"], spec["width"], spec["channels"])
    given = np.random.default_rng(0).integers(levels, size=shape)
    given[:, rows:] = -1
    expected = reference_decoder.draw(load_file(file), levels, shape, range(10), h, given, temperature, components)
    options = [
        {"seed": seed, "given": [None if v < 0 else v for v in x.tolist()], "temperature": temperature}
        | ({} if h is None else {"label": int(h[seed].argmax())})
        for seed, x in enumerate(given.reshape(10, -1))
    ]
    drawn = run(page, file, "[...await model.sample(o)]", options)
    np.testing.assert_array_equal(np.reshape(drawn, shape), expected)


def test_draws_the_pixels_of_the_reference_and_completes_at_a_temperature(page):
    check_draws(page, PUBLISHED / "mnist_classes_integer.safetensors", np.eye(10, dtype=int))
    check_draws(page, PUBLISHED / "digits_integer.safetensors", rows=4, temperature=0.7)


def test_draws_by_a_linear_prediction(page, tmp_path):
    _, model, variables = make_integer(PREDICTION, 3)
    save_pretrained(tmp_path, model, variables, image_shape=(5, 4))
    file, h = tmp_path / "model.safetensors", one_hot(10, 3).astype(int)
    check_draws(page, file, h, components=model.mixture, temperature=1.3)


def files():
    for data, expected in vectors().values():
        yield WEIGHTS, data, np.asarray(expected["pixels"]), None
    images, h = golden_images()
    yield GOLDEN / "model.safetensors", (GOLDEN / "images.pcnn").read_bytes(), images, h.argmax(1).tolist()
    photo = load_sample_image("china.jpg")[::2, ::2]
    images = np.stack([photo[32 * i : 32 * i + 32, 64:96] for i in range(4)]).astype(np.int32)
    data = compress(*load_pretrained("cifar10_integer")[:2], images, verify=False)
    yield PUBLISHED / "cifar10_integer.safetensors", data, images, None


def test_decodes_and_computes_conditionals(page):
    body = "(await model.decode(Uint8Array.from(o[0]), o[1])).images.map((x) => [...x])"
    for file, data, images, labels in files():
        (decoded,) = run(page, file, body, [[[*data], labels]])
        np.testing.assert_array_equal(np.reshape(decoded, images.shape), images)
    (probabilities,) = run(page, WEIGHTS, "await model.conditionals(o, { width: 2 })", [[6, 1]])
    assert probabilities == (np.diff(vectors()["2x2"][1]["steps"][2]["bounds"]) / 2**20).tolist()


def test_the_page_draws_and_completes(page):
    page.wait_for_selector("#status b")
    page.click("#clear")
    assert not page.inner_text("#status")  # bits of the image that was there
    box = page.locator("canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + box["height"] / 6, steps=9)
    page.mouse.up()
    page.wait_for_selector("#status:not(:has(b))")
    page.wait_for_selector("#status b")
    script = "[...document.querySelector('canvas').getContext('2d').getImageData(0, 0, 28, 28).data]"
    colours = np.reshape(page.evaluate(script), (28, 28, 4))
    assert (colours[..., 3] == 255).all()
    assert (colours[:9, :, 0] == 255).all()
    assert (colours[10:14, 14, 0] == 0).all()
    for option in page.locator("option").all():
        file = PUBLISHED / f"{option.get_attribute('value')}.safetensors"
        assert f"{file.stat().st_size / 1e6:.1f} MB" in option.inner_text()


def test_asks_for_the_digit_of_a_file(page):
    model, variables, _ = load_pretrained("mnist_classes_integer")
    images = np.random.default_rng(0).integers(2, size=(2, 6, 6, 1)).astype(np.int32)
    data = compress(model, variables, images, h=np.eye(10)[[5, 5]], verify=False)
    page.check("[name=digit][value='4']")
    page.set_input_files("#choose", {"name": "x.pcnn", "mimeType": "", "buffer": data})
    for digit, sentence in (4, "damaged.* with the digit 4; try another"), (5, "with the digit 5 in [0-9.]+ s"):
        page.click(f"#file button:text-is('{digit}')")
        page.wait_for_selector(f"#file:text-matches('{sentence}')")


def test_says_that_it_cannot_be_opened_as_a_file(page):
    opened = page.context.browser.new_page()
    opened.goto((ROOT / "docs" / "_static" / "pixelcnn.html").as_uri())
    assert "python -m http.server 8000" in opened.inner_text("#status")
    opened.close()


def bad_files(count):
    """Damaged, foreign and oversized files; most have a valid checksum."""
    generator, good = np.random.default_rng(0), (ROOT / "docs" / "_static" / "digits.pcnn").read_bytes()

    def sealed(data):
        return data[:-8] + hashlib.sha256(data[:-8]).digest()[:8]

    yield from (b"", good[:50], good[:-1], good + b"\0", (ROOT / "README.md").read_bytes(), bytes(2**20))
    yield (VECTORS / "2x2.pcnn").read_bytes()
    for at, number in (34, 2**31), (42, 2**31), (46, 2**20), (58, 0), (58, 2**31), (62, 0), (66, 16), (70, 2**32 - 1):
        yield sealed(good[:at] + number.to_bytes(4, "little") + good[at + 4 :])
    for _ in range(count - 15):
        at = generator.integers(len(good) - 8)
        yield sealed(good[:at] + bytes([good[at] ^ 1 << generator.integers(8)]) + good[at + 1 :])


def test_refuses(page):
    for data in bad_files(20):
        page.evaluate("document.querySelector('#file').textContent = ''")  # what it said of the file before
        page.set_input_files("#choose", {"name": "x.pcnn", "mimeType": "", "buffer": data})
        page.wait_for_selector("#file:text-matches('[.]$')")
        assert re.match("This file|This is not", page.inner_text("#file")), page.inner_text("#file")
