"""Models by URL: fetched once from a server of the test's own, and refused where the hash differs."""

import functools
import hashlib
import http.client
import http.server
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixelcnn_jax import GatedPixelCNN, InputError, load_pretrained
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.pretrained import save_pretrained


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The folder of a model, the address at which it is served, and the function that ends the server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model, folder = GatedPixelCNN(levels=3, features=8, layers=1), tmp_path / "served"
    folder.mkdir()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1), jnp.int32))
    save_pretrained(folder / "small.safetensors", model, variables, {"image_spec": ImageSpec(4, 4, 1, 3)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def stop():
        server.shutdown()
        server.server_close()
        thread.join()

    yield folder, f"http://127.0.0.1:{server.server_port}", stop
    if thread.is_alive():
        stop()


def digest(folder):
    return hashlib.sha256((folder / "small.safetensors").read_bytes()).hexdigest()


def test_a_model_is_fetched_once(served):
    folder, address, stop = served
    url = f"{address}/small.safetensors#sha256={digest(folder)}"
    fetched = load_pretrained(url)
    stop()
    for found in (fetched, load_pretrained(url)):
        jax.tree.map(
            np.testing.assert_array_equal, found.variables, load_pretrained(folder / "small.safetensors").variables
        )


def test_other_content_is_refused_and_not_kept(served, tmp_path):
    folder, address, _ = served
    wrong = "0" * 64
    with pytest.raises(InputError, match=f"{wrong}.*{digest(folder)}"):
        load_pretrained(f"{address}/small.safetensors#sha256={wrong}")
    assert not (tmp_path / "cache").exists()


def test_a_damaged_card_is_refused_and_not_kept(served):
    folder, address, _ = served
    url, card = f"{address}/small.safetensors#sha256={digest(folder)}", (folder / "small.json").read_text()
    (folder / "small.json").write_text(card.replace('"levels": 3', '"levels": 4', 1))
    with pytest.raises(InputError, match="checksum"):
        load_pretrained(url)
    (folder / "small.json").write_text(card)
    assert load_pretrained(url).card["image_spec"].levels == 3


@pytest.mark.parametrize(
    "end", ["/small.safetensors", "/small.safetensors#sha256=ab", "/small.json#sha256=" + "0" * 64]
)
def test_a_url_without_a_hash_of_weights_is_refused(served, end):
    with pytest.raises(InputError, match="sha256"):
        load_pretrained(served[1] + end)


@pytest.mark.parametrize("address", ["http://[x", "http://127.0.0.1:1/a b", "http://127.0.0.1:1/ä"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InputError, match=r"URL|cannot be fetched"):
        load_pretrained(f"{address}/none.safetensors#sha256={'0' * 64}")


def test_a_connection_that_is_cut_is_named(served, monkeypatch):
    def cut(self, *sizes):
        raise http.client.IncompleteRead(b"")

    monkeypatch.setattr(http.client.HTTPResponse, "read", cut)
    with pytest.raises(InputError, match=r"small\.safetensors cannot be fetched"):
        load_pretrained(f"{served[1]}/small.safetensors#sha256={'0' * 64}")


def test_an_address_that_cannot_be_read_is_named(served):
    with pytest.raises(InputError, match=r"none\.safetensors cannot be fetched"):
        load_pretrained(f"{served[1]}/none.safetensors#sha256={'0' * 64}")
