"""Binary MNIST by a variational auto-encoder whose decoder starts as the model of configs/binarized_mnist.py:1.

Paper row: none. Section 4 names this as future work. PixelVAE (1611.05013) and VLAE (1611.02731) report bounds on this
binarisation: 79.02 and 79.03 nats.
Commands, in order, after step 1 of configs/binarized_mnist.py:
  python -m experiments.train --config=configs/binarized_mnist_vae.py:1 --workdir=runs/binarized_mnist_vae_1
  python -m experiments.train --config=configs/binarized_mnist_vae.py:2 --workdir=runs/binarized_mnist_vae_2
Time: 30 and 47 minutes (64,000 and 76,800 images) on one core of an AMD EPYC, shared at times (2026-11-26); then 16
minutes for scores and report.
Result: test negative ELBO 82.79 nats (83.77 after step 1). On 500 test images: negative ELBO 83.07, 80.53 with 256
importance samples (81.01), KL 11.73, 32 of 32 numbers active; the decoder's start has 80.67 on them.
"""

from ml_collections import ConfigDict

from configs import predecessors


def get_config(step: str = "1") -> ConfigDict:
    config = predecessors.get_config("vae")
    config.vae.bottleneck = 32
    config.vae.encoder_features = (32, 64)
    config.vae.map_features = 16
    config.vae.free_nats = 0.35 if step == "1" else 0.32  # of KL for each of 32 numbers: the decoder needs none of them
    config.vae.importance_samples = 256
    config.data.validation_split = "validation"
    config.model.features = 48
    config.model.head_features = 48
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 3e-3 if step == "1" else 2.5e-3
    config.optimizer.weight_decay = 0.03
    config.train.start_from = "runs/binarized_mnist_1" if step == "1" else "runs/binarized_mnist_vae_1"
    config.train.batch_size = 32
    config.train.microbatch_size = 4
    config.train.steps = 2_000 if step == "1" else 2_400
    config.train.ema_decay = 0.998
    config.train.eval_every = 500
    config.train.report_images = 500
    config.train.sample_rows = 40
    config.train.sample_columns = 12
    return config
