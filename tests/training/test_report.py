"""The page of a run: it says what the files say, needs no network, and a browser shows all of it."""

import base64
import html
import io
import json
import re
import shlex
import shutil

import numpy as np
import PIL.Image
import pytest

from experiments.next_commands import next_commands
from pixelcnn_jax.foundation.files import read_json, write_json
from pixelcnn_jax.training.report import report_html, write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def embedded(page):
    """The pictures of a page, in order."""
    actual = re.findall(r'<img[^>]*src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(one)))) for one in actual]


def test_the_page_holds_scores_facts_and_pictures_and_asks_for_nothing_else(whole):
    result = json.loads((whole / "result.json").read_text())
    page = report_html(whole, next_commands, result)
    assert (whole / "report.html").stat().st_mtime_ns <= (whole / "result.json").stat().st_mtime_ns  # a kill between
    for finished in (page, (whole / "report.html").read_text()):
        assert "12 of 12 steps, finished" in finished
    for score in result["scores"].values():
        assert f"{score['bits_per_dim']:.4f}" in page
        assert f"{score['nats']:.2f}" in page
    assert f"{result['parameters']:,}" in page
    assert "<td>GatedPixelCNN (levels 17, channels 1, features " in page
    assert page.count('"step":') == 3  # validations after steps 4, 8 and 12
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import", page)
    curve, samples, best = embedded(page)
    assert curve.shape[0] > 300
    for actual, name in ((samples, "samples_0000012.png"), (best, "samples.png")):
        np.testing.assert_array_equal(actual, np.asarray(PIL.Image.open(whole / name)))
    assert f"Samples. Drawn with the parameters of step {result['best_step']}," in page
    assert "Move the slider" in page


def test_the_page_of_a_run_that_a_command_began_holds_the_command(whole, tmp_path):
    config = read_json(whole / "config.json")
    assert "experiments.train" not in report_html(whole, next_commands, {})  # it was begun by a test
    write_json(tmp_path / "config.json", config | {"command": "python -m experiments.train '--config=a b.py'"})
    assert "python -m experiments.train &#39;--config=a b.py&#39;" in report_html(tmp_path, next_commands, {})


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ({"data_dir": None}, ["evaluate", "{}"]),
        ({"data_dir": "my images"}, ["evaluate", "{}", "--data-dir=my images"]),
        ({"test_split": ""}, ["evaluate", "{}", "--split=validation"]),
    ],
)
def test_the_commands_of_the_page_are_as_a_shell_takes_them(whole, tmp_path, data, wanted):
    workdir = tmp_path / "a run"
    shutil.copytree(whole, workdir)
    config = read_json(whole / "config.json")
    config["config"]["data"] |= data
    write_json(workdir / "config.json", config)
    printed = re.findall("<code>(.*?)</code>", report_html(workdir, next_commands, {}))
    words = [shlex.split(html.unescape(line))[3:] for line in printed]
    assert [word.format(workdir) for word in wanted] in words
    assert ["sample", str(workdir), "-o", str(workdir / "grid.png")] in words


def test_a_run_without_a_validation_yet_and_one_that_is_not_finished_have_pages(whole, tmp_path):
    shutil.copy(whole / "config.json", tmp_path)
    write_report(tmp_path, next_commands, {})
    assert "0 of 12 steps; reload" in (tmp_path / "report.html").read_text()
    for name in ("model.json", "metrics.jsonl", "samples_0000004.png"):
        shutil.copy(whole / name, tmp_path)
    assert "this run, step" in report_html(tmp_path, next_commands, {})


@pytest.mark.parametrize("damage", [lambda content: content[:-40], lambda content: b"", lambda content: b"[" * 10**5])
def test_a_damaged_card_is_left_out_of_the_page(whole, tmp_path, damage):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    before = report_html(tmp_path, next_commands, {})
    (tmp_path / "model.json").write_bytes(damage((whole / "model.json").read_bytes()))
    assert report_html(tmp_path, next_commands, {}) != before


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium")
def test_a_browser_shows_the_page_at_two_widths_without_an_error(whole, tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "report.html").write_text(report_html(whole, next_commands, {}))
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=BROWSER) as browser:
        for width in (360, 1200):  # of a phone and of a desktop
            page, told = browser.new_page(viewport={"width": width, "height": 640}), []
            page.on("console", lambda message, told=told: told.append(message.text))
            page.on("pageerror", lambda error, told=told: told.append(error))
            page.goto((tmp_path / "report.html").as_uri())
            last = page.get_attribute("#samples", "src")
            page.fill("input", "0")
            assert page.get_attribute("#samples", "src") != last
            assert page.inner_text("output") == "step 4"
            assert page.evaluate("Math.min(...[...document.images].map(one => one.naturalWidth))") > 0
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            cut = "[...document.querySelectorAll('pre, section')].filter(x => x.scrollWidth > x.clientWidth)"
            assert page.evaluate(cut) == []
            assert told == []
