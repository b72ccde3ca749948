"""The commands of ``pixelcnn``."""

import click

from pixelcnn_jax.cli.compress import compress, decompress
from pixelcnn_jax.cli.evaluate import evaluate
from pixelcnn_jax.cli.export import export
from pixelcnn_jax.cli.models import models
from pixelcnn_jax.cli.quantise import quantise
from pixelcnn_jax.cli.sample import sample
from pixelcnn_jax.cli.score import score
from pixelcnn_jax.foundation.devices import keep_programs
from pixelcnn_jax.foundation.user_command import UserGroup


@click.group(cls=UserGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="pixelcnn-jax", prog_name="pixelcnn")
def main() -> None:
    """Draw, complete, score and compress images with a trained PixelCNN.

    MODEL is a published model (see `pixelcnn models`), a run's workdir, a .safetensors file, or hf://OWNER/NAME. Write
    ./NAME for a path that is also a published name.
    """
    keep_programs()


for verb in (models, sample, score, quantise, compress, decompress, evaluate, export):
    main.add_command(verb)
