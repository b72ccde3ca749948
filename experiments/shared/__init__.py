"""Parts of experiments: models, measurements, fields of configs; most of them are shared by several.

Imports the library, and no experiment. Read ``models.py`` first.
"""
