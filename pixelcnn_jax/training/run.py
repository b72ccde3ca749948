"""A run: set up, train, score the best parameters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np
import optax

from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.pictures import save_grid
from pixelcnn_jax.data.preparation import SCANS
from pixelcnn_jax.foundation.devices import check_batch_size, data_mesh, on_one_device, replicated
from pixelcnn_jax.foundation.files import write_json
from pixelcnn_jax.training.baselines import baselines
from pixelcnn_jax.training.best import BestModel
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.config import RunConfig, run_keys, to_dict
from pixelcnn_jax.training.cost import check_memory
from pixelcnn_jax.training.evaluation import make_scorer
from pixelcnn_jax.training.experiment import LIKELIHOOD, Params, Recipe
from pixelcnn_jax.training.loop import Loop
from pixelcnn_jax.training.metrics import Metrics, save_curve
from pixelcnn_jax.training.processes import is_first, run_on_first_process
from pixelcnn_jax.training.report import Commands, write_report
from pixelcnn_jax.training.summary import plain_figures
from pixelcnn_jax.training.warm_start import trained_params
from pixelcnn_jax.training.workdir import finished_result, open_workdir, prepare_once


def train(
    config: RunConfig,
    recipe: Recipe,
    splits: Splits,
    workdir: Path | str,
    *,
    command: str | None = None,
    next_commands: Commands = lambda workdir: [],
) -> dict[str, Any]:
    """Trains or resumes a run, then scores the best EMA parameters.

    ``config.model.dtype`` affects the training loss only; all else is float32. A resumed run ends with the same bits as
    an uninterrupted one on the same machine, devices and processes. Every process calls this with one workdir.

    Args:
      config: all settings.
      recipe: the experiment.
      splits: the data sets.
      workdir: run directory, see ``workdir.py``.
      command: the command line of the run, for the report.
      next_commands: suggests commands for the report, given the workdir.

    Returns:
      The result, as in ``result.json``.

    Raises:
      InputError: for a workdir of a different config, a batch that devices cannot share, or a loss that is not finite.
      Interrupted: after a signal, once the state is saved.
    """
    workdir = Path(workdir).expanduser()
    check_batch_size(data_mesh(), config.train.batch_size, config.train.microbatch_size)
    if not finished_result(workdir, config) and not Checkpoints(workdir / "checkpoints").steps():
        check_start(config, recipe, splits)
    with open_workdir(workdir, config, splits, command=command) as finished:
        if finished is not None:
            return finished
        prepared = prepare_once(workdir, splits.spec, lambda: recipe.prepare(config, splits))
        in_float32 = replace(config, model=replace(config.model, dtype="float32"))
        experiment = recipe.make_experiment(in_float32, splits.spec, prepared)
        dict(**jax.eval_shape(experiment.init, run_keys(config).init), **prepared)  # raises an error for a name in both
        in_training = experiment
        if config.model.dtype != "float32":
            in_training = experiment._replace(loss=recipe.make_experiment(config, splits.spec, prepared).loss)
        best = BestModel(workdir, config, experiment, prepared, splits)
        source = recipe.picture_source(config, splits)
        scorer = make_scorer(config, experiment)

        def draw(name: str, params: Params, step: int) -> None:
            images = experiment.sample(on_one_device(params), jax.random.fold_in(run_keys(config).sample, step), source)
            if is_first():
                levels = experiment.picture_levels or splits.spec.levels
                save_grid(workdir / name, SCANS[splits.train.scan](np.asarray(images)), levels=levels)

        def report(metrics: Metrics) -> None:
            records, title = list(metrics.records), splits.train.description
            metrics.submit(save_curve, workdir / "curve.png", records, experiment.measure, title)
            metrics.submit(write_report, workdir, next_commands, {})

        metrics = Loop(config, in_training, splits, workdir, best, scorer, draw, report).train_steps()
        params = jax.jit(lambda x: x, out_shardings=replicated(data_mesh()))(best.params())
        if is_first():
            print(f"scoring every split with the best parameters, those of step {best.step}", flush=True)
        draw("samples.png", params, config.train.steps)
        train_images = config.train.score_train_images or len(splits.train)
        scores = {"train": scorer(params, splits.train.subset(train_images)), "validation": best.score}
        if splits.test is not None:
            scores["test"] = scorer(params, splits.test)
        as_saved = {**params, **prepared}
        reported = recipe.report(config, experiment, splits, as_saved) if config.train.report_images else {}
        result = {
            "measure": experiment.measure,
            "scores": scores,
            "density": experiment.density,
            "baselines": baselines(splits) if config.train.baselines and experiment.measure == LIKELIHOOD else {},
            "report": plain_figures(reported),
            "best_step": best.step,
            "steps": config.train.steps,
            "parameters": sum(x.size for x in jax.tree.leaves(params)),
            "train_seconds": metrics.last("seconds"),
            "devices": f"{data_mesh().size} x {jax.devices()[0].device_kind}",
            "versions": {module.__name__: module.__version__ for module in (jax, flax, optax)},
            "config": to_dict(config),
        }
        best.complete(result)
        run_on_first_process(lambda: write_report(workdir, next_commands, result))
        run_on_first_process(lambda: write_json(workdir / "result.json", result))  # last: it says that all is written
        return result


def check_start(config: RunConfig, recipe: Recipe, splits: Splits) -> None:
    """Checks a run before it claims its workdir; raises InputError if it cannot be trained."""
    experiment = recipe.make_experiment(config, splits.spec, None)
    check_memory(config, experiment)
    trained_params(config.train.start_from, experiment, without=config.train.reinitialise)
    recipe.check(config, splits)
