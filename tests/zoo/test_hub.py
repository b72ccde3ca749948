"""Models on the Hub: fetched from a server of the test's own, read offline from a cache, exported and loaded again."""

import hashlib
import http.server
import shutil
import threading

import huggingface_hub.utils
import jax
import numpy as np
import pytest
import yaml

from pixelcnn_jax import InputError, load_pretrained


@pytest.fixture(scope="module")
def exported(tmp_path_factory, pixelcnn):
    """The folder of a published model, as the verb ``export`` writes it."""
    folder = tmp_path_factory.mktemp("hub") / "digits"
    pixelcnn("export", "digits", "--hub", folder)
    return folder


@pytest.fixture
def hub(exported, tmp_path, monkeypatch):
    """The requests to a server that has OWNER/digits, as the Hub answers them; the client's cache is a new folder."""
    asked = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            repository, _, rest = self.path.lstrip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            is_there = (repository, revision in ("main", "v1")) == ("OWNER/digits", True)
            content = (exported / name).read_bytes() if is_there else b""
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
            if not content:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    huggingface_hub.utils.close_session()
    address = f"http://127.0.0.1:{server.server_port}"
    files = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)  # as HF_ENDPOINT sets both
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield asked
    huggingface_hub.utils.close_session()
    server.shutdown()
    server.server_close()
    thread.join()


def assert_is_digits(actual):
    wanted = load_pretrained("digits")
    assert actual.model == wanted.model
    jax.tree.map(np.testing.assert_array_equal, actual.variables, wanted.variables)
    assert actual.card == wanted.card


def test_a_model_whose_saving_was_killed_is_exported_whole(exported, pixelcnn, tmp_path):
    shutil.copytree(exported, tmp_path / "digits")
    (tmp_path / "digits/config.json").rename(tmp_path / "digits/model.json")
    weights = tmp_path / "digits/model.safetensors"
    weights.rename(weights.with_name(f"model.{hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}.safetensors"))
    weights.write_bytes(b"older")
    pixelcnn("export", tmp_path / "digits", "--hub", tmp_path / "new")
    assert load_pretrained(tmp_path / "new").model == load_pretrained(exported).model


def test_the_folder_of_an_export_is_a_model_and_its_page_has_the_scores(exported):
    assert sorted(file.name for file in exported.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert_is_digits(load_pretrained(exported))
    _, metadata, page = (exported / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(metadata)
    assert (facts["library_name"], facts["pipeline_tag"]) == ("pixelcnn-jax", "unconditional-image-generation")
    assert not {"license", "datasets"} & facts.keys()  # the user's to say, and no name that the Hub has
    actual = {one["dataset"]["split"]: one["metrics"][0]["value"] for one in facts["model-index"][0]["results"]}
    scores = load_pretrained("digits").card["scores"]
    assert actual == {split: score["bits_per_dim"] for split, score in scores.items()}
    assert f"| digits test | 447 | {actual['test']:.4f} |" in page


@pytest.mark.parametrize("address", ["hf://OWNER/digits", "hf://OWNER/digits@v1"])
def test_a_model_is_fetched_once_and_read_offline(hub, pixelcnn, monkeypatch, tmp_path, address):
    assert_is_digits(load_pretrained(address))
    assert hub
    hub.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert_is_digits(load_pretrained(address))
    pixelcnn("export", address, "--hub", tmp_path / "again")
    assert "\n# digits\n" in (tmp_path / "again/README.md").read_text()  # not the commit, which names the cached folder
    assert not hub


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("hf://digits", "hf://OWNER/NAME"),
        ("hf://OWNER/../digits", "hf://OWNER/NAME"),
        ("hf://OWNER/other", "hf://OWNER/other cannot be fetched"),
        ("hf://OWNER/digits@v2", "hf://OWNER/digits@v2 cannot be fetched"),
    ],
)
def test_what_is_not_there_is_named(hub, address, named):
    with pytest.raises(InputError, match=named):
        load_pretrained(address)
