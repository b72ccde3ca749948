"""Binary MNIST by a VAE whose decoder starts from the published "binarized_mnist_convolutional".

Paper row: none (section 4). Bounds of PixelVAE (1611.05013) and VLAE (1611.02731): 79.02 and 79.03 nats.
Command: python -m experiments.train --config=configs/binarized_mnist_vae.py --workdir=runs/binarized_mnist_vae
Time: 86 minutes (64,000 images), and 60 for the scores, on one busy Intel Xeon core with AMX, 2026-11-29.
Result: test negative ELBO 83.03 nats. 500 test images: negative ELBO 83.33, 80.55 with 256 importance samples, KL
12.08, 32 of 32 units active. The published decoder alone has 79.97 nats.
"""

from configs import ConfigDict, predecessors


def get_config() -> ConfigDict:
    config = predecessors.get_config("vae")
    config.vae.update(bottleneck=32, encoder_features=(32, 64), map_features=16, importance_samples=256)
    config.vae.free_nats = 0.35  # against posterior collapse
    config.data.validation_split = "validation"
    config.model.update(features=48, head_features=48, dtype="bfloat16")
    config.optimizer.update(name="muon", learning_rate=3e-3, weight_decay=0.03)
    config.train.start_from = "binarized_mnist_convolutional"
    config.train.reinitialise = ("vertical_h", "horizontal_h")  # its h is the view
    config.train.update(batch_size=32, microbatch_size=4, ema_decay=0.998, steps=2_000, eval_every=500)
    config.train.update(report_images=500, sample_rows=40, sample_columns=12)
    return config
