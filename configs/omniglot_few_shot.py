"""Omniglot, 28x28: new drawings of a character given 0 to 9 drawings of it; measured on alphabets not trained on.

Paper row: section 4 names images "solely from a single example" as future work.
Command: python -m experiments.train --config=configs/omniglot_few_shot.py --workdir=runs/omniglot_few_shot
  The result is of --config.data.dataset=omniglot28: the arrays of the Generative Matching Networks code
  (github.com/sbos/gmn), 28x28 and black on white, as a prepared data set. TFDS's own omniglot, reduced as below, has 6
  to 11 % less ink in the same strokes. A run on it has not been done yet.
  Then, from its weights: --workdir=runs/omniglot_few_shot_2 --config.train.start_from=runs/omniglot_few_shot
  --config.train.steps=5500 --config.optimizer.learning_rate=6e-3 --config.train.ema_decay=0.998
  --config.train.eval_every=1100 --config.train.checkpoint_every=275 --config.few_shot.report_episodes=1000
Time: 40 minutes (28,800 drawings, 1.7 epochs) and 49 minutes (88,000, 5.3 epochs) on a shared core of an AMD EPYC, 14
and 30 images/s; then 26 minutes for scores and report (2026-11-26).
Result: 69.43 nats without an example, 62.14 given one, 58.04 given nine (1,318 drawings of the 659 characters of test).
20-way accuracy by Bayes' rule, 1,000 episodes each: 82.8 % from one example of each character, 85.1 % with the rule
read both ways, and 94.9 % from five; among characters of one alphabet 63.7 %, 66.7 % and 82.4 %. The published model
"omniglot_few_shot".
"""

from ml_collections import ConfigDict

from experiments import default_config

# The alphabets of the test split. The train split has none of them.
UNSEEN = (
    "Angelic",
    "Atemayar_Qelisayer",
    "Atlantean",
    "Aurek-Besh",
    "Avesta",
    "Ge_ez",
    "Glagolitic",
    "Gurmukhi",
    "Kannada",
    "Keble",
    "Malayalam",
    "Manipuri",
    "Mongolian",
    "Old_Church_Slavonic_(Cyrillic)",
    "Oriya",
    "Sylheti",
    "Syriac_(Serto)",
    "Tengwar",
    "Tibetan",
    "ULOG",
)


def get_config() -> ConfigDict:
    config = default_config("few_shot")
    config.data.dataset = "omniglot"
    config.data.train_split = "train where alphabet is below 41"  # 26 alphabets
    config.data.validation_split = "train where alphabet is at least 41[:640]"  # Sanskrit, Syriac, Tagalog and Tifinagh
    config.data.grey = True
    config.data.invert = True
    config.data.resize = 28
    config.data.binarize = "threshold"
    config.data.labels = True
    config.data.examples = 9
    config.few_shot.alphabets = tuple(f"test where alphabet is {name}" for name in UNSEEN)
    config.few_shot.encoder_features = (16, 48)
    config.few_shot.heads = 3
    config.few_shot.map_features = 24
    config.few_shot.report_episodes = 200
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 32
    config.model.first_kernel_size = 23
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 8e-3
    config.optimizer.warmup_steps = 50
    config.train.batch_size = 16
    config.train.microbatch_size = 4
    config.train.steps = 1_800
    config.train.ema_decay = 0.99
    config.train.eval_every = 600
    config.train.checkpoint_every = 150
    config.train.score_train_images = 2000
    config.train.sample_columns = 12
    return config
