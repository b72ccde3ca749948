"""The model zoo: models by name, their cards, and their weights on disk.

Read ``pretrained.py`` first, which loads and saves models; ``registry.py`` finds a network by the name in a card or a
config, and ``model_card.py`` says what is stored beside the weights. Imports ``models`` and what is below; knows
nothing of data sets and training.
"""
