"""From what is known of an image to the h and s of a network: encoders, conditional models, guidance."""
