"""The one train loop, and the three pure functions that it knows of an experiment."""

import errno
import fcntl
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from grain import MapDataset
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict
from tqdm import tqdm

from pixelcnn_jax.data.dataset import Images, evaluation_batches, read_ahead, training_batches
from pixelcnn_jax.data.image_files import save_grid
from pixelcnn_jax.devices import (
    by_first,
    check_batch_size,
    data_mesh,
    is_first,
    on_one_device,
    replicated,
    shard_batch,
    wait_for_older,
)
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.files import atomic_write
from pixelcnn_jax.likelihood import nats_to_bits_per_dim
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.checkpoint import Best, Checkpoints
from pixelcnn_jax.training.metrics import LIKELIHOOD, Metrics, words

Batch = dict[str, Array]


class Experiment(NamedTuple):
    """What is to be learned, as three pure functions; the loop knows nothing else.

    Attributes:
      init: ``key -> params``.
      loss: ``params, batch, key -> nats [batch]``: of each image, what is minimised. In evaluation the key is None; in
        training the batch holds "step" as well, how many steps were done before.
      sample: ``params, key -> images [rows, columns, height, width, channels]``: what the picture shows.
      measure: "bits_per_dim" for a loss that is a likelihood in nats; else what the loss is called, in its own unit.
      score_of: what the loss is of, as the table names it.
      report: ``params -> figures``: what else there is to say of the best parameters, once, at the end; what costs more
        of ``config.report_images`` images alone; nothing if that is 0.

    Parameters below the key "frozen" keep their values, provided that the loss stops their gradient.
    """

    init: Callable[[Key[Array, ""]], Params]
    loss: Callable[[Params, Batch, Key[Array, ""] | None], Float[Array, " batch"]]
    sample: Callable[[Params, Key[Array, ""]], Int[Array, "rows columns height width channels"]]
    measure: str = LIKELIHOOD
    score_of: str = "p(x)"
    report: Callable[[Params], dict[str, Any]] = lambda params: {}


class Splits(NamedTuple):
    """The images to learn from, to choose by, and to score once at the end."""

    train: Images
    validation: Images
    test: Images | None = None

    @property
    def reported(self) -> Images:
        """What an experiment reports of: the test images or, where there are none, those of validation."""
        return self.validation if self.test is None else self.test


class TrainState(NamedTuple):
    """Everything that the next step depends on, besides the seed."""

    step: Int[Array, ""]
    params: Params
    ema: Params
    optimizer: Any


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """AdamW after clipping the global norm; a warm-up, then constant or cosine; kernels decay, biases do not.

    Raises InputError for an unknown schedule.
    """
    schedules = {
        # Not optax's warm-up to a constant, which without steps of warm-up stays at 0.
        "constant": lambda: optax.join_schedules(
            [
                optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps),
                optax.constant_schedule(config.learning_rate),
            ],
            [config.warmup_steps],
        ),
        "cosine": lambda: optax.warmup_cosine_decay_schedule(
            0.0, config.learning_rate, config.warmup_steps, max(config.steps, config.warmup_steps + 1)
        ),
    }
    if config.schedule not in schedules:
        raise InputError(f'schedule must be one of {", ".join(schedules)}, not "{config.schedule}".')

    def kernels(params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: path[-1].key != "bias" and path[0].key != "frozen", params
        )

    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedules[config.schedule](), b2=config.adam_b2, weight_decay=config.weight_decay, mask=kernels),
    )


def init_state(experiment: Experiment, optimizer: optax.GradientTransformation, key: Key[Array, ""]) -> TrainState:
    """The state before the first step; a pure function of the key."""
    params = experiment.init(key)
    # The average is a copy: a buffer that stood in the state twice could not be donated to the next step.
    return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))


def in_parts(batch: Batch, at_once: int | None) -> Batch:
    """A batch as [parts, at_once, ...]: every so-manieth image, so that each part lies on all devices as it does."""
    return {name: jnp.moveaxis(x.reshape(at_once or len(x), -1, *x.shape[1:]), 1, 0) for name, x in batch.items()}


