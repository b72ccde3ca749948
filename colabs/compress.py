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
# # Lossless compression
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/compress.ipynb)
#
# A model that predicts each pixel is half of a compressor. An entropy coder is the other: it spends -log2 p bits on a
# pixel of probability p. This notebook compresses images with a published model, gets them back, and compares the size
# with PNG and WebP, and with JPEG XL if `imagecodecs` is installed.

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
COUNT = 100  # images to compress

# %%
import io

import numpy as np
from PIL import Image

from pixelcnn_jax import bits_per_dim, compress, decompress, load_pretrained, quantise
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.pictures import grid

model, variables, card = load_pretrained("digits_integer")
images = take_images(load("digits", split="test", levels=17), COUNT)
rows = images[: COUNT // 10 * 10].reshape(-1, 10, 8, 8, 1)
picture = Image.fromarray(grid(rows, levels=17, gap=0)[..., 0])
picture

# %% [markdown]
# ## A picture in, bytes out, and back again
# The model was not trained on these digits. The restored images are exactly the original ones.

# %%
data = compress(model, variables, images)
restored = decompress(model, variables, data)
assert np.array_equal(restored, images)
bits = {"this codec": 8 * len(data) / images.size}
print(f"{len(images)} images in {len(data):,} bytes: {bits['this codec']:.3f} bits per pixel")
print(f"the model's own figure is {float(bits_per_dim(model, variables, images).mean()):.3f}")

# %% [markdown]
# ## Other formats
# For comparison, the other formats store all images as one picture. This favours them, because the file then has only
# one header. The weights of the model are not counted, because sender and receiver need them only once.

# %%
pixels = picture.width * picture.height


def size(**options):
    content = io.BytesIO()
    picture.save(content, **options)
    return 8 * content.tell() / pixels


bits["PNG"] = size(format="PNG", optimize=True)
bits["WebP, lossless"] = size(format="WEBP", lossless=True, quality=100, method=6)
if importlib.util.find_spec("imagecodecs"):  # pip install imagecodecs
    import imagecodecs

    jxl = imagecodecs.jpegxl_encode(np.asarray(picture), lossless=True, effort=9)
    bits["JPEG XL, lossless"] = 8 * len(jxl) / pixels
for name, value in bits.items():
    print(f"{name:20} {value:.3f} bits per pixel")

# %% [markdown]
# ## A model of your own
# Decoding needs the same probabilities to the last bit, and processors round differently. `digits_integer` therefore
# computes in exact integers, so that any machine can read its files. `quantise` makes an integer model of a trained
# network, and `save_pretrained` stores it for both sides.

# %%
network, weights, _ = load_pretrained("digits")
integer, integers = quantise(network, weights, images)
coded = compress(integer, integers, images)
assert np.array_equal(decompress(integer, integers, coded), images)
print(f"{8 * len(coded) / images.size:.3f} bits per pixel")
