"""Lossless compression: networks in integers, and an entropy coder that they drive.

Read ``coding.py`` first, whose ``compress`` and ``decompress`` users call, then ``integer.py`` (the network),
``integer_stream.py`` (its layers), ``frequencies.py`` (its distributions), ``coder.py`` and ``batches.py`` (what
drives both over many images), ``rans.py`` (the coder) and ``container.py`` (the bytes). ``quantise.py`` makes an
integer network of a trained one, by ``rounding.py`` and ``tables.py`` (its activation functions); ``bounds.py`` proves
that its sums fit. Imports ``models`` and what is below; knows no files of images.

Some words that these files use:

- A *group* is up to ``batch_size`` images, or the same tile of each, which can be decoded alone.
- The coded bytes of a group are its *stream*. (The sampler's protocol ``Stream`` is something else.)
- The coder of a group has several states, its *lanes*. Image j belongs to lane j modulo their number.
- A *batch* is several groups of one padded shape, which are computed together.
- A *strip* is a number of rows that are computed together.
"""

from pixelcnn_jax.codec.coding import compress, decompress
from pixelcnn_jax.codec.quantise import quantise

__all__ = ["compress", "decompress", "quantise"]