def train_step(
    state: TrainState,
    batch: Batch,
    key: Key[Array, ""],
    *,
    experiment: Experiment,
    optimizer: optax.GradientTransformation,
    ema: float,
    at_once: int | None = None,
) -> tuple[TrainState, Float[Array, ""]]:
    """One step on one batch, its noise a function of the key and the step: the next state, and the mean loss.

    The gradient is computed of ``at_once`` images after the other, and added up: less memory, and on CPU, where few
    images stay in the cache, up to 2.5 times the speed.
    """

    def mean_loss(params: Params, part: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return jnp.mean(experiment.loss(params, part | {"step": state.step}, key))

    step_key = jax.random.fold_in(key, state.step)
    parts = in_parts(batch, at_once)
    count = len(next(iter(parts.values())))

    def of_part(number: Int[Array, ""] | int, part: Batch) -> tuple[Float[Array, ""], Params]:
        found = jax.value_and_grad(mean_loss)(state.params, part, jax.random.fold_in(step_key, number))
        return jax.tree.map(lambda x: x / count, found)

    if count == 1:  # without a loop, in which XLA on CPU does some things more slowly
        loss, gradient = of_part(0, batch)
    else:
        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params))
        (loss, gradient), _ = jax.lax.scan(
            lambda total, numbered: (jax.tree.map(jnp.add, total, of_part(*numbered)), None),
            zero,
            (jnp.arange(count), parts),
        )
    # A step is as good as its gradient: one that overflowed must not look like a finite loss.
    loss = jnp.where(jnp.isfinite(optax.tree.norm(gradient)), loss, jnp.nan)
    updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    # Early on the average is short, so that it does not remember the initial values.
    decay = jnp.minimum(ema, (1 + state.step) / (10 + state.step))
    # Written so that what does not move stays to the bit.
    average = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), state.ema, params)
    return TrainState(state.step + 1, params, average, optimizer_state), loss


def evaluate(
    function: Callable[[Params, Batch], Float[Array, "batch ..."]],
    params: Params,
    images: Images,
    *,
    batch_size: int,
    put: Callable[[dict[str, np.ndarray]], Batch],
) -> Float[np.ndarray, "count ..."]:
    """What a function gives for every image of a split, in order; what pads the last batch is left out.

    Of several processes each hands its rows of a batch to ``put``, and ``function`` gives all of them the whole.
    """
    values: list[Array] = []
    own = evaluation_batches(
        images, batch_size=batch_size, process_index=jax.process_index(), process_count=jax.process_count()
    )
    for batch in own:
        del batch["mask"]  # false at the end of the last batch alone, of which another process may have the rows
        values.append(function(params, put(batch)))
        wait_for_older(values)
    return np.concatenate(values)[: len(images)]


def evaluator(
    function: Callable[[Params, Batch], Float[Array, "batch ..."]], config: ConfigDict
) -> Callable[[Params, Images], Float[np.ndarray, "count ..."]]:
    """``params, images -> values [count, ...]``: a pure function of a batch, over a whole split, on all devices.

    What is given for an image must not depend on the others of its batch, unless ``at_once`` is left out.
    """
    mesh = data_mesh()

    def whole_batch(params: Params, batch: Batch) -> Float[Array, "batch ..."]:
        parts = in_parts(batch, config.at_once)
        if len(next(iter(parts.values()))) == 1:
            return function(params, batch)
        values = jax.lax.map(lambda part: function(params, part), parts)
        return jnp.moveaxis(values, 0, 1).reshape(-1, *values.shape[2:])

    compiled = jax.jit(whole_batch, out_shardings=replicated(mesh))

    def over_split(params: Params, images: Images) -> Float[np.ndarray, "count ..."]:
        return evaluate(compiled, params, images, batch_size=config.eval_batch_size, put=partial(shard_batch, mesh))

    return over_split


def score(losses: Float[np.ndarray, " count"], images: Images, *, measure: str = LIKELIHOOD) -> dict[str, Any]:
    """A score as it is printed: the split, all its images counted, mean nats an image and bits/dim, or the measure."""
    mean = float(np.mean(losses, dtype=np.float64))
    found = {"nats": mean, LIKELIHOOD: nats_to_bits_per_dim(mean, images.shape)}
    return {"data": images.description, "images": len(losses)} | (found if measure == LIKELIHOOD else {measure: mean})


