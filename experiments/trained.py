"""What a run of one of the experiments has trained, ready to use."""

import importlib
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from configs import base
from experiments.network import make_network
from pixelcnn_jax import GatedPixelCNN, InputError
from pixelcnn_jax.data.dataset import Images, no_images
from pixelcnn_jax.data.views import as_they_are, fold
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.pretrained import pretrained_names, read_card
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.loop import Experiment, Splits, read_result


class Run(NamedTuple):
    """A run of an experiment, without its data.

    Attributes:
      config: its config.
      splits: what its images are like; they hold none (test is None).
      experiment: its three functions.
      params: its best parameters.
    """

    config: ConfigDict
    splits: Splits
    experiment: Experiment
    params: Params


class Trained(NamedTuple):
    """A model of p(x) that was trained.

    Attributes:
      model: the network.
      variables: its best parameters.
      shape: height, width and channels of the images that it learned.
      config: that of the run.
    """

    model: Network
    variables: dict[str, Any]
    shape: tuple[int, int, int]
    config: ConfigDict


def read_config(workdir: Path | str) -> tuple[ConfigDict, Splits]:
    """The config of a run, and splits like its own that hold no images. Raises InputError for a folder of no run."""
    try:
        config = config_from(json.loads((Path(workdir) / "config.json").read_text()))
        height, width, channels = map(int, config.images.shape)
        like = no_images((height, width, channels), levels=config.images.levels, classes=config.images.classes)
        module_of(config)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError, ImportError) as error:
        raise InputError(f"{workdir} is not the workdir of a run: it has no config.json that can be read.") from error
    return config, Splits(like, like)


def config_from(fields: dict[str, Any]) -> ConfigDict:
    """A config that was kept as JSON; fields that are younger than it have their usual values.

    Raises TypeError, AttributeError or ValueError for a field of another type than configs/base.py has it.
    """
    config = base.get_config()
    with config.unlocked():
        config.update(ConfigDict(fields))
    return config


def files_hold_levels(config: ConfigDict) -> bool:
    """Whether an image file of a run's kind holds levels as they are: so do those of a folder that nothing reduces."""
    return config.dataset == "folder" and config.bits is None and config.binarize == "none"


def module_of(config: ConfigDict) -> ModuleType:
    """The experiment that a config is of."""
    return importlib.import_module(f"experiments.{config.experiment}")


def check_experiment(workdir: Path | str, config: ConfigDict, experiments: Sequence[str]) -> None:
    """Raises InputError for a run of none of the experiments named."""
    if config.experiment not in experiments:
        wanted = " or ".join(experiments)
        raise InputError(f"{workdir} is a run of experiments.{config.experiment}, but one of {wanted} is needed.")


def restore(workdir: Path | str, *experiments: str) -> Run:
    """The best parameters so far of a run of one of the experiments named, or of any.

    Raises InputError for a folder that is no workdir, one of another experiment, or where no validation is finished.
    """
    config, splits = read_config(workdir)
    if experiments:
        check_experiment(workdir, config, experiments)
    if not (Path(workdir) / "best").is_dir():  # a checkpointer would make it
        raise InputError(f"{workdir} holds no parameters: no validation of that run is finished.")
    module = module_of(config)
    if not hasattr(module, "make_experiment"):
        raise InputError(
            f"{workdir} is a run of experiments.{config.experiment}, whose networks are not taken further."
        )
    experiment = module.make_experiment(config, splits)
    with closing(Checkpoints(workdir)) as checkpoints:
        params = checkpoints.restore_best(jax.jit(experiment.init)(jax.random.key(0)))
    return Run(config, splits, experiment, params)


def load(workdir: Path | str, *, label: int | None = None) -> Trained:
    """The model p(x) of a run of experiments.unconditional, or p(x|y) of a class-conditional one for one label y.

    What h was, a label or the view that ``augment`` gives, is folded into the biases.
    Raises InputError for what ``restore`` does not find, for a label that is missing, or given where none is, and for
    any h but a GatedPixelCNN's: the others have no biases that it would fold into.
    """
    config, splits, _, params = restore(workdir, "unconditional", "class_conditional")
    shape, classes = splits.train.shape, splits.train.classes or 0
    model = make_network(config, levels=splits.train.levels, channels=shape[-1])
    if config.experiment == "class_conditional":
        if config.map_features:
            raise InputError(
                f"{workdir} is of a run with map_features: what a label is there does not fold into biases."
            )
        if label is None or not 0 <= label < classes:
            raise InputError(f"{workdir} is of a class-conditional run: give a label, 0 to {classes - 1}.")
        return Trained(model, folded(workdir, model, params, jax.nn.one_hot(label, classes)), shape, config)
    if label is not None:
        raise InputError(f"{workdir} is of an unconditional run: leave the label out.")
    if config.augment:
        params = folded(workdir, model, params, as_they_are(1, *shape[:2])[0])
    return Trained(model, params, shape, config)


def folded(workdir: Path | str, model: Network, variables: Params, h: Float[Array, " condition"]) -> Params:
    """The variables of a model that knows h already. Raises InputError for any network but a GatedPixelCNN."""
    if not isinstance(model, GatedPixelCNN):
        raise InputError(
            f"{workdir} is of a {type(model).__name__} that is told h, a label or a view: only into the biases of a "
            "GatedPixelCNN does it fold."
        )
    return variables | {"params": fold(variables["params"], h)}


def nats_of_run(workdir: Path | str, mine: ConfigDict, images: Images, *experiments: str) -> float:
    """Mean nats of a split by a finished run of one of the experiments named, to stand beside a run of config ``mine``.

    The weights that come with the package are runs too, by their name. Raises InputError for a run of another
    experiment, or one that has not scored the same images.
    """
    if str(workdir) in pretrained_names():
        card = read_card(str(workdir))[1]
        config, scores = config_from(card["config"]), card["scores"]
    else:
        config, scores = read_config(workdir)[0], (read_result(workdir) or {"scores": {}})["scores"]
    check_experiment(workdir, config, experiments)
    # Of a folder a description has the name alone.
    same = "folder" not in (config.dataset, mine.dataset) or _folder(config) == _folder(mine)
    for score in scores.values() if same else ():
        if score["data"] == images.description and score["images"] == len(images) and "nats" in score:
            return float(score["nats"])
    raise InputError(f"{workdir} has not scored the {len(images)} images of {images.description}.")


def _folder(config: ConfigDict) -> Path | None:
    return None if config.data_dir is None else Path(config.data_dir).expanduser().resolve()
