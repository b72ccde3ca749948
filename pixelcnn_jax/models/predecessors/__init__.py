"""The networks of *Pixel Recurrent Neural Networks* (1601.06759): PixelCNN, Row LSTM and Diagonal BiLSTM.

Read ``residual.py`` first, which they share. Imports ``models``.
"""
