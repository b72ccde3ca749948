"""The commands that use the model of a run, as its report and the end of its training print them."""

import json
import re
import shlex
from pathlib import Path

from pixelcnn_jax.foundation.files import interpreter, try_read_json
from pixelcnn_jax.zoo.model_card import GIVEN_LABEL, UNCONDITIONAL
from pixelcnn_jax.zoo.pretrained import name_of
from pixelcnn_jax.zoo.registry import MODULES


def next_commands(workdir: Path) -> list[str]:
    """Lists commands that use the model of a run, to be typed in a shell; for a class of your own, a line of Python."""
    run, card = (try_read_json(workdir / name) for name in ("config.json", "model.json"))
    python, commands = interpreter(), list[str]()
    data, network = run["config"]["data"], card.get("networks", {})
    is_own = not {*re.findall('"class": "([^"]*)"', json.dumps(network))} <= MODULES.keys()
    is_one = "class" in network or {"prior", "tokenizer"} <= network.keys()
    if is_one and not is_own and card.get("density") in (UNCONDITIONAL, GIVEN_LABEL):
        split = [] if data["test_split"] else ["--split=validation"]
        where = [f"--data-dir={data['data_dir']}"] if data["data_dir"] else []
        pixelcnn = [python, "-m", "pixelcnn_jax.cli"]
        commands.append(shlex.join([*pixelcnn, "sample", name_of(workdir), "-o", str(workdir / "grid.png")]))
        commands.append(shlex.join([*pixelcnn, "evaluate", name_of(workdir), *split, *where]))
    folder = json.dumps(name_of(workdir))
    if is_own:
        fields = ", ".join(f"{key}={x!r}" for key, x in network.items() if key != "class")
        model = f"{network['class']}({fields})" if "class" in network else "..."
        commands.append(f"# in Python: pixelcnn_jax.load_pretrained({folder}, model={model})")
    else:
        code = f"import pixelcnn_jax; print(pixelcnn_jax.load_pretrained({folder}).model)"
        commands.append(shlex.join([python, "-c", code]))
    if (workdir / "tensorboard").is_dir():
        commands.append(shlex.join([python, "-m", "tensorboard.main", f"--logdir={workdir}"]))
    return commands
