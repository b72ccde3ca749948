# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Gated PixelCNN: a first look
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/quickstart.ipynb)
#
# A [PixelCNN](https://arxiv.org/abs/1606.05328) predicts each pixel of an image from the pixels before it, row by row.
# This notebook trains one on handwritten digits, in a few minutes on a CPU, GPU or TPU. It then computes exact
# likelihoods, draws new digits, and completes halves of digits.

# %% [markdown]
# The next cell installs the project with its extra `train`, which this notebook needs. It does nothing where both are
# installed already (`pip install -e ".[train]"` in a checkout). An accelerator needs
# [its own build of JAX](https://docs.jax.dev/en/latest/installation.html).

# %%
import importlib.util
import sys

if not all(map(importlib.util.find_spec, ["experiments", "ml_collections"])):
    # !git clone --quiet https://github.com/pixelcnn-jax/pixelcnn-jax
    # %pip install --quiet --editable "./pixelcnn-jax[train]"
    sys.path.insert(0, "pixelcnn-jax")
    assert importlib.util.find_spec("experiments"), "The repository could not be cloned: see the message above."

# %% tags=["parameters"]
STEPS = 1800  # training steps: a few minutes on two CPU cores

# %%
import tempfile
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageOps

from configs import digits
from experiments.paper import unconditional
from pixelcnn_jax import bits_per_dim, load_pretrained, log_prob, sample
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.image_files import grid
from pixelcnn_jax.data.loading import load_splits
from pixelcnn_jax.training.config import parse_config
from pixelcnn_jax.training.experiment import Recipe
from pixelcnn_jax.training.run import train
from pixelcnn_jax.training.summary import table

print(jax.devices())

# %% [markdown]
# ## The data
# scikit-learn has 1,797 digits of 8x8 pixels; each pixel is an integer from 0 to 16. These are the first of the 350
# validation images.

# %%
config = digits.get_config()
config.train.steps = STEPS
config = parse_config(config, unconditional.Config)
splits = load_splits(config.data)
images = read_all(splits.validation)["image"]


def show(rows):
    picture = Image.fromarray(grid(rows, levels=splits.spec.levels)[..., 0])
    return ImageOps.scale(picture, 5, Image.Resampling.NEAREST)


show(images[:64].reshape(4, 16, 8, 8, 1))

# %% [markdown]
# ## Training
# This is what `python -m experiments.train --config=configs/digits.py --workdir=runs/digits` does, except that
# the command makes each CPU core a device, which rounds differently (by about 0.002 bits/dim at the end). The workdir
# gets checkpoints, the learning curve, and the model with the best validation score, which `load_pretrained` loads.

# %%
workdir = Path(tempfile.mkdtemp())
result = train(config, Recipe.of(unconditional), splits, workdir)
model, variables, card = load_pretrained(workdir)

# %% [markdown]
# ## The exact likelihood
# log p(x) of every validation image in nats, and in bits per pixel, the unit in which papers compare.

# %%
nats = log_prob(model, variables, images)
bits = bits_per_dim(model, variables, images)
print(f"{len(images)} images: log p(x) is {nats.mean():.2f} nats per image, {bits.mean():.4f} bits/dim\n")
print(table(config, splits, result))

# %% [markdown]
# Fewer bits are better. On validation a model that knows nothing has 4.09 bits/dim, one that knows how frequent each
# value is at each pixel 2.49, a published autoregressive model 2.00 ([Tomczak](https://github.com/jmtomczak/intro_dgm)).
# The upper row shows the 16 likeliest images, the lower row the 16 least likely.

# %%
order = np.argsort(bits)
show(images[np.concatenate([order[:16], order[-16:]])].reshape(2, 16, 8, 8, 1))

# %% [markdown]
# ## Samples
# New digits: each pixel is drawn from the model's prediction given the pixels drawn before.

# %%
samples = sample(model, variables, jax.random.key(1), shape=(64, 8, 8))
show(samples.reshape(4, 16, 8, 8, 1))

# %% [markdown]
# ## Completion
# The top row is real. In the four rows below it, the upper half is given and the lower half is drawn.

# %%
observed = np.tile(images[:16], (4, 1, 1, 1))
upper = (np.arange(8) < 4).reshape(1, 8, 1, 1)
completions = sample(model, variables, jax.random.key(2), shape=(64, 8, 8), observed=observed, mask=upper)
show(np.concatenate([images[:16], completions]).reshape(5, 16, 8, 8, 1))
