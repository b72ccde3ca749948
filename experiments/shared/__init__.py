"""Parts of experiments that several share: models, fields of configs and pictures (``parts.py``), and measurements.

Imports the library, and no experiment. Read ``parts.py`` first.
"""
