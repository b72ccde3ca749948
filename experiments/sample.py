"""The picture of a run's experiment, drawn anew from its best parameters: samples, reconstructions, interpolations.

python -m experiments.sample --workdir=runs/digits --output=samples.png [--seed=1] [--rows=4] [--columns=8]

Where the picture shows real images, the data set is read; for the others it is not needed.
"""

import argparse
from functools import partial
from typing import Any

import jax

from experiments import cli, trained
from pixelcnn_jax import InputError
from pixelcnn_jax.data.dataset import NoImagesError
from pixelcnn_jax.data.image_files import save_grid


def main(argv: list[str] | None = None) -> None:
    """Draws a picture; prints a summary as JSON."""
    parser = argparse.ArgumentParser("python -m experiments.sample", description=__doc__, formatter_class=cli.AsWritten)
    parser.add_argument("--workdir", type=cli.a_path, required=True, help="where the model was trained")
    parser.add_argument("--output", type=cli.a_path, required=True, help="PNG to write; must be new")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--rows", type=int, help="of the picture; as in training if not given")
    parser.add_argument("--columns", type=int, help="of the picture; as in training if not given")
    parser.add_argument("--data_dir", help="where the data set lies now; as in training if not given")
    cli.report(partial(draw, parser.parse_args(argv)))


def draw(arguments: argparse.Namespace) -> dict[str, Any]:
    """Restores, draws, writes the grid."""
    if not 0 <= arguments.seed < 2**32:
        raise InputError(f"--seed must be 0 to 2**32 - 1, not {arguments.seed}.")
    cli.check_picture(arguments.output)
    config, splits, _, params = trained.restore(arguments.workdir)
    changes = {"sample_rows": arguments.rows, "sample_columns": arguments.columns, "data_dir": arguments.data_dir}
    for other in ("unconditional", "single_scale", "classifier"):  # what the report alone compares with
        config[other] = None
    config.update({name: value for name, value in changes.items() if value is not None})
    if min(config.sample_rows, config.sample_columns) < 1:
        raise InputError("--rows and --columns must be at least 1.")
    make_experiment = trained.module_of(config).make_experiment
    key = jax.random.key(arguments.seed)
    try:
        images = make_experiment(config, splits).sample(params, key)
    except NoImagesError:
        splits = splits._replace(
            validation=cli.load_split(config, config.validation_split),
            test=cli.load_split(config, config.test_split) if config.test_split else None,
        )
        images = make_experiment(config, splits).sample(params, key)
    save_grid(arguments.output, images, levels=splits.train.levels)
    return {
        "experiment": config.experiment,
        "images": images.shape[0] * images.shape[1],
        "output": str(arguments.output),
    }


if __name__ == "__main__":
    main()