def train(config: ConfigDict, experiment: Experiment, splits: Splits, workdir: Path | str) -> dict[str, Any]:
    """Trains, or goes on training, in ``workdir``; scores the best parameters and writes ``result.json``.

    The parameters after step k are a function of the config alone: a run that was killed and started again ends with
    the same bits as one that was not. Validation by the averaged parameters chooses the best; the test split is scored
    once, at the end. Returns what ``result.json`` holds: every likelihood in nats an image and in bits/dim, or the
    experiment's own measure, and what it reports besides.

    Several processes (``parallel.join``) train together when each calls this, with a workdir that all of them see.

    Raises InputError for a workdir of another config, a batch that the devices cannot share, a damaged checkpoint,
    and a loss that is no longer finite.
    """
    check_fields(config)
    mesh = data_mesh()
    for name in ("batch_size", "eval_batch_size") if config.at_once is None else ("at_once",):
        check_batch_size(mesh, config[name], name=name)
    make_optimizer(config)
    batches = training_batches(
        splits.train,
        batch_size=config.batch_size,
        seed=config.seed,
        flip=config.flip,
        shift=config.shift,
        per_class=config.per_class,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    workdir = Path(workdir)
    with ExitStack() as held:

        def begin() -> str:
            claim(workdir, config, splits)
            if read_result(workdir) is None:  # a finished run may lie where nothing can be written
                held.enter_context(locked(workdir))
            return json.dumps(read_result(workdir))

        def end() -> str:
            atomic_write(workdir / "result.json", json.dumps(result, indent=2, default=str))
            return json.dumps(read_result(workdir))

        finished: dict[str, Any] | None = json.loads(by_first(begin))
        if finished is None:
            with closing(Checkpoints(workdir, keep=config.keep_checkpoints, owner=True)) as checkpoints:
                result = train_in(workdir, config, experiment, splits, batches, mesh, checkpoints)
            finished = dict(json.loads(by_first(end)))
    return finished


def read_result(workdir: Path | str) -> dict[str, Any] | None:
    """What ``result.json`` holds; None in the workdir of a run that is not finished. Raises InputError for damage."""
    file = Path(workdir) / "result.json"
    try:
        result = json.loads(file.read_text())
        if not {"measure", "scores", "report"} <= result.keys():
            raise ValueError
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} is damaged: remove it, and the command that trained writes it again.") from error
    return dict(result)


