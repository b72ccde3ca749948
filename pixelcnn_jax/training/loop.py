"""The train loop."""

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from pixelcnn_jax.data.batches import training_batches
from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.source import read_ahead
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.training.best import BestModel
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.config import RunConfig, keys, to_dict
from pixelcnn_jax.training.custom_loggers import make_loggers
from pixelcnn_jax.training.evaluation import score
from pixelcnn_jax.training.experiment import Experiment, Params
from pixelcnn_jax.training.metrics import Metrics, Stopwatch, display_name, samples_file
from pixelcnn_jax.training.optimizer import make_optimizer, make_schedule
from pixelcnn_jax.training.processes import is_first, own_rows, run_on_first_process
from pixelcnn_jax.training.signals import Interrupted, StopNow, stop_requests
from pixelcnn_jax.training.start import trained_params
from pixelcnn_jax.training.step import Measured, TrainState, init_state, train_step

MAX_SKIPPED = 10  # non-finite gradients in a row that stop a run
REMEDY = "lower learning_rate, or set the dtype of the network to float32."


def train_steps(
    config: RunConfig,
    experiment: Experiment,
    splits: Splits,
    workdir: Path | None,
    *,
    best: BestModel,
    scorer: Callable[[Params, Dataset], dict[str, Any]],
    draw: Callable[[str, Params, int], None] = lambda *_: None,
    report: Callable[[Metrics], None] = lambda _: None,
    shows: bool = True,
) -> Metrics:
    """Trains from the latest checkpoint to the last step.

    Args:
      workdir: locked run directory; None disables checkpoints, files and signal handling.
      scorer: computes the mean loss of a split.
      draw: draws samples: file name, parameters, step.
      report: called after each validation.

    Raises:
      InputError: loss or gradient is no longer finite.
      Interrupted: stopped by a signal; the state is saved.
    """
    settings, measure, mesh = config.train, experiment.measure, data_mesh()
    shows = shows and is_first()
    learning_rate = make_schedule(config.optimizer, steps=settings.steps)
    checkpoints = Checkpoints(workdir and workdir / "checkpoints")
    state, next_state = begin(config, experiment, checkpoints, mesh)
    start = saved = int(state.step)
    best.resume()
    loggers = make_loggers(settings.loggers, workdir, to_dict(config)) if workdir and is_first() else ()
    metrics = Metrics(workdir, resumed_step=start, loggers=loggers)
    watch = Stopwatch(settings.batch_size)
    began, earlier = time.monotonic(), metrics.last("seconds")
    numbered = zip(range(start + 1, settings.steps + 1), batches_after(start, config, splits.train), strict=False)
    if shows:
        images = f"{splits.train.description}, {len(splits.train):,} images"
        print(f"training on {images}, from step {start:,} to {settings.steps:,}; compiling first", flush=True)
    bar = progress_bar(numbered, "compiling", shown=shows, initial=start, total=settings.steps, unit="step")

    def is_due(step: int, interval: int) -> bool:
        return step == settings.steps or step % interval == 0

    def record(step: int, **scalars: int | float) -> None:
        seconds = earlier + time.monotonic() - began
        metrics.write(step, **{k: x for k, x in scalars.items() if math.isfinite(x)}, seconds=seconds)

    def validate(step: int) -> None:
        scored = scorer(state.ema, splits.validation)
        if not math.isfinite(loss := scored[measure]):
            raise InputError(f"The validation loss is not finite at step {step}: {REMEDY}")
        best.offer(step, scored, state.ema)
        draw(samples_file(step), state.ema, step)
        record(step, **{f"validation_{measure}": loss})
        report(metrics)
        if shows:
            bar.write(f"step {step}: validation {loss:.4f} {display_name(measure)}, best {best.loss:.4f}")
            sys.stdout.flush()

    def check_skipped(step: int, skipped: int) -> int:
        if skipped >= MAX_SKIPPED:  # at unchanged parameters
            checkpoints.discard_from(step - skipped)
            raise InputError(
                f"The gradient was not finite in {skipped} steps up to {step}; the last checkpoint is good: {REMEDY}"
            )
        return skipped

    def save(step: int) -> None:
        with watch.paused():
            checkpoints.save(step, state)

    validated = partial(metrics.has, start, f"validation_{measure}")
    with closing(metrics), bar, stop_requests(settings.seconds, listens=workdir is not None) as stop:
        try:
            # A stopped process may have saved a step before its validation.
            if start and is_due(start, settings.eval_every) and not run_on_first_process(validated):
                with stop.may_raise(), watch.paused():
                    validate(start)
            for step, batch in bar:
                state, measured = next_state(state, shard_batch(mesh, batch))
                if finished := watch.count(measured):
                    check_skipped(step - 2, int(finished.skipped))
                if step == start + 1:
                    bar.unpause()  # excludes compilation from the estimate
                    bar.set_description("training")
                if is_due(step, settings.log_every):
                    steps, rate = watch.read()
                    check_skipped(step, int(steps.skipped[-1]))
                    loss, norm, skipped = means(steps, splits.train, measure)
                    scalars = {"learning_rate": float(learning_rate(step - 1)), "gradient_norm": norm}
                    record(step, **{f"train_{measure}": loss}, images_per_second=rate, **scalars, skipped=skipped)
                    shown = {display_name(measure): f"{loss:.3f}", "images/s": f"{rate:.0f}"}
                    shown |= {"skipped": str(skipped)} if skipped else {}
                    bar.set_postfix(shown)
                    if bar.disable and shows:  # the output is a file
                        print(f"step {step}:", *(f"{x} {name}" for name, x in shown.items()), flush=True)
                if is_due(step, settings.eval_every):
                    with stop.may_raise(), watch.paused():
                        validate(step)
                if stop.reached(step):
                    raise StopNow
                if is_due(step, settings.checkpoint_every) and not check_skipped(step, int(state.skipped)):
                    save(step)
                    saved = step
            with stop.may_raise():  # last chance to stop before scoring
                report(metrics)
        except StopNow:
            step = int(state.step)
            if step > saved:  # saving a step again would first remove it
                save(step)
            message = f"Stopped after step {step}, which is saved: repeat the command or call to resume."
            raise Interrupted(message, stop.signal or signal.SIGTERM) from None
    if best.step == 0:  # the best model was damaged
        best.offer(start, scorer(state.ema, splits.validation), state.ema)
    return metrics


