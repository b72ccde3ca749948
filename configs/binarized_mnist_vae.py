"""Binary MNIST, 28x28, by a variational auto-encoder: a latent of 32 numbers and a PixelCNN that sees little.

Paper row: none. Section 4 names this as future work. PixelVAE (1611.05013) and VLAE (1611.02731) report bounds on this
binarisation: 79.02 and 79.03 nats.
Command: python -m experiments.train --config=configs/binarized_mnist_vae.py --workdir=runs/binarized_mnist_vae
  --config.vae.unconditional=binarized_mnist_gated_minutes (the model to compare with)
Time: 28 minutes on one shared core of an AMD EPYC (2026-11-26), 64,000 images; then 10 minutes for the report.
Result: test negative ELBO 86.29 nats. On 500 test images: negative ELBO 86.69, 83.73 with 256 importance samples, KL
11.71, 32 of 32 numbers active; the unconditional model has 84.79 nats on them, and binarized_mnist_wide 80.67.
"""

from ml_collections import ConfigDict

from configs import binarized_mnist


def get_config() -> ConfigDict:
    config = binarized_mnist.get_config("vae")
    config.vae.bottleneck = 32
    config.vae.encoder_features = (32, 64)
    config.vae.map_features = 16
    config.vae.kl_warmup = 500
    config.vae.free_nats = 0.3
    config.vae.report_images = 500
    config.vae.importance_samples = 256
    # The decoder sees 6 rows and columns of the image. What is farther away, such as the class, the latent must tell.
    config.model.layers = 3
    config.model.first_kernel_size = 7
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 8e-3
    config.train.microbatch_size = 8
    config.train.steps = 2_000
    config.train.ema_decay = 0.995
    config.train.eval_every = 500
    config.train.checkpoint_every = 250
    config.train.score_train_images = 2_000
    config.train.sample_rows = 40
    config.train.sample_columns = 12
    return config