def train_in(
    workdir: Path,
    config: ConfigDict,
    experiment: Experiment,
    splits: Splits,
    batches: MapDataset,
    mesh: Mesh,
    checkpoints: Checkpoints,
) -> dict[str, Any]:
    """The loop itself, in a workdir that is claimed.

    Each of several processes draws the pictures too, on a device of its own: it would else wait for the first.
    """
    init_key, step_key, sample_key = jax.random.split(jax.random.key(config.seed), 3)
    optimizer, whole, put = make_optimizer(config), replicated(mesh), partial(shard_batch, mesh)
    fresh = jax.jit(partial(init_state, experiment, optimizer), out_shardings=whole)(init_key)
    step_of = partial(train_step, experiment=experiment, optimizer=optimizer, ema=config.ema, at_once=config.at_once)
    next_state = jax.jit(step_of, donate_argnames="state", out_shardings=whole)
    scored = evaluator(lambda params, batch: experiment.loss(params, batch, None), config)
    measure = experiment.measure

    def mean(losses: Float[np.ndarray, " count"]) -> float:
        return float(score(losses, splits.train, measure=measure)[measure])

    def picture(path: Path, params: Params, step: int) -> None:
        samples = experiment.sample(on_one_device(params), jax.random.fold_in(sample_key, step))
        if is_first():
            save_grid(path, samples, levels=splits.train.levels)

    state = checkpoints.restore(fresh) or fresh
    start = int(state.step)
    checkpoints.forget_after(start)
    best = checkpoints.best() or Best(step=0, loss=math.inf)
    numbered = zip(range(start + 1, config.steps + 1), read_ahead(batches, start=start), strict=False)
    quiet = None if is_first() else True  # None: where there is no terminal
    progress = tqdm(numbered, "training", initial=start, total=config.steps, unit="step", disable=quiet)

    with closing(Metrics(workdir, resumed_step=start, kept=is_first())) as metrics, progress:
        seconds_before, began = metrics.last("seconds"), time.monotonic()
        watch = Stopwatch(config.batch_size)

        def seconds() -> float:
            return seconds_before + time.monotonic() - began

        def draw_curve() -> None:
            metrics.draw(workdir / "curve.png", measure=measure, title=splits.train.description)

        for step, batch in progress:
            state, loss = next_state(state, put(batch), step_key)
            watch.step(loss)
            last = step == config.steps

            if last or step % config.log_every == 0:
                losses, rate = watch.read()
                check_finite(float(np.mean(losses)), step)
                metrics.write(step, **{f"train_{measure}": mean(losses)}, images_per_second=rate, seconds=seconds())
                progress.set_postfix({words(measure): f"{mean(losses):.3f}", "images/s": f"{rate:.0f}"})

            if last or step % config.eval_every == 0:
                pause = time.monotonic()
                validation = mean(scored(state.ema, splits.validation))
                check_finite(validation, step)
                metrics.write(step, **{f"validation_{measure}": validation}, seconds=seconds())
                if validation < best.loss:
                    best = Best(step, validation)
                    checkpoints.save_best(best, state.ema)
                picture(workdir / f"samples_{step:07d}.png", state.ema, step)
                draw_curve()
                if is_first():
                    progress.write(f"step {step}: validation {validation:.4f} {words(measure)}, best {best.loss:.4f}")
                watch.skip(time.monotonic() - pause)

            if last or step % config.checkpoint_every == 0:
                check_finite(float(loss), step)
                checkpoints.save(step, state)
        train_seconds = metrics.last("seconds")
        if start == config.steps:  # all steps were done by a process that was killed, perhaps before it drew
            draw_curve()

    if checkpoints.best() is None:  # removed since, of a run whose last step is done
        best = Best(start, math.inf)
        checkpoints.save_best(best, state.ema)
    params = checkpoints.restore_best(state.ema)
    picture(workdir / "samples.png", params, config.steps)
    train = splits.train if config.train_scored is None else splits.train.some(config.train_scored)
    named = {name: images for name, images in splits._replace(train=train)._asdict().items() if images is not None}
    return {
        "measure": measure,
        "scores": {name: score(scored(params, images), images, measure=measure) for name, images in named.items()},
        "score_of": experiment.score_of,
        "report": experiment.report(params) if config.report_images else {},
        "best_step": best.step,
        "steps": config.steps,
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "train_seconds": train_seconds,
        "samples": str(workdir / "samples.png"),
        "workdir": str(workdir),
        "devices": f"{mesh.size} x {jax.devices()[0].device_kind}",
        "versions": {module.__name__: module.__version__ for module in (jax, flax, optax)},
        "config": config.to_dict(),
    }


def check_fields(config: ConfigDict) -> None:
    """Raises InputError for values with which no training is possible."""
    for name, value in [*config.items(), *((f"model.{name}", value) for name, value in config.model.items())]:
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name} must be a finite number, not {value}.")
    for row in config.published:
        if not (isinstance(row, list | tuple) and len(row) == 4 and isinstance(row[3], int | float)):
            raise InputError(f'published must be rows of model, split, "bits/dim" or "nats", and value, not {row}.')
    counts = ("batch_size", "eval_batch_size", "steps", "log_every", "eval_every", "checkpoint_every")
    for name in (*counts, "keep_checkpoints", "per_class", "report_samples", "sample_rows", "sample_columns"):
        if config[name] < 1:
            raise InputError(f"{name} must be at least 1, not {config[name]}.")
    for name in ("train_scored", "at_once"):
        if config[name] is not None and config[name] < 1:
            raise InputError(f"{name} must be at least 1, not {config[name]}.")
    for name in ("batch_size", "eval_batch_size"):
        if config.at_once is not None and config[name] % config.at_once:
            raise InputError(f"{name}, {config[name]}, is no multiple of at_once, {config.at_once}.")
    for name in ("bottleneck", "small_layers", "codes"):
        if config[name] < 1:
            raise InputError(f"{name} must be at least 1, not {config[name]}.")
    if not config.encoder_features or not all(isinstance(n, int) and n >= 1 for n in config.encoder_features):
        raise InputError(f"encoder_features must be whole numbers of at least 1, not {config.encoder_features}.")
    for name in (
        *("seed", "shift", "report_images", "warmup_steps", "weight_decay"),
        *("map_features", "embedding_noise", "kl_warmup", "free_nats"),
    ):
        if config[name] < 0:
            raise InputError(f"{name} must be at least 0, not {config[name]}.")
    if config.seed >= 2**32:
        raise InputError(f"seed must be below 2**32, not {config.seed}.")
    if not 0 <= config.augment <= 1:
        raise InputError(f"augment must be between 0 and 1, not {config.augment}.")
    if not 0 < config.adam_b2 < 1:
        raise InputError(f"adam_b2 must be between 0 and 1, not {config.adam_b2}.")
    if not 0 <= config.ema < 1:
        raise InputError(f"ema must be at least 0 and below 1, not {config.ema}.")
    if config.learning_rate <= 0 or config.clip_norm <= 0:
        raise InputError("learning_rate and clip_norm must be above 0.")


