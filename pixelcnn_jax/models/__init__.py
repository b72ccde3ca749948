"""The networks: layers, parameters, conditions, and the streams that evaluate a network pixel by pixel.

Read ``layers.py`` first, which has the paper's layers as functions of arrays, then ``gated_pixelcnn.py``, which makes a
network of them, and ``gated_stream.py``, which makes a sampler of the same functions; ``streaming.py`` has the loop
over pixels that drives it. ``autoregressive.py`` is the base of all networks, ``colours.py`` has the masks of the
colours, and ``checks.py`` checks what users give. ``inputs.py`` names the types of images, conditions and outputs;
``parameters.py`` and ``declarations.py`` say what a parameter is, ``products.py`` how it is multiplied. Beside them
stand ``attention.py``, ``temperature_and_guidance.py``, ``tokenizer.py`` (images to codes) and ``conditionals.py`` (a
model as a function of one sub-pixel after another); ``conditioning`` has the networks that turn other things into
conditions, and ``predecessors`` those of the paper before. Imports ``foundation`` and ``distributions``; knows nothing
of data sets, training or saved models.
"""
