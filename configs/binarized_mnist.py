"""Binary MNIST, fixed binarisation: five trainings, each but the first a warm start from the one before.

Paper row: see configs/predecessors.py; a Gated PixelCNN has 80.10 nats (PixelVAE, 1611.05013).
Commands, in order:
  python -m experiments.train --config=configs/binarized_mnist.py:1 --workdir=runs/binarized_mnist_1
  python -m experiments.train --config=configs/binarized_mnist.py:2 --workdir=runs/binarized_mnist_2
  python -m experiments.train --config=configs/binarized_mnist.py:3 --workdir=runs/binarized_mnist_3
  python -m experiments.train --config=configs/binarized_mnist.py:4 --workdir=runs/binarized_mnist_4
  python -m experiments.train --config=configs/binarized_mnist.py:5 --workdir=runs/binarized_mnist_5
In steps 2 and 3, most images are rotated, mirrored or shifted. In steps 4 and 5, half of the images are rotated by 180
degrees, and none is changed in another way. In all these steps, h says how an image was changed. So the model learns
two pixel orders, and the mean of both probabilities is scored below, too. Step 5 adds attention.
Time: 90, 52, 51, 69, 94 minutes (288,000, 192,000, 224,000, 288,000, 288,000 images); steps 1 to 4 on one AMD EPYC
core, 2026-11-28, step 5 on one with AVX512_BF16, 2026-12-01.
Result: test nats 80.41, 80.22, 80.13, 79.97, 79.08; after step 4 the published "binarized_mnist_convolutional"
(validation 80.34, train 79.35, 10,000 images), after step 5 "binarized_mnist" (validation 79.41, train 78.43). Mean of
p(x) and p(rotated x): 79.55 and 78.67 (pixelcnn evaluate binarized_mnist --mean-over=views).
"""

from configs import ConfigDict, predecessors, step_number

# Of each warm start: augment, dropout, steps, eval_every.
TRAININGS = {2: (0.75, 0.0, 6_000, 1_000), 3: (0.85, 0.05, 7_000, 1_750), 4: (0.5, 0.05, 9_000, 1_500)}
TRAININGS[5] = TRAININGS[4]


def get_config(step: str = "1") -> ConfigDict:
    config = predecessors.get_config()
    config.data.validation_split = "validation"
    config.model.update(features=48, head_features=48)
    config.optimizer.update(name="muon", learning_rate=4e-3, warmup_steps=200)
    config.optimizer.weight_decay = 0.03  # without it weights and loss grow
    config.train.update(batch_size=32, microbatch_size=4, steps=9_000, ema_decay=0.999)
    config.train.update(eval_every=1_500, score_train_images=10_000)
    if (number := step_number(step, 5)) > 1:
        config.unconditional.augment, config.model.dropout, steps, every = TRAININGS[number]
        config.model.dtype = "bfloat16"
        config.optimizer.learning_rate = 2e-3
        config.train.update(start_from=f"runs/binarized_mnist_{number - 1}", steps=steps, eval_every=every)
    if number >= 4:
        config.unconditional.views = (3,)  # rotated by 180 degrees: from the last pixel to the first
    if number == 5:
        config.model.attention = 3
        config.train.microbatch_size = 1
    return config
