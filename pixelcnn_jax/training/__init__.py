"""Training: what needs an optimizer, from one step to a whole run, and the evaluation of data sets.

Read ``experiment.py`` first, which says what a task is, then ``step.py`` (one step), ``loop.py`` (many), and ``run.py``
(all that a run does); ``fit.py`` is the same for an array, in one call. ``optimizer.py`` has the schedule of the
learning rate and the moving average of the parameters, ``warm_start.py`` the parameters of an earlier run, and
``config.py`` all settings. ``workdir.py`` has the folder of a run and its lock; ``best.py`` and ``checkpoint.py`` keep
what the run has reached there, and ``metrics.py``, ``custom_loggers.py``, ``report.py`` and ``summary.py`` what it
shows. ``evaluation.py``, ``information.py``, ``baselines.py`` and ``cost.py`` measure; ``signals.py`` and
``processes.py`` are about Ctrl-C and several processes. Imports ``data``, ``models``, ``zoo`` and what is below; knows
no experiment and no command.
"""
