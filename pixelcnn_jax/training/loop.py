"""The train loop."""

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pixelcnn_jax.data.batches import training_batches
from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.source import read_ahead
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.training.best import BestModel
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.config import RunConfig, run_keys, to_dict
from pixelcnn_jax.training.custom_loggers import make_loggers
from pixelcnn_jax.training.evaluation import Scorer, score
from pixelcnn_jax.training.experiment import Experiment, Params
from pixelcnn_jax.training.metrics import Metrics, Stopwatch, display_name, samples_file
from pixelcnn_jax.training.optimizer import make_optimizer, make_schedule
from pixelcnn_jax.training.processes import is_first, own_rows, run_on_first_process
from pixelcnn_jax.training.signals import Interrupted, StopNow, StopRequest, stop_requests
from pixelcnn_jax.training.step import Measured, TrainState, init_state, train_step
from pixelcnn_jax.training.warm_start import trained_params

MAX_SKIPPED = 10  # non-finite gradients in a row that stop a run
REMEDY = "lower learning_rate, or set the dtype of the network to float32."


@dataclass(eq=False)
class Loop:
    """The steps of a run, from its latest checkpoint on, and what is done between them.

    Attributes:
      config, experiment, splits: what is trained, and on what.
      workdir: locked run directory; None disables checkpoints, files and signal handling.
      best: keeps the best parameters.
      scorer: computes the mean loss of a split.
      draw: draws samples: file name, parameters, step.
      report: called after each validation.
      shows: whether to show progress.
    """

    config: RunConfig
    experiment: Experiment
    splits: Splits
    workdir: Path | None
    best: BestModel
    scorer: Scorer
    draw: Callable[[str, Params, int], None] = lambda *_: None
    report: Callable[[Metrics], None] = lambda _: None
    shows: bool = True

    def __post_init__(self) -> None:
        settings, train, workdir = self.config.train, self.splits.train, self.workdir
        self.shows = self.shows and is_first()
        self.learning_rate = jax.jit(make_schedule(self.config.optimizer, steps=settings.steps))
        self.checkpoints = Checkpoints(workdir and workdir / "checkpoints")
        self.state, self.next_state = begin(self.config, self.experiment, self.checkpoints)
        self.start = self.saved = start = int(self.state.step)
        self.best.resume()
        loggers = make_loggers(settings.loggers, workdir, to_dict(self.config)) if workdir and is_first() else ()
        self.metrics = Metrics(workdir, resumed_step=start, loggers=loggers)
        self.watch = Stopwatch(settings.batch_size)
        self.began, self.earlier = time.monotonic(), self.metrics.last("seconds")
        numbered = zip(range(start + 1, settings.steps + 1), batches_after(start, self.config, train), strict=False)
        if self.shows:
            images = f"{train.description}, {len(train):,} images"
            print(f"training on {images}, from step {start:,} to step {settings.steps:,}; compiling first", flush=True)
        options: dict[str, Any] = {"shown": self.shows, "initial": start, "total": settings.steps, "unit": "step"}
        self.bar = progress_bar(numbered, "compiling", **options)

    def train_steps(self) -> Metrics:
        """Trains to the last step.

        Raises:
          InputError: loss or gradient is no longer finite.
          Interrupted: stopped by a signal, or because the reader of the output has ended; the state is saved.
        """
        settings = self.config.train
        # As at Ctrl-C after `| tee`. Of several processes, the others would not save then.
        ends_of_output = (BrokenPipeError,) if self.workdir and jax.process_count() == 1 else ()
        with closing(self.metrics), self.bar, stop_requests(settings.seconds, listens=self.workdir is not None) as stop:
            try:
                self.make_up(stop)
                for step, batch in self.bar:
                    self.take(step, batch)
                    if self.is_due(step, settings.log_every):
                        self.log(step)
                    if self.is_due(step, settings.checkpoint_every):
                        self.check_skipped(step, skipped := int(self.state.skipped))
                        if not skipped:
                            self.save(step)
                    if self.is_due(step, settings.eval_every):
                        self.validate(step, stop)
                    if stop.reached(step):
                        raise StopNow
                self.report(self.metrics)
                stop.check(limit=True)  # last chance to stop before scoring
            except (StopNow, *ends_of_output):
                step = int(self.state.step)
                if step > self.saved:  # saving a step again would first remove it
                    self.save(step)
                message = f"Stopped after step {step}, which is saved: repeat the command or call to resume."
                raise Interrupted(message, stop.signal or signal.SIGTERM) from None
        if self.best.step == 0:  # the best model was damaged
            self.best.offer(self.start, self.scorer(self.state.ema, self.splits.validation), self.state.ema)
        return self.metrics

    def is_due(self, step: int, interval: int) -> bool:
        return step == self.config.train.steps or step % interval == 0

    def make_up(self, stop: StopRequest) -> None:
        """Validates the step that a stopped process saved before its validation."""
        validated = partial(self.metrics.has, self.start, f"validation_{self.experiment.measure}")
        due = self.start and self.is_due(self.start, self.config.train.eval_every)
        if due and not run_on_first_process(validated):
            self.validate(self.start, stop)

    def take(self, step: int, batch: dict[str, np.ndarray]) -> None:
        """Takes a step, while those before it may still be computed."""
        self.state, measured = self.next_state(self.state, shard_batch(data_mesh(), batch))
        if finished := self.watch.count(measured):
            self.check_skipped(step - 2, int(finished.skipped))
        if step == self.start + 1:
            self.bar.unpause()  # excludes compilation from the estimate
            self.bar.set_description("training")

    def log(self, step: int) -> None:
        """Records and shows the means since the last record."""
        measure, (steps, rate) = self.experiment.measure, self.watch.read()
        self.check_skipped(step, int(steps.skipped[-1]))
        loss, norm, skipped = means(steps, self.splits.train, measure)
        scalars = {"learning_rate": float(self.learning_rate(step - 1)), "gradient_norm": norm}
        self.record(step, **{f"train_{measure}": loss}, images_per_second=rate, **scalars, skipped=skipped)
        shown = {display_name(measure): f"{loss:.3f}", "images/s": f"{rate:.0f}"}
        shown |= {"skipped": str(skipped)} if skipped else {}
        self.bar.set_postfix(shown)
        if self.bar.disable and self.shows:  # the output is a file
            print(f"step {step}:", *(f"{x} {name}" for name, x in shown.items()), flush=True)

    def validate(self, step: int, stop: StopRequest) -> None:
        """Scores the validation split, keeps the best parameters, and draws samples."""
        measure, ema = self.experiment.measure, self.state.ema
        stop.check(limit=True)
        with self.watch.paused():
            scored = self.scorer(ema, self.splits.validation, stop.check)
            if not math.isfinite(loss := scored[measure]):
                self.checkpoints.discard_from(step)
                raise InputError(f"The validation loss is not finite at step {step}: {REMEDY}")
            stop.check()
            self.best.offer(step, scored, ema)
            self.draw(samples_file(step), ema, step)
            stop.check()
            self.record(step, **{f"validation_{measure}": loss})
            self.report(self.metrics)
            if self.shows:
                line = f"step {step}: validation {loss:.4f} {display_name(measure)}, best {self.best.loss:.4f}"
                self.bar.write(line)
                sys.stdout.flush()

    def record(self, step: int, **scalars: int | float) -> None:
        seconds = self.earlier + time.monotonic() - self.began
        self.metrics.write(step, **{k: x for k, x in scalars.items() if math.isfinite(x)}, seconds=seconds)

    def check_skipped(self, step: int, skipped: int) -> None:
        """Raises InputError after too many steps in a row whose gradient was not finite."""
        if skipped >= MAX_SKIPPED:
            # No checkpoint since then is of use: its parameters, unchanged, have no finite gradient.
            self.checkpoints.discard_from(step - skipped)
            raise InputError(
                f"The gradient was not finite in {skipped} steps up to {step}; earlier checkpoints are good: {REMEDY}"
            )

    def save(self, step: int) -> None:
        with self.watch.paused():
            self.checkpoints.save(step, self.state)
        self.saved = step


def begin(
    config: RunConfig, experiment: Experiment, checkpoints: Checkpoints
) -> tuple[TrainState, Callable[[TrainState, Any], tuple[TrainState, Measured]]]:
    """Restores the state of the latest checkpoint, or initialises it; also builds the compiled step."""
    settings, mesh, (init_key, step_key, *_) = config.train, data_mesh(), run_keys(config)
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
