"""Conditions: ``ConditionalModel`` and the networks that compute the map s from a vector, a text, images or a set.

Read ``conditional_model.py`` first: ``apply_conditioner`` is the one place where what a user gives becomes the
``Condition`` of a network. Imports ``models``.
"""
