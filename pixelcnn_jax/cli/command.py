"""The verbs of the command ``pixelcnn`` in one group."""

import click

from pixelcnn_jax.cli.compress import compress, decompress
from pixelcnn_jax.cli.evaluate import evaluate
from pixelcnn_jax.cli.export import export
from pixelcnn_jax.cli.models import models
from pixelcnn_jax.cli.options import UserGroup
from pixelcnn_jax.cli.sample import sample
from pixelcnn_jax.cli.score import score
from pixelcnn_jax.foundation.devices import keep_programs


@click.group(cls=UserGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pixelcnn-jax", prog_name="pixelcnn")
def main() -> None:
    """Draw, complete, score and compress images with a trained PixelCNN.

    MODEL is the name of a published model (see `pixelcnn models`), the workdir of a run, a .safetensors file, or a
    model on the Hugging Face Hub, hf://OWNER/NAME. A path that is also a published name is written ./NAME. `evaluate`
    needs the extra pixelcnn-jax[train], `export` and hf:// need [hub], the other verbs none. Compiled programs are kept
    in ~/.cache/pixelcnn-jax (JAX_ENABLE_COMPILATION_CACHE=0 keeps none).
    """
    keep_programs()


for verb in (models, sample, score, compress, decompress, evaluate, export):
    main.add_command(verb)
