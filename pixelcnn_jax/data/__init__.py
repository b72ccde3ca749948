"""Data sets: from stored images to batches of integers.

An image passes ``loading.py`` (which data set and which of its splits, whose syntax is in ``splits.py``), a reader
(``folder.py`` and ``image_files.py``, ``arrays.py``, ``tfds.py``, ``scenes.py``), which returns a ``Source``
(``source.py``), ``preparation.py``, ``dataset.py``, ``patches.py`` or ``example_sets.py`` if set, and ``batches.py``;
read them in this order. A new file format goes into ``image_files.py``, or ``measurement_files.py`` if it holds counts.
``pictures.py`` writes images, and ``views.py`` flips, transposes and shifts them. Imports ``foundation``, the image
format of ``models.inputs``, ``models.checks`` and the words of ``models.conditioning.text``; knows no training.
"""
