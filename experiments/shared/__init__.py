"""Parts of experiments: models, measurements and fields of configs that several share, and helpers of a single one.

Imports the library, and no experiment. Read ``models.py`` first.
"""
