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
# # From your images to samples
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/your_images.ipynb)
#
# In this tutorial you train a [PixelCNN](https://arxiv.org/abs/1606.05328) on a folder of images, draw new images from
# it, save them, and measure how probable images are. Then you train a second model, which draws the class that you
# choose. At the end, the first model completes images and compresses them. Every step is shown in Python, and many
# of them as commands for a shell, too.
#
# The images are small handwritten digits, so that you can run the notebook as it is, in five to ten minutes on one CPU
# core and without a GPU. The section *Images of your own*, near the end, says what to change for yours.

# %% [markdown]
# The next cell installs the project with the optional packages for training (`train`). It does nothing if they are
# installed already.

# %%
import importlib.util

if not all(map(importlib.util.find_spec, ["pixelcnn_jax", "sklearn", "orbax"])):
    # !git clone --quiet https://github.com/pixelcnn-jax/pixelcnn-jax
    # %pip install --quiet "./pixelcnn-jax[train]"
    assert importlib.util.find_spec("pixelcnn_jax"), "The package could not be installed: see the message above."

# %% [markdown]
# For a first run, leave these values as they are. `LEVELS` is 17 because a pixel of the digits has one of 17 shades of
# grey.

# %% tags=["parameters"]
FOLDER = None  # your folder, with the images in train/CLASS/FILE and test/CLASS/FILE; None takes handwritten digits
SIZE = 8  # images are cropped to a square and scaled to this height and width
LEVELS = 17  # how many values a pixel can have: at least 2, at most 256
STEPS = 600  # training steps
WORKDIR = "runs/tutorial"  # the models and pictures go here

# %%
import os
from pathlib import Path

import jax
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

from pixelcnn_jax import bits_per_dim, compress, decompress, evaluate, fit, quantise, sample, save_pretrained
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.pictures import as_levels, as_pixels, as_png, grid, save_grid

os.makedirs(WORKDIR, exist_ok=True)
folder = os.environ["FOLDER"] = os.path.abspath(FOLDER or f"{WORKDIR}/digits")  # read by commands further down
os.chdir(WORKDIR)


def show(images, rows):
    picture = Image.fromarray(grid(images.reshape(rows, -1, *images.shape[1:]), levels=LEVELS).squeeze())
    return ImageOps.scale(picture, 5, Image.Resampling.NEAREST)


# %% [markdown]
# ## Your images
# Unless you have set `FOLDER`, the next cell writes the 1,797 digits of scikit-learn as PNG files into the folder
# `digits`. The first 1,350 go into its subfolder `train`, and the others, which are the test images, into `test`. In
# both, each class has a folder, here `0` to `9`.

