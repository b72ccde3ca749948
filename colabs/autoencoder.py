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
# # A PixelCNN as a decoder
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/autoencoder.ipynb)
#
# An ordinary auto-encoder decodes its code into one blurred image. With a PixelCNN as the decoder (section 2.4 of the
# [paper](https://arxiv.org/abs/1606.05328)) the code describes a distribution, whose samples are sharp and differ. This
# notebook trains both on 8x8 digits, in a few minutes on a CPU.

# %% [markdown]
# The next cell installs the project with its extra `train`, which this notebook needs. It does nothing where both are
# installed already.

# %%
import importlib.util
import sys

if not all(map(importlib.util.find_spec, ["experiments", "ml_collections"])):
    # !git clone --quiet https://github.com/pixelcnn-jax/pixelcnn-jax
    # %pip install --quiet --editable "./pixelcnn-jax[train]"
    sys.path.insert(0, "pixelcnn-jax")
    assert importlib.util.find_spec("experiments"), "The repository could not be cloned: see the message above."

# %% tags=["parameters"]
STEPS = 600  # training steps

# %%
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageOps

from configs import digits
from experiments.paper import autoencoder
from pixelcnn_jax import load_pretrained
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.data.loading import load_splits
from pixelcnn_jax.data.pictures import grid
from pixelcnn_jax.training.config import parse_config
from pixelcnn_jax.training.experiment import Recipe
from pixelcnn_jax.training.run import train

# %% [markdown]
# ## Training
# This cell trains two pairs of networks on the same batches. In the first, an encoder and a PixelCNN are trained on the
# likelihood. In the second, an encoder and a deconvolutional network are trained on the squared error. Both have a code
# of 10 numbers.

# %%
config = digits.get_config("autoencoder")
config.train.steps = STEPS
config.train.eval_every = max(1, STEPS // 2)
config.train.microbatch_size = 2
config.autoencoder.bottleneck = 10
config.autoencoder.encoder_features = (32, 64)
config.train.report_images = 0
config = parse_config(config, autoencoder.Config)
splits = load_splits(config.data)
workdir = Path(tempfile.mkdtemp())
result = train(config, Recipe.of(autoencoder), splits, workdir)
networks, variables, card = load_pretrained(workdir)

# %% [markdown]
# ## Reconstructions
# Each row shows a held-out image, its reconstruction by the network trained on the squared error, and four samples of
# the PixelCNN given its code.

# %%
images = jnp.asarray(take_images(splits.test, 8))
smooth = jnp.clip(autoencoder.reconstruct(networks, variables, images), 0, 1) * (splits.spec.levels - 1)
drawn = autoencoder.draw_given(networks, splits.spec, variables, jax.random.key(0), images, 4)
rows = jnp.concatenate([images[:, None], jnp.round(smooth).astype(int)[:, None], drawn], axis=1)
ImageOps.scale(Image.fromarray(grid(rows, levels=splits.spec.levels)[..., 0]), 5, Image.Resampling.NEAREST)

# %% [markdown]
# ## From one code to another
# Each row goes from the code of one image to that of another. All samples of a row have the same key, so they differ
# only because the code does.

# %%
from pixelcnn_jax import sample

codes = autoencoder.encode(networks, variables, images)
share = jnp.linspace(0, 1, 8)[:, None]
walks = []
for first, last in ((0, 1), (2, 3), (4, 5)):
    between = (1 - share) * codes[first : first + 1] + share * codes[last : last + 1]
    keys = jnp.stack([jax.random.key(1)] * len(share))
    walks.append(sample(networks["decoder"], variables["decoder"], keys, shape=(len(share), 8, 8), h=between))
ImageOps.scale(Image.fromarray(grid(np.stack(walks), levels=17)[..., 0]), 5, Image.Resampling.NEAREST)