def check_finite(loss: float, step: int) -> None:
    """Raises InputError for a run that has diverged, before anything of it is kept."""
    if not math.isfinite(loss):
        raise InputError(f"The loss is no longer finite at step {step}: lower learning_rate or clip_norm.")


def claim(workdir: Path, config: ConfigDict, splits: Splits) -> None:
    """Makes a workdir this config's own, by a ``config.json`` in it; where TFDS keeps its data may change.

    Beside the fields it holds what the data has made of them: the shape, the levels and the classes of images, and how
    many there are in each split.
    Raises InputError for a workdir that another config made, naming the first field that differs.
    """
    images = splits.train
    counts = {name: len(split) for name, split in splits._asdict().items() if split is not None}
    found = {
        "images": {"shape": images.shape, "levels": images.levels, "classes": images.classes, "counts": counts},
    }
    mine = json.loads(json.dumps(config.to_dict() | found, default=str))
    file = workdir / "config.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            if any(path.name != "config.json.part" for path in workdir.iterdir()):
                raise OSError("it holds files, but no config.json of a run")
            atomic_write(file, json.dumps(mine, indent=2))
        theirs = dict(json.loads(file.read_text()))
        theirs["images"].setdefault("counts", counts)  # of a version that did not count
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{workdir} cannot be used as a workdir: {error}") from None
    movable = {"download", "compilation_cache"} | ({"data_dir"} if config.dataset != "folder" else set())
    for name in sorted((mine.keys() | theirs.keys()) - movable):
        if differ(mine.get(name), theirs.get(name)):
            raise InputError(
                f"{workdir} belongs to another config, where {name} is {theirs.get(name)} and not {mine.get(name)}: "
                "choose another workdir."
            )


def differ(mine: Any, theirs: Any) -> bool:
    """Whether a field is another; one that is missing, as of a version that had no such field, is as one unset."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return any(differ(mine.get(name), theirs.get(name)) for name in mine.keys() | theirs.keys())
    return bool(mine != theirs and (mine or theirs))


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps a second process out of a workdir; the lock goes with the process, however it ends."""
    with (workdir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another process is training in {workdir}: wait for it, or choose another.") from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):  # a file system that has no locks
                raise
        yield


class Stopwatch:
    """Losses and images a second since it was last read; adding to it waits for a step two steps ago."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self.reset()

    def skip(self, seconds: float) -> None:
        """Does not count what came between two steps: an evaluation."""
        self._began += seconds

    def reset(self) -> None:
        """Begins anew."""
        self._losses: list[Array] = []
        self._began = time.monotonic()

    def step(self, loss: Float[Array, ""]) -> None:
        """Counts a step."""
        self._losses.append(loss)
        wait_for_older(self._losses)

    def read(self) -> tuple[Float[np.ndarray, " steps"], float]:
        """The loss of each step since the last reading, and images a second; waits for them to finish."""
        losses = np.array(jax.device_get(self._losses))
        rate = len(losses) * self._batch_size / max(1e-9, time.monotonic() - self._began)
        self.reset()
        return losses, rate
