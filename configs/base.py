"""Every field of a config, with its meaning; the files beside this one change what a run needs changed."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    config = ConfigDict()

    config.experiment = "unconditional"  # the module of experiments/ that this is a config of
    config.seed = 0  # of the parameters, the batches, dropout and samples; the same seed gives the same bits

    # Data
    config.dataset = "digits"  # digits, folder (of images, at data_dir), or the name of any TFDS image data set
    config.data_dir = placeholder(str)  # where TFDS keeps its data sets, or the folder; TFDS's own default if None
    config.download = False  # whether TFDS may fetch and prepare a data set that is not there
    config.train_split = "train"  # to learn from; train[:90%] and train[:50000] name parts
    config.validation_split = "validation"  # to choose the best parameters by
    config.test_split = "test"  # scored once, at the end; empty for none
    config.train_scored = placeholder(int)  # how many training images are scored at the end; None for all
    config.levels = 256  # values a sub-pixel may take
    config.bits = placeholder(int)  # keep so many of the 8 bits of a pixel; None keeps all
    config.binarize = "none"  # none, threshold (at half), or dynamic (drawn anew in every epoch)
    config.resize = placeholder(int)  # height and width after a centre crop; None keeps the size
    config.grey = False  # colour to grey
    config.invert = False  # dark to bright, as for ink on white paper
    config.labels = False  # whether batches carry class labels
    config.flip = False  # mirror half of the training images, left to right
    config.per_class = 1  # so many training images of a class follow one another, for losses that compare them
    config.augment = 0.0  # share of training images shown turned, mirrored or moved; the model is told which, as its h
    config.turn = False  # of embeddings: show square training images turned and mirrored, each way another identity
    config.shift = 0  # move training images by up to so many pixels, over zeros

    # Model: the fields of pixelcnn_jax.models.autoregressive.Network, but for levels and channels, which the data says
    config.network = "GatedPixelCNN"  # GatedPixelCNN, PixelCNN, RowLSTM or DiagonalBiLSTM
    config.model = ConfigDict()
    config.model.features = 64  # p, the feature maps of each stack; h of the three older networks
    config.model.layers = 7  # layers after the strict one
    config.model.kernel_size = 3  # n of the n x n filters, odd
    config.model.first_kernel_size = 7  # n of the strict layer
    config.model.head_features = placeholder(int)  # feature maps between the 1x1 of the head; None for p
    config.model.dropout = 0.0  # share of the features dropped in training
    config.model.code_features = 0  # 0 for intensities; else the size of an embedding of codes
    config.model.mixture = 0  # 0 for a logit a level; else how many discretised logistics (PixelCNN++)
    config.model.dtype = "float32"  # what the layers compute in: float32, bfloat16 or float16
    config.model.remat = False  # compute each layer again in the backward pass: a third more time, far less memory

    # Conditions, as far as the experiment has them
    config.encoder_features = (32, 64, 128)  # feature maps of each stage of an encoder; each halves the image
    config.bottleneck = 10  # m, the numbers in h that an encoder gives
    config.map_features = 0  # feature maps of s = m(h) (equation 5) in place of V h; or of the map of a small image
    config.small_layers = 8  # layers of a multi-scale model's first network
    config.kl_warmup = 0  # steps over which the weight of a variational auto-encoder's KL term rises to 1
    config.free_nats = 0.0  # of KL in each number of its code that training does not count
    config.codes = 64  # K, how many codes a vector quantiser has
    config.embedder = placeholder(str)  # the workdir of the embedding network whose vectors are h
    config.embedding_noise = 0.0  # standard deviation of what training adds to each number, about 1, of an embedding h
    config.margin = 0.2  # of the triplet loss
    config.unconditional = placeholder(str)  # an unconditional run of the same data to compare with: workdir or weights
    config.single_scale = placeholder(str)  # a run of one scale of the same data to compare with: workdir or weights
    config.classifier = placeholder(str)  # the workdir of a classifier that judges class-conditional samples
    config.report_images = 2000  # test images of which an experiment reports what costs more; 0 for no report
    config.report_samples = 1000  # samples that are judged

    # Ablations
    config.variants = ()  # which parts are taken away, by their names in experiments/ablations.py
    config.seeds = 0  # how many times each is trained

    # Optimisation
    config.start_from = placeholder(str)  # weights to begin with: a name of load_pretrained, or a .safetensors file
    config.batch_size = 64  # images a step, over all devices
    config.at_once = placeholder(int)  # images computed at a time, over all devices; few fit a CPU's cache; None: all
    config.steps = 1000  # how long to train
    config.learning_rate = 1e-3  # its highest value
    config.warmup_steps = 100  # over which it rises from zero
    config.schedule = "cosine"  # cosine (to zero at the last step) or constant
    config.adam_b2 = 0.99  # decay of Adam's second moment
    config.weight_decay = 0.0  # of AdamW, on kernels alone
    config.clip_norm = 1.0  # of the gradient of the mean nats of an image
    config.ema = 0.999  # decay of the average of the parameters that is evaluated and sampled

    # Loop
    config.eval_batch_size = 64  # images a step in evaluation; the last batch is filled up and masked, never dropped
    config.log_every = 50  # steps between two records of the training loss
    config.eval_every = 500  # steps between two validations, each with a picture of samples
    config.checkpoint_every = 500  # steps between two checkpoints; a killed run goes on from the last
    config.keep_checkpoints = 2  # how many to keep, besides the best parameters
    config.sample_rows = 8  # of the picture of samples
    config.sample_columns = 8
    config.compilation_cache = placeholder(str)  # a folder in which to keep what was compiled, for later runs

    # The results table: likelihoods without a network are counted, published ones quoted
    config.baselines = False  # count uniform and independent pixels, reading all splits once
    config.published = ()  # (model, split, "bits/dim" or "nats", value), to stand beside
    config.lock()  # a field that is mistyped in a config, or on a command line, is an error
    return config