def begin(
    config: RunConfig, experiment: Experiment, checkpoints: Checkpoints, mesh: Mesh
) -> tuple[TrainState, Callable[[TrainState, Any], tuple[TrainState, Measured]]]:
    """Restores the state of the latest checkpoint, or initialises it; also builds the compiled step."""
    settings, (init_key, step_key, *_) = config.train, keys(config)
    optimizer = make_optimizer(config.optimizer, experiment.networks, steps=settings.steps)
    fresh_state = jax.jit(partial(init_state, experiment, optimizer), out_shardings=replicated(mesh))
    step_function = partial(
        train_step,
        experiment=experiment,
        optimizer=optimizer,
        ema_decay=settings.ema_decay,
        microbatch_size=settings.microbatch_size,
        mesh=mesh,
    )
    next_state = jax.jit(step_function, donate_argnames="state", out_shardings=replicated(mesh))
    # Initialised only if there is nothing to restore: both would take twice the memory.
    state: TrainState = checkpoints.restore(jax.eval_shape(fresh_state, init_key)) or fresh_state(
        init_key, trained_params(settings.start_from, experiment, without=settings.reinitialise)
    )
    return state, lambda state, batch: next_state(state, batch, step_key)


def batches_after(step: int, config: RunConfig, train: Dataset) -> Iterator[Any]:
    """Reads the batches of the steps after ``step``, ahead of the device."""
    batches = training_batches(
        train,
        batch_size=config.train.batch_size,
        seed=config.seed,
        flip=config.data.flip,
        shift=config.data.shift,
        images_per_class=config.data.images_per_class,
        **own_rows(),
    )
    return read_ahead(batches, start=step)


def means(steps: Measured, train: Dataset, measure: str) -> tuple[float, float, int]:
    """Averages loss and gradient norm over the steps that were not skipped, and counts the others."""
    finite = np.isfinite(steps.loss)
    finite |= not finite.any()  # if all were skipped, the means are NaN and are not recorded
    loss = score(np.asarray(steps.loss)[finite], train, measure=measure)[measure]
    return loss, float(np.mean(steps.gradient_norm[finite])), int(np.count_nonzero(steps.skipped))
