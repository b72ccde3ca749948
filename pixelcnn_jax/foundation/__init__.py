"""What everything else stands on: errors, files, typed fields, devices, progress bars, the end of a command.

Nothing here knows a model, a data set, a config or an experiment; it imports nothing else of the package. Read
``errors.py`` first: ``InputError`` is what a user's mistake raises everywhere.
"""
