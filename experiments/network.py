"""The network that a config names."""

from ml_collections import ConfigDict

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.network import Network
from pixelcnn_jax.weights import NETWORKS


def make_network(config: ConfigDict, *, levels: int, channels: int) -> Network:
    """The network of ``config.network`` with the fields of ``config.model``. Raises InputError for an unknown one."""
    if config.network not in NETWORKS:
        raise InputError(f"network must be one of {', '.join(NETWORKS)}, not {config.network}.")
    return NETWORKS[config.network](levels=levels, channels=channels, **config.model)
