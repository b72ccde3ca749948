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
# # Training on a TPU or GPU
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/train_on_tpu.ipynb)
#
# This notebook trains our largest CIFAR-10 config on the accelerator that this machine has. In Colab, the workdir is on
# Google Drive. If the session ends, run all cells again, and the training resumes from its last checkpoint. Nobody has
# finished a run of this config yet.
#
# We chose the options by compiling the step for a TPU
# ([Accelerators](https://github.com/pixelcnn-jax/pixelcnn-jax/blob/main/docs/accelerators.md)): layers in bfloat16, the
# whole batch at once (`train.microbatch_size` stays unset), and no `model.remat`. With 32 images per chip, a step needs
# 1.5 GB of the 16 GB of a v5e chip. Settings that depend on the kind of device, such as the loop over the layers, are
# chosen automatically.

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
CONFIG = "cifar10_full"  # a file of configs/
CHANGES = {"model.dtype": "bfloat16", "data.download": True}  # any field of the config
WORKDIR = "drive/MyDrive/pixelcnn/cifar10_full"

# %%
import importlib
from pathlib import Path

import jax

from experiments import recipe_of
from pixelcnn_jax.data.loading import load_splits
from pixelcnn_jax.training.config import parse_config
from pixelcnn_jax.training.cost import estimate_cost
from pixelcnn_jax.training.run import train

if "google.colab" in sys.modules:
    from google.colab import drive

    drive.mount("drive")
print(jax.devices())

# %% [markdown]
# ## What it costs
# This cell prints the parameters, the memory and the FLOPs of one step, and how many minutes the training would take on
# one device, without the optimizer and the validations.

# %%
config = importlib.import_module(f"configs.{CONFIG}").get_config()
config.update_from_flattened_dict(CHANGES)
recipe = recipe_of(config.experiment)
config = parse_config(config, recipe.Config)
splits = load_splits(config.data)
cost = estimate_cost(config, recipe.make_experiment(config, splits.spec, {}), splits.train)
for name, value in cost.items():
    print(f"{name:28} {value:>22,}")

# %% [markdown]
# ## Training
# Each batch is split over all devices. The training prints a line at every validation, and `report.html` in the workdir
# shows the learning curve and samples.

# %%
workdir = Path(WORKDIR)
result = train(config, recipe, splits, workdir)
print(result["scores"])

# %%
from PIL import Image

Image.open(workdir / "samples.png")
