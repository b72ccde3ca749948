"""Binary MNIST, fixed binarisation, without attention: four trainings, each but the first a warm start.

Paper row: see configs/predecessors.py; a Gated PixelCNN has 80.10 nats (PixelVAE, 1611.05013).
Commands, in order:
  python -m experiments.train --config=configs/binarized_mnist_convolutional.py:1 --workdir=runs/convolutional_1
  python -m experiments.train --config=configs/binarized_mnist_convolutional.py:2 --workdir=runs/convolutional_2
  python -m experiments.train --config=configs/binarized_mnist_convolutional.py:3 --workdir=runs/convolutional_3
  python -m experiments.train --config=configs/binarized_mnist_convolutional.py:4 --workdir=runs/convolutional_4
In steps 2 and 3, most images are rotated, mirrored or shifted. In step 4, half of the images are rotated by 180
degrees, and none is changed in another way. In steps 2 to 4, h says how an image was changed. So the model learns two
pixel orders, and the mean of both probabilities is scored below, too.
Time: 90, 52, 51 and 69 minutes (288,000, 192,000, 224,000 and 288,000 images), one AMD EPYC core, 2026-11-28.
Result: test nats 80.41, 80.22, 80.13, 79.97; the fourth is the published "binarized_mnist_convolutional" (validation
80.34, train 79.35, 10,000 images). Mean of p(x) and p(rotated x): 79.55 (pixelcnn evaluate
binarized_mnist_convolutional --mean-over=views).
"""

from configs import ConfigDict, predecessors, step_number

# Of each warm start: augment, dropout, steps, eval_every.
TRAININGS = {2: (0.75, 0.0, 6_000, 1_000), 3: (0.85, 0.05, 7_000, 1_750), 4: (0.5, 0.05, 9_000, 1_500)}


def get_config(step: str = "1") -> ConfigDict:
    config = predecessors.get_config()
    config.data.validation_split = "validation"
    config.model.update(features=48, head_features=48)
    # Without weight decay, weights and loss grow.
    config.optimizer.update(name="muon", learning_rate=4e-3, warmup_steps=200, weight_decay=0.03)
    config.train.update(batch_size=32, microbatch_size=4, steps=9_000, ema_decay=0.999)
    config.train.update(eval_every=1_500, score_train_images=10_000)
    if (number := step_number(step, 4)) > 1:
        config.unconditional.augment, config.model.dropout, steps, every = TRAININGS[number]
        config.model.dtype = "bfloat16"
        config.optimizer.learning_rate = 2e-3
        config.train.update(start_from=f"runs/convolutional_{number - 1}", steps=steps, eval_every=every)
        # View 3 is rotated by 180 degrees: from the last pixel to the first.
        config.unconditional.views = (3,) if number == 4 else ()
    return config
