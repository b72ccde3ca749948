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
# A [PixelCNN](https://arxiv.org/abs/1606.05328) predicts each pixel of an image from those before it, row by row.
# Here one learns handwritten digits in a few minutes, on whatever JAX finds: CPU, GPU or TPU. Then it tells exactly how
# likely an image is, draws new ones, and completes halves.

# %% [markdown]
# Where the project is installed from its checkout (`pip install -e ".[train]"`) this does nothing; elsewhere, as in
# Colab, it fetches and installs it. For an accelerator, JAX must be
# [the one made for it](https://docs.jax.dev/en/latest/installation.html).

# %%
import importlib.util
import sys

if importlib.util.find_spec("pixelcnn_jax") is None:
    # !git clone --quiet https://github.com/pixelcnn-jax/pixelcnn-jax
    # %pip install --quiet --editable "./pixelcnn-jax[train]"
    sys.path.insert(0, "pixelcnn-jax")

# %% tags=["parameters"]
STEPS = 1800  # of training: a few minutes on two CPU cores

# %%
import tempfile
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageOps

from configs import digits
from experiments import trained
from experiments.cli import load_splits, table
from experiments.unconditional import make_experiment
from pixelcnn_jax import bits_per_dim, log_prob, sample
from pixelcnn_jax.data.image_files import grid
from pixelcnn_jax.training.loop import train

print(jax.devices())

# %% [markdown]
# ## The data
# scikit-learn's digits: 1,797 images of 8x8 pixels, each an integer from 0 to 16. Shown are the first of the 350 that
# are kept for validation.

# %%
config = digits.get_config()
config.steps = STEPS
splits = load_splits(config)
images = np.stack([example["image"] for example in splits.validation.examples])


def show(rows):
    picture = Image.fromarray(grid(rows, levels=splits.validation.levels)[..., 0])
    return ImageOps.scale(picture, 5, Image.Resampling.NEAREST)


show(images[:64].reshape(4, 16, 8, 8, 1))

# %% [markdown]
# ## Training
# What `python -m experiments.unconditional --config=configs/digits.py` does: `workdir` gets checkpoints, the learning
# curve, TensorBoard's files, and the parameters that did best on validation, which are read back here.

# %%
workdir = Path(tempfile.mkdtemp())
result = train(config, make_experiment(config, splits), splits, workdir)
model, variables, *_ = trained.load(workdir)

# %% [markdown]
# ## The exact likelihood
# Of every validation image: log p(x) in nats, and the same as bits for each pixel, which is what papers compare.

# %%
nats = log_prob(model, variables, images)
bits = bits_per_dim(model, variables, images)
print(f"{len(images)} images: log p(x) is {nats.mean():.2f} nats an image, or {bits.mean():.4f} bits/dim\n")
print(table(config, splits, result))

# %% [markdown]
# Fewer bits are better: on validation 4.09 is to know nothing, 2.49 to know how often each pixel has each value, 2.00 a
# published autoregressive model ([Tomczak](https://github.com/jmtomczak/intro_dgm)). Each image has its own figure: the
# likeliest 16 are in the upper row, the least likely in the lower.

# %%
order = np.argsort(bits)
show(images[np.concatenate([order[:16], order[-16:]])].reshape(2, 16, 8, 8, 1))

# %% [markdown]
# ## Samples
# New digits: each pixel is drawn from what the model predicts given those drawn before.

# %%
samples = sample(model, variables, jax.random.key(1), shape=(64, 8, 8))
show(samples.reshape(4, 16, 8, 8, 1))

# %% [markdown]
# ## Completion
# The top row is real. Below it, four times, the upper half was given and the lower half drawn anew.

# %%
given = np.tile(images[:16], (4, 1, 1, 1))
upper = (np.arange(8) < 4).reshape(1, 8, 1, 1)
completions = sample(model, variables, jax.random.key(2), shape=(64, 8, 8), given=given, mask=upper)
show(np.concatenate([images[:16], completions]).reshape(5, 16, 8, 8, 1))
