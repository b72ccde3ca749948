"""The paper's experiments. Each module says what h is; ``cli`` and ``pixelcnn_jax.train`` are shared."""
