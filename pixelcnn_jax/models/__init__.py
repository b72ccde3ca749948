"""The networks, their layers, and how they advance pixel by pixel."""
