"""The networks: layers, parameters, conditions, and the streams that evaluate a network pixel by pixel.

Read ``layers.py`` first, which has the paper's layers as functions of arrays, then ``gated_pixelcnn.py``, which makes a
network of them, and ``gated_stream.py``, which makes a sampler of the same functions; ``streaming.py`` has the loop
over pixels that drives it. ``autoregressive.py`` is the base of all networks, ``colours.py`` has the masks of the
colours, and ``checks.py`` checks what users give. Imports ``foundation`` and ``distributions``; knows nothing of
data sets, training or saved models.
"""
