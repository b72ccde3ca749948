"""Scenes of one or two MNIST digits given a sentence, 32x32, binarised at half.

Paper row: none (section 4). The scenes follow alignDRAW (1511.02793).
Commands, in order:
  python -m experiments.train --config=configs/mnist_classifier.py --workdir=runs/mnist_classifier_14
  --config.data.resize=14 --config.data.shift=1 --config.train.steps=4000
  python -m experiments.train --config=configs/mnist_captions.py --workdir=runs/mnist_captions
  --config.captions.classifier=runs/mnist_classifier_14
  python -m experiments.train --config=configs/mnist_captions.py --workdir=runs/mnist_captions_2
  --config.captions.classifier=runs/mnist_classifier_14 --config.train.start_from=runs/mnist_captions
  --config.train.steps=3000 --config.train.eval_every=1000 --config.optimizer.warmup_steps=50
The first trains a classifier that recognises the digits in samples (97.7 % of the test digits), the third continues the
second.
Time, without reports: at most 8 minutes for the classifier, 28 for the first training (35,000 images), 33 for the
second (48,000); one shared AMD EPYC core, 2026-11-26.
Result: 51.87 nats of held-out scenes, 47.52 of seen ones: the published "captions". Bayes accuracy over 240 scenes, 48
images each: 89.6 % held out, 89.6 % seen. Samples that match their caption, of 500: 81.4 % held out, 81.4 % seen; with
guidance 1, 98.4 % and 98.6 %; real held-out images 94.0 %.

configs/mnist_captions.py:60 has alignDRAW's 60x60 images, digits of 28x28, 3.5 times the FLOPs; not run.
"""

from configs import ConfigDict, default_config


def get_config(size: str = "32") -> ConfigDict:
    config = default_config("captions")
    config.data.update(dataset=f"mnist_scenes/{size}x{size}", binarize="threshold", captions=True)
    config.data.labels = True  # index of the scene, shared by its captions
    config.data.test_split = "held_out"
    config.model.update(features=24, layers=5, head_features=24, first_kernel_size=23)
    config.optimizer.update(name="muon", learning_rate=6e-3)
    config.train.update(batch_size=16, microbatch_size=4, steps=2_200, ema_decay=0.998)
    config.train.update(eval_batch_size=200, eval_every=550, score_train_images=500)
    config.train.report_images = 48  # each scored given 241 captions
    config.train.update(report_samples=500, sample_rows=9, sample_columns=6)
    return config
