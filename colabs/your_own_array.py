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
# # A density of your own array
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/your_own_array.ipynb)
#
# `fit` trains a [PixelCNN](https://arxiv.org/abs/1606.05328) on an array of integers in one call. This notebook trains
# on scikit-learn's digits; put an array of your own in their place: counts, labels of cells, or codes of an encoder.

# %% [markdown]
# The next cell installs the project with its extra `train`, which this notebook needs. It does nothing where both are
# installed already.

# %%
import importlib.util

if not all(map(importlib.util.find_spec, ["pixelcnn_jax", "sklearn"])):
    # !git clone --quiet https://github.com/pixelcnn-jax/pixelcnn-jax
    # %pip install --quiet "./pixelcnn-jax[train]"
    assert importlib.util.find_spec("pixelcnn_jax"), "The package could not be installed: see the message above."

# %% tags=["parameters"]
STEPS = 1000  # training steps: a few minutes on two CPU cores

# %%
import tempfile

import jax
import numpy as np
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

from pixelcnn_jax import evaluate, fit, load_pretrained, sample, save_pretrained
from pixelcnn_jax.data.image_files import grid

images = load_digits().images.astype(np.uint8)  # 1,797 images of 8x8 pixels, each from 0 to 16

# %% [markdown]
# ## Train
# A tenth of the images that are given is held out, and chooses the best parameters. The last 447 are not given: they
# are the test. `levels` is the number of values of a pixel; for bytes that use all of their 256 values it is left out.

# %%
model, variables, history = fit(None, images[:1350], levels=17, steps=STEPS)

# %% [markdown]
# ## Score
# The exact likelihood of images that were never seen, with the uncertainty that comes from their number.

# %%
score = evaluate(model, variables, images[1350:])
low, high = score.interval
print(f"{score.bits_per_dim:.3f} bits/dim, {score.nats:.2f} nats per image, 95 % interval {low:.2f} to {high:.2f}")

# %% [markdown]
# ## Sample

# %%
drawn = sample(model, variables, jax.random.key(1), shape=(40, 8, 8))
picture = Image.fromarray(grid(drawn.reshape(4, 10, 8, 8, 1), levels=17)[..., 0])
ImageOps.scale(picture, 5, Image.Resampling.NEAREST)

# %% [markdown]
# ## Save and load

# %%
folder = tempfile.mkdtemp()
save_pretrained(folder, model, variables, image_shape=(8, 8))
print(load_pretrained(folder).card["networks"])
