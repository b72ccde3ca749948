"""What several experiments share: models, measurements, fields of configs.

Imports the library, and no experiment. Read ``models.py`` first.
"""
