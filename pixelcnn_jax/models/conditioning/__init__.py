"""Conditions: ``ConditionalModel`` and the networks that compute the map s from a vector, a text, images or a set.

Read ``conditional_model.py`` first: in ``apply_conditioner``, what a user gives becomes the ``Condition`` of a network.
(``evaluate`` and ``fit`` also check it before they compile.) Imports ``models``.
"""
