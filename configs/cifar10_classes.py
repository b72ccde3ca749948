"""CIFAR-10 given the label: a warm start from the published "cifar10".

Paper row: figures 3 and 8 (ImageNet); the label saves at most 0.0011 bits/dim.
Commands, in order:
  python -m experiments.train --config=configs/mnist_classifier.py --workdir=runs/cifar10_classifier
  --config.data.dataset=cifar10 --config.data.binarize=none --config.data.flip --config.train.steps=6000
  --config.data.train_split=train[:45000] --config.data.validation_split=train[45000:]
  python -m experiments.train --config=configs/cifar10_classes.py --workdir=runs/cifar10_classes
  --config.class_conditional.classifier=runs/cifar10_classifier
Time: 82 minutes (57,600 images), classifier 18, one shared Intel Xeon core with AMX, 2026-11-29. Time and result are
those of 96 features, started from the sixth training of configs/cifar10.py; today's wider network was not yet trained.
Result: test 3.130 bits/dim, validation 3.131, train 3.101 (1,000 images): the published "cifar10_classes". Bayes
accuracy 53.8 % (2,000 test images). Class accuracy of 200 samples 24.0 %, with guidance 2 50.0 %, with 4 66.5 %
(benchmarks.guidance), of test images 77.3 %.
"""

from configs import ConfigDict, cifar10


def get_config() -> ConfigDict:
    config = cifar10.get_config("8", "class_conditional")
    config.data.labels = True
    config.class_conditional.drop_condition = 0.1  # for guidance
    config.train.update(start_from="cifar10", steps=2_400, eval_every=600, sample_rows=10)
    return config
