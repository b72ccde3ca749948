"""Training: what needs an optimizer, from one step to a whole run, and the evaluation of data sets.

Read ``experiment.py`` first, which says what a task is, then ``step.py`` (one step), ``loop.py`` (many), and ``run.py``
(all that a run does); ``fit.py`` is the same for an array, in one call. ``optimizer.py`` has the schedule of the
learning rate and the moving average of the parameters, ``best.py`` and ``checkpoint.py`` keep what a run has reached,
and ``evaluation.py``, ``information.py`` and ``cost.py`` measure. Imports ``data``, ``models`` and what is below; knows
no experiment and no command.
"""
