"""The documentation: its Python blocks run, and its commands, files and fields exist."""

import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATED = {"api", "models", "config", "commands", "modules", "notebooks"}  # by docs/generate.py
WRITTEN = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in GENERATED]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *WRITTEN]
NETKET_PAGE = ROOT / "docs" / "physics.md"
EXAMPLES = {"my_codes.py", "experiments/lower_half.py", "configs/lower_half.py"}  # written by the reader of a guide
LINK = r"(!?)\[[^][]*\]\(([^)]*)\)"
EXAMPLE_SECTIONS = {"lower_half", "section"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def python_blocks(page, mark=""):
    return re.findall(rf"^```python{mark}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@every_page
def test_a_function_of_the_source_is_defined_where_its_link_leads(page):
    for name, place in re.findall(r"\[`([^`]*)`\]\(https://github.com/[^)]*/blob/main/([^)]*)\)", page.read_text()):
        content = (ROOT / place).read_text()
        assert name in place or re.search(rf"^ *(def|class) {name}\b", content, flags=re.MULTILINE), (name, place)


@pytest.mark.long
@pytest.mark.parametrize("page", [*filter(python_blocks, PAGES[1:])], ids=lambda page: page.stem)  # README: test_readme
def test_python_blocks_run_and_print_what_the_page_says(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_blocks(page)
    shown = re.findall(r"^print\(.*\)  # ((?:[^A-Za-z\n]|True)+)$", page.read_text(), flags=re.MULTILINE)
    assert {*shown} <= {*capsys.readouterr().out.splitlines()}


def run_blocks(page, mark=""):
    namespace = {"__name__": page.stem}
    for block in python_blocks(page, mark):
        exec(compile(block, page.name, "exec"), namespace)


NEEDS_TRAIN = r"\bsklearn|\bload\(|default_config|training\.config"


@every_page
def test_a_page_names_the_extra_that_its_examples_need(page):
    assert "[train]" in page.read_text() or not re.search(NEEDS_TRAIN, "".join(python_blocks(page)))


def test_public_names_are_described_by_topic_and_stand_in_a_guide():
    import pixelcnn_jax

    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    spec.loader.exec_module(generate := importlib.util.module_from_spec(spec))
    guides = "".join(page.read_text() for page in WRITTEN)
    for name in pixelcnn_jax.__all__:
        assert generate.described()[name] == f"pixelcnn_jax.{name}"
        assert f"`{name}`" in guides, name


@every_page
def test_commands_exist(page):
    from pixelcnn_jax.cli.command import main

    text, makefile = page.read_text(), (ROOT / "Makefile").read_text()
    for module in re.findall(r"python -m ((?:experiments|benchmarks)\.\w+)", text):
        assert importlib.util.find_spec(module), module
    for verb in re.findall(r"(?:^|`)pixelcnn (\w+)", text, flags=re.MULTILINE):
        assert verb in main.commands, verb
    for target in re.findall(r"(?:^ *|`)make ([a-z-]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def in_first_round(block):
    """A shell block with the first value of each loop in place of the loop's variable."""
    for name, values in re.findall(r"^ *for (\w+) in (.+); do$", block, flags=re.MULTILINE):
        block = block.replace(f"${name}", shlex.split(values)[0])
    return block


def shell_commands(page):
    """The commands of the shell blocks and of tables, as words, without their comments."""
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in in_first_round(block).splitlines()] + re.findall(
        r"\| `(python [^`]+)` \|", text
    )
    return filter(None, (shlex.split(line, comments=True) for line in lines))


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # absl's loader of configs, on Python 3.12
@every_page
def test_options_of_commands_exist_and_take_their_values(page, monkeypatch):
    from experiments import recipe_of, train
    from pixelcnn_jax.cli.command import main
    from pixelcnn_jax.training.config import parse_config

    monkeypatch.chdir(ROOT)
    for program, *words in shell_commands(page):
        if {"--help", *(f"--config={file}" for file in EXAMPLES)} & {*words}:
            continue
        if program == "pixelcnn":
            # As a part of pixelcnn: a command keeps the names of --help that its first context has.
            parent = main.make_context(program, [*words])
            main.commands[words[0]].make_context(words[0], words[1:], parent=parent)
        elif words[:2] == ["-m", "experiments.train"]:
            monkeypatch.delitem(sys.modules, "config_config", raising=False)
            config = train.parse(words[1:]).config
            parse_config(config, recipe_of(config.experiment).Config)


@every_page
def test_files_exist(page):
    for file in re.findall(r"\b(?:configs|experiments|benchmarks|docs)/[a-z]\w*\.(?:py|md)\b", page.read_text()):
        assert (ROOT / file).exists() or file in EXAMPLES, file


@every_page
def test_fields_exist(page):
    from experiments import default_config

    shared = default_config("unconditional")
    for section, name in re.findall(r"\bconfig\.(\w+)\.(?!update\b)(\w+)", page.read_text()):
        if section not in EXAMPLE_SECTIONS:
            assert name in (shared if section in shared else default_config(section))[section], (
                f"config.{section}.{name}"
            )


@every_page
def test_relative_links_lead_to_files_of_a_checkout(page):
    links = [link for _, link in re.findall(LINK, page.read_text())] + re.findall(r'href="([^"]*)"', page.read_text())
    for link in links:
        assert re.match("https?:|#", link) or (page.parent / link.partition("#")[0]).is_file(), link


def test_no_link_of_readme_is_relative_on_a_package_index():
    with (ROOT / "pyproject.toml").open("rb") as file:
        tool = tomllib.load(file)["tool"]
    text = (ROOT / "README.md").read_text()
    before = re.findall(LINK, text)
    for one in tool["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    owner = "pixelcnn-jax/pixelcnn-jax"
    places = {"!": f"raw.githubusercontent.com/{owner}/main", "": f"github.com/{owner}/blob/main"}
    for (mark, was), (_, link) in zip(before, re.findall(LINK, text), strict=True):
        assert link == (was if was.startswith("https:") else f"https://{places[mark]}/{was}")
        assert was.startswith("https:") or (ROOT / was).is_file(), was


def test_a_package_imports_only_what_is_below_it():
    floors = "foundation|distributions|models|noise likelihood sampling|causality code_model netket|codec|zoo|data"
    floor_of = {name: i for i, names in enumerate(f"{floors}|training|cli".split("|")) for name in names.split()}
    for file in {*(ROOT / "pixelcnn_jax").rglob("*.py")} - {ROOT / "pixelcnn_jax" / "__init__.py"}:
        own = file.relative_to(ROOT / "pixelcnn_jax").parts[0].removesuffix(".py")
        for used in re.findall(r"^ *from pixelcnn_jax\.(\w+)", file.read_text(), re.MULTILINE):
            assert used == own or floor_of[used] < floor_of[own], (file, used)


def test_a_planted_bug_has_one_place_in_the_code():
    for bug in tomllib.loads((ROOT / "tools" / "planted_bugs.toml").read_text())["bug"]:
        assert (ROOT / bug["file"]).read_text().count(bug["old"]) == 1, bug["what"]
