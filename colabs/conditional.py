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
# # Images given a class
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/conditional.ipynb)
#
# A condition h adds V h to the biases of every layer (equation 4 of the
# [paper](https://arxiv.org/abs/1606.05328)). This notebook uses a published model of MNIST given the class: it draws
# each class, asks which class an image belongs to, and walks from one class to another.

# %% [markdown]
# The next cell installs the project in Colab. It does nothing where the project is installed already.

# %%
import importlib.util
import sys

if importlib.util.find_spec("pixelcnn_jax") is None:
    # !git clone --quiet https://github.com/pixelcnn-jax/pixelcnn-jax
    # %pip install --quiet --editable "./pixelcnn-jax[train]"
    sys.path.insert(0, "pixelcnn-jax")
    assert importlib.util.find_spec("pixelcnn_jax"), "The repository could not be cloned: see the message above."

# %% tags=["parameters"]
COLUMNS = 10  # images of each class

# %%
import jax
import jax.numpy as jnp
from PIL import Image

from pixelcnn_jax import load_pretrained, log_prob, sample
from pixelcnn_jax.data.pictures import grid

model, variables, card = load_pretrained("mnist_classes")
print(card["image_spec"])


def show(rows):
    return Image.fromarray(grid(rows, levels=model.levels)[..., 0])


# %% [markdown]
# ## A row for each class
# Here h is a one-hot vector, and each pixel is drawn given h and the pixels before it.

# %%
labels = jnp.arange(10).repeat(COLUMNS)
h = jax.nn.one_hot(labels, 10)
images = sample(model, variables, jax.random.key(0), shape=(len(labels), 28, 28), h=h)
show(images.reshape(10, COLUMNS, 28, 28, 1))

# %% [markdown]
# ## Which class is it?
# The likelihood is exact, so Bayes' rule turns ten likelihoods into p(y | x). It names the class of most drawn images.

# %%
nats = [log_prob(model, variables, images, h=jnp.tile(jnp.eye(10)[label], (len(images), 1))) for label in range(10)]
posterior = jax.nn.softmax(jnp.stack(nats, axis=1))
accuracy = float((posterior.argmax(axis=1) == labels).mean())
print(f"p(y | x) is largest for the class that was asked for in {accuracy:.0%} of {len(images)} images")

# %% [markdown]
# ## From one class to another
# Images with equal keys share their noise, so that along a row only h changes: from a three to an eight, and from a
# four to a nine.

# %%
share = jnp.linspace(0, 1, 8)[:, None]
walks = []
for first, last in ((3, 8), (4, 9)):
    between = (1 - share) * jnp.eye(10)[first : first + 1] + share * jnp.eye(10)[last : last + 1]
    keys = jnp.stack([jax.random.key(1)] * len(share))
    walks.append(sample(model, variables, keys, shape=(len(share), 28, 28), h=between))
show(jnp.stack(walks))

# %% [markdown]
# ## Temperature
# With a temperature below 1, likely values are drawn more often. The strokes become smoother, and the images more
# alike. The rows show the temperatures 1, 0.8 and 0.6.

# %%
keys = jax.random.split(jax.random.key(2), 8)
threes = jnp.tile(jnp.eye(10)[3], (8, 1))
rows = [sample(model, variables, keys, shape=(8, 28, 28), h=threes, temperature=t) for t in (1.0, 0.8, 0.6)]
show(jnp.stack(rows))

# %% [markdown]
# Other conditions work the same way: the embedding of a drawing of an unseen character
# (`experiments/paper/embedding_conditional.py`), the code of an encoder (the notebook `autoencoder`), or a map
# (`experiments/extensions/colourise.py`).
