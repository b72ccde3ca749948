"""Training: what needs an optimizer, from one step to a whole run, and the evaluation of data sets.

Read ``experiment.py`` first, which says what a task is, then ``step.py`` (one step), ``loop.py`` (many), and ``run.py``
(all that a run does); ``fit.py`` is the same for an array, in one call. ``evaluation.py`` and
``information.py`` measure. Imports ``data``, ``models`` and what is below; knows no experiment and no command.
"""