# %%
if FOLDER is None and not os.path.exists(folder):
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = Path(folder, "train" if number < 1350 else "test", str(label), f"{number}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(as_png(as_pixels(image[..., None].astype(int), levels=17)))

# %% [markdown]
# 8-bit files hold intensities from 0 to 255, but a model works with *levels*, integers from 0 to `LEVELS - 1`. In the
# next cell, `load` finds the files, `read_all` reads them into arrays, cropped and scaled to `SIZE`, and `as_levels`
# rounds their intensities to levels. The picture shows some of the training images.

# %%
train = read_all(load("folder", "train", data_dir=folder, resize=SIZE, labels=True))
images, labels = as_levels(train["image"], levels=LEVELS), train.get("label")
tested = read_all(load("folder", "test", data_dir=folder, resize=SIZE, labels=True))
test, test_labels = as_levels(tested["image"], levels=LEVELS), tested.get("label")
print(images.shape, "values", images.min(), "to", images.max(), "classes", np.unique(labels))
show(images[:: len(images) // 48][:48], rows=3)

# %% [markdown]
# ## Train
# `fit` trains a model on the array, here in about two minutes on one CPU core. `None` lets it choose a network that
# suits the images. While it trains, a progress bar shows the loss and the time that is left.
#
# `fit` trains on nine tenths of the images and holds out the others. Ten times during the training, it scores the model
# on these held-out images and prints the score. It returns the parameters with the best score. The unit of the scores
# is bits/dim: the number of bits that it would take, on average, to store one channel of one pixel with the help of the
# model. Lower is better. A model that knows nothing needs log2 17 = 4.09 bits for a pixel with 17 levels.
#
# `fit` saves the model and the state of the training in the folder that you pass as `workdir`. Here this is `plain`, a
# new folder in `WORKDIR`, since the cell with the imports made `WORKDIR` the current folder. If the training is
# interrupted, run the cell again, and it resumes.

# %%
model, variables, history = fit(None, images, levels=LEVELS, steps=STEPS, workdir="plain")

# %% [markdown]
# `history` has the scores as numbers. The next cell plots two curves from it: `train` is the score of the images that
# `fit` trains on, and `validation` that of the held-out images. Here, the curve `train` lies above the other one,
# mainly because the network has dropout, which makes training harder and is off when the held-out images are scored.
# (`None` chooses a network with dropout if `fit` sees each image more than ten times. Here, it sees each about 16
# times.)
#
# The curve `validation` becomes flat at the end of every training with `fit`, because the learning rate falls to zero.
# A flat end therefore does not mean that the model has learned all it can. To find out whether it has, train with twice
# as many `STEPS` in a new `WORKDIR`, and compare the best scores.

# %%
curves = {}
for record in history:
    for name in ("train", "validation"):
        if (bits := record.get(f"{name}_bits_per_dim")) is not None:
            curves.setdefault(name, []).append((record["step"], bits))
figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
for name, points in curves.items():
    axes.plot(*zip(*points, strict=True), label=name)
axes.set(xlabel="step", ylabel="bits/dim")
axes.legend()
plt.show()

# %% [markdown]
# ## Look at samples, and save them
# `sample` draws new images. The key decides which: the same key draws the same images again.

# %%
drawn = sample(model, variables, jax.random.key(1), shape=(48, SIZE, SIZE))
show(drawn, rows=3)

# %% [markdown]
# To see how samples improve with the number of steps, compare with two shorter trainings. The three rows of the next
# picture are samples of models that were trained for a thirtieth, a sixth, and all of the steps.

# %%
rows = []
for steps in (max(1, STEPS // 30), max(1, STEPS // 6)):
    short, short_variables, _ = fit(None, images, levels=LEVELS, steps=steps)
    rows.append(sample(short, short_variables, jax.random.key(1), shape=(16, SIZE, SIZE)))
show(np.concatenate([*rows, drawn[:16]]), rows=3)

# %% [markdown]
# The next cell saves the samples twice: as one picture, and each in a separate PNG file. A sample holds levels, which
# `as_pixels` turns into the intensities from 0 to 255 of a PNG file.

# %%
save_grid(Path("samples.png"), drawn.reshape(3, 16, SIZE, SIZE, -1), levels=LEVELS)
for number, pixels in enumerate(as_pixels(drawn, levels=LEVELS)):
    Path(f"sample_{number}.png").write_bytes(as_png(pixels))

# %% [markdown]
# In a shell, `pixelcnn sample` draws such a picture, here of 16 samples. `plain` names the model: it is the folder that
# `fit` wrote. The command never overwrites a file, so the first line removes what an earlier run of this notebook has
# left.

# %% language="sh"
# rm -f grid.png
# pixelcnn sample plain -o grid.png --count=16

# %% [markdown]
# ## How probable is an image?
# `evaluate` computes the exact likelihood of each test image, and returns the average in two units: bits/dim, and the
# nats of a whole image, which papers often report. A nat is 1.44 bits. `evaluate` also returns an interval, because
# other test images would give a slightly different average. The more test images there are, the narrower the interval
# is.

# %%
score = evaluate(model, variables, test)
low, high = score.interval
print(f"{score.bits_per_dim:.3f} bits/dim: {score.nats:.1f} nats per image, 95 % interval {low:.1f} to {high:.1f}")

# %% [markdown]
# In both units, lower is better: to compare two models, score the same images with both, and the model with the lower
# score predicts them better.
#
# `bits_per_dim` returns the score of each single image. It is the number of bits that the model needs for the image,
# divided by the number of its pixels times channels. Plain images need few bits. The next picture shows the 16 most
# probable test images, and below them the 16 least probable ones.

# %%
bits = bits_per_dim(model, variables, test)
order = np.argsort(bits)
show(test[np.concatenate([order[:16], order[-16:]])], rows=2)

# %% [markdown]
# In a shell, `pixelcnn score` prints the bits/dim of each file; here you see the first three. The last column,
# `less_png` (minus PNG), is the bits/dim of the model minus the bits/dim that the image takes as a PNG file. To find
# anomalies, sort by this column: the images with the highest values are the oddest. The bits/dim of the model alone are
# not enough. For example, an image that is grey all over needs few bits even if it looks nothing like the training
# images. But its PNG file is small as well, so the difference corrects for this.

# %% language="sh"
# pixelcnn score plain "$FOLDER/test" | head -n 4

# %% [markdown]
# ## Condition on the class
# To choose what to draw, train a model with the class labels: pass them to `fit` as the condition `h`. The call also
# needs a new `workdir`, because a workdir belongs to one training. When you call `sample`, its argument `h` says which
# classes to draw. Here, the new model draws eight images of each class.

# %%
classes = int(labels.max()) + 1
by_class, class_variables, _ = fit(None, images, h=labels, levels=LEVELS, steps=STEPS, workdir="by_class")
drawn = sample(
    by_class, class_variables, jax.random.key(1), shape=(8 * classes, SIZE, SIZE), h=np.arange(classes).repeat(8)
)
show(drawn, rows=classes)

# %% [markdown]
# Each row shows one class. Label 0 is the first class folder in alphabetical order, label 1 the second, and so on. If
# all names are numbers, the order is that of the numbers. In a shell, `pixelcnn sample by_class --label=3 -o
# class_3.png` draws a grid of the class with label 3 only, here the threes.
#
# The label tells the model something about the image, so the test images are more probable than under the first model:
# their score is lower.

# %%
score = evaluate(by_class, class_variables, test, h=test_labels)
print(f"{score.bits_per_dim:.3f} bits/dim given the class")

# %% [markdown]
# ## Complete an image
# The model draws an image pixel by pixel, in rows from the top. It can therefore continue an image whose first rows are
# known. The argument `mask` is true where pixels are known. The top row of the picture shows test images. For the three
# rows below, the model was given only the upper half of each image, and drew the lower half. In a shell, `pixelcnn
# sample plain --complete=FILE --hide=bottom -o completed.png` completes one image file.

# %%
known = np.arange(SIZE).reshape(1, SIZE, 1, 1) < SIZE // 2
originals = test[:: len(test) // 16][:16]
observed = np.tile(originals, (3, 1, 1, 1))
completed = sample(model, variables, jax.random.key(2), shape=(48, SIZE, SIZE), observed=observed, mask=known)
show(np.concatenate([originals, completed]), rows=4)

# %% [markdown]
# ## Compress
# A model that predicts pixels well can also store them in few bits. To restore the images, a computer must compute
# exactly the same probabilities as the one that compressed them. Sums of floating-point numbers can differ between
# computers, so `quantise` first turns the network into one that computes in integers. `compress` then makes a string of
# bytes, from which `decompress` restores the images exactly.
#
# `quantise` must know how large the values inside the network become, so it runs the network on typical images; about
# 500 are enough. The training images are sorted by class, so we take every second one, and not the first 500, to have
# images of all classes.

# %%
integer, integers = quantise(model, variables, images[:: max(1, len(images) // 500)])
data = compress(integer, integers, test)
assert np.array_equal(decompress(integer, integers, data), test)
separate = sum(len(as_png(pixels, optimize=True)) for pixels in as_pixels(test, levels=LEVELS))
tiled = len(as_png(grid(test[None], levels=LEVELS, gap=0), optimize=True))
print(f"{len(test)} images: {len(data):,} bytes; as one PNG {tiled:,} bytes, as a PNG each {separate:,} bytes")

# %% [markdown]
# Whoever decompresses needs the same model, so the next cell saves it in the folder `codec`, from which
# `load_pretrained("codec")` loads it again. The cell also writes the test images as PNG files into the folder
# `prepared`. The cell after it compresses this folder in a shell: `pixelcnn compress` makes one file of all its images,
# and `pixelcnn decompress` restores them as PNG files with the same names.
#
# `pixelcnn compress` never rounds or resizes an image. The model knows only 17 of the 256 intensities, those that
# `as_pixels` returns for 17 levels. If an image has any other intensity, the command stops with an error. Images of
# another size are allowed, but often take more bits per pixel.

# %%
save_pretrained("codec", integer, integers, image_shape=(SIZE, SIZE))
Path("prepared").mkdir(exist_ok=True)
for number, pixels in enumerate(as_pixels(test, levels=LEVELS)):
    Path(f"prepared/{number}.png").write_bytes(as_png(pixels))

# %% language="sh"
# rm -rf images.pcnn restored
# pixelcnn compress codec prepared -o images.pcnn
# pixelcnn decompress codec images.pcnn -o restored

# %% [markdown]
# ## Images of your own
# Change the values in the cell at the top, restart the kernel, and run all cells. **Whenever you change a value, choose
# a new `WORKDIR` as well**, because `fit` would find the old training in the old folder `plain`, and stop with an
# error.
#
# - **A folder.** Set `FOLDER` to a folder that has the images in `train/CLASS/FILE` and `test/CLASS/FILE`. You need at
#   least 48 training images and 32 test images in all, because the pictures above show so many. For another layout, or
#   files with captions, see [Your own
#   data](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/your_own_data.md).
# - **`SIZE` and `LEVELS`.** Start with a small size, because the time of a training step grows with the number of
#   pixels. Set `LEVELS` to 256 for photographs, and to 2 for drawings in black and white.
# - **No classes.** Put the images into `train` and `test` directly, write `labels=False` in both calls of `load`, and
#   skip the section *Condition on the class*.
# - **Arrays.** Leave out the cell that calls `load`, and define `images`, `labels`, `test` and `test_labels` instead.
#   `images` and `test` hold integers from 0 to `LEVELS - 1`, of the shape [count, height, width, channels], where
#   height and width are equal. Set `SIZE` to the height, and `LEVELS` to the number of values that a pixel can have.
#   `labels` and `test_labels` hold the class of each image, 0, 1, 2 and so on, of the shape [count]. Skip the cell with
#   `pixelcnn score`, which needs files.
# - **Keep the results in Colab.** First run `from google.colab import drive; drive.mount("/content/drive")`, and set
#   `WORKDIR` to a folder of your Drive.

# %% [markdown]
# ## What to try next
# - **A better model.** First double `STEPS` until that no longer helps. Then see [which model and which
#   size](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/sizes.md) suit your images, and what makes
#   [training quick](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/quick_training.md).
# - **Long trainings.** Use the training command of [Getting
#   started](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/getting_started.md#train). It writes a report
#   with samples and scores, and can augment the images. Like `fit` with a `workdir`, it can resume.
# - **More from a model.** [Sampling](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/sampling.md) has
#   temperature and guidance,
#   [Conditioning](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/conditioning.md) has maps, sentences and
#   sets of images as conditions, and
#   [Likelihoods](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/likelihoods.md) says what you can compare
#   a score with.
# - **If something fails**, look for the symptom in
#   [Troubleshooting](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/troubleshooting.md).
