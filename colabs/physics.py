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
# # The free energy of the Ising model
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pixelcnn-jax/pixelcnn-jax/blob/main/colabs/physics.ipynb)
#
# A PixelCNN learns p(spins | beta) of a periodic lattice of Ising spins without any data: it draws configurations, and
# those of a low free energy become more likely. It then gives independent samples at any inverse temperature up to 0.6,
# and the free energy itself, which a Markov chain does not. Here both are compared with the exact solution (Kaufman
# 1949).

# %% [markdown]
# The next cell installs the project in Colab. It does nothing in a checkout that is installed already.

# %%
import importlib.util
import sys

if importlib.util.find_spec("experiments") is None:
    # !git clone --quiet https://github.com/pixelcnn-jax/pixelcnn-jax
    # %pip install --quiet --editable "./pixelcnn-jax[train]"
    sys.path.insert(0, "pixelcnn-jax")
    assert importlib.util.find_spec("experiments"), "The repository could not be cloned: see the message above."

# %% tags=["parameters"]
SIZE = 8  # rows and columns of the lattice, an even number
STEPS = 300  # training steps: a minute of a CPU core
BETA = 0.42  # inverse temperature at which the free energy is computed, between 0 and 0.6

# %%
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageOps

from experiments.extensions import ising, ising_lattice
from pixelcnn_jax.data.pictures import grid

key = jax.random.key(0)

# %% [markdown]
# ## Training
# One network learns all beta up to 0.6, because beta is its condition. On a checkerboard, the sites of one colour are
# independent given those of the other. So the network models the sites of one colour only, and the sum over the others
# is computed exactly.

# %%
network = ising.make_network(size=SIZE, layers=4, features=24)
variables = ising.new_variables(network, key)
variables = ising.train(network, variables, key, size=SIZE, settings=ising.Settings(steps=STEPS))

# %% [markdown]
# ## The free energy at a beta of your choice
# The variational figure is an upper bound of the free energy. Importance weights remove this bias, and the effective
# sample size says how much the network resembles the Boltzmann distribution: it is 100 % if the two are equal.

# %%
found = ising.estimate(network, variables, key, BETA, size=SIZE, samples=10_000)
exact = ising_lattice.log_partition(BETA, size=SIZE)
sites = SIZE**2
print(f"free energy per site at beta = {BETA}: F = -log Z / beta, for energies -J times products of neighbours, J = 1")
print(f"exact                {-exact / BETA / sites:.6f}")
for name in ("importance_weighted", "variational"):
    value, error = getattr(found, name), getattr(found, f"{name}_error")
    print(f"{name:20} {-value / BETA / sites:.6f} +- {error / BETA / sites:.6f}")
print(f"effective sample size {found.effective_sample_size:.1%}")
print(f"energy per site {found.energy:.4f}, exact {ising_lattice.mean_energy(BETA, size=SIZE) / sites:.4f}")

# %% [markdown]
# ## Spins from cold to hot
# Each row is one temperature, from beta = 0.6 at the top to 0.2 at the bottom. All samples are independent, also in the
# middle, near the critical beta of 0.4407, where a Markov chain of single flips slows down.

# %%
betas = jnp.repeat(jnp.linspace(0.6, 0.2, 5), 8)
even, _ = ising.draw(network, variables, key, betas, size=SIZE)
spins = ising_lattice.lattice(key, even, betas)
pictures = np.asarray(spins > 0, int).reshape(5, 8, SIZE, SIZE, 1)
ImageOps.scale(Image.fromarray(grid(pictures, levels=2)[..., 0]), 6, Image.Resampling.NEAREST)
