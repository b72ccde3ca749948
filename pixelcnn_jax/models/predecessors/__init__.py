"""PixelCNN, Row LSTM and Diagonal BiLSTM (van den Oord et al. 2016, arXiv 1601.06759)."""
