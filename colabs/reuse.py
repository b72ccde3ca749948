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
# # The networks in other projects
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/reuse.ipynb)
#
# A network is a Flax Linen module, and everything else is a function of it and its variables. This notebook puts a
# Gated PixelCNN inside other modules, into Flax NNX, into a plain JAX training loop, and on the codes of a VQ-VAE.

# %% [markdown]
# The next cell installs the project with its extra `train`, which this notebook needs. It does nothing where both are
# installed already.

# %%
import importlib.util
import sys

if not all(map(importlib.util.find_spec, ["pixelcnn_jax", "sklearn"])):
    # !git clone --quiet https://github.com/pixelcnn-jax/pixelcnn-jax
    # %pip install --quiet --editable "./pixelcnn-jax[train]"
    sys.path.insert(0, "pixelcnn-jax")
    assert importlib.util.find_spec("pixelcnn_jax"), "The repository could not be cloned: see the message above."

# %% tags=["parameters"]
STEPS = 200  # training steps of the plain loop

# %%
import jax
import jax.numpy as jnp
from flax import nnx
from PIL import Image, ImageOps

from pixelcnn_jax import GatedPixelCNN, log_prob, sample
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.pictures import grid

images = jnp.asarray(take_images(load("digits", split="train", levels=17), 256)) // 5  # four levels
key = jax.random.key(0)

# %% [markdown]
# ## Inside a Linen module
# Here the network is the decoder of an auto-encoder. To sample from the decoder, build a GatedPixelCNN with the same
# fields, and pass it with its part of the parameters.

# %%
import flax.linen as nn


class AutoEncoder(nn.Module):
    @nn.compact
    def __call__(self, images):
        h = nn.Dense(8)(images.reshape(len(images), -1).astype(jnp.float32))
        return GatedPixelCNN(levels=4, features=8, layers=1, name="decoder")(images, h)


variables = AutoEncoder().init(key, images[:1])
decoder = GatedPixelCNN(levels=4, features=8, layers=1)
drawn = sample(decoder, {"params": variables["params"]["decoder"]}, key, shape=(2, 8, 8), h=jnp.ones((2, 8)))
print(drawn.shape)

# %% [markdown]
# ## In Flax NNX

# %%
bridged = nnx.bridge.ToNNX(decoder, rngs=nnx.Rngs(0)).lazy_init(images[:1])
print(bridged(images[:4]).shape)  # logits: batch, height, width, channel, level

# %% [markdown]
# ## In plain JAX
# The likelihood is a differentiable function of the variables. This is a complete training loop.

# %%
model = GatedPixelCNN(levels=4, features=16, layers=3)
variables = model.init(key, images[:1])


@jax.jit
def step(variables, batch):
    nats, gradient = jax.value_and_grad(lambda v: -log_prob(model, v, batch).mean())(variables)
    return jax.tree.map(lambda v, g: v - 2e-3 * g, variables, gradient), nats


losses = []
for number in range(STEPS):
    start = number * 32 % len(images)
    variables, nats = step(variables, images[start : start + 32])
    losses.append(float(nats))
print(f"{losses[0]:.1f} nats per image at first, {losses[-1]:.1f} after {STEPS} steps")

# %%
drawn = sample(model, variables, key, shape=(16, 8, 8))
ImageOps.scale(Image.fromarray(grid(drawn[None], levels=4)[..., 0]), 5, Image.Resampling.NEAREST)

# %% [markdown]
# ## A prior over VQ codes
# With `code_features` the network reads codes through a learned embedding. The levels are the codes of the codebook.
# Your own decoder turns the drawn codes into images.

# %%
codes = jax.random.randint(key, (4, 8, 8, 1), 0, 64)  # from your VQ-VAE
prior = GatedPixelCNN(levels=64, channels=1, features=16, layers=2, code_features=8)
variables = prior.init(key, codes)
print(sample(prior, variables, key, shape=(2, 8, 8)).shape)
