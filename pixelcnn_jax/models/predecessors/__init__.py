"""PixelCNN, Row LSTM and Diagonal BiLSTM (1601.06759)."""
