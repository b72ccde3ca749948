"""The best model of a run so far."""

import sys
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Variables
from pixelcnn_jax.training.config import RunConfig, to_dict
from pixelcnn_jax.training.experiment import Experiment, Params
from pixelcnn_jax.training.processes import run_on_first_process
from pixelcnn_jax.zoo.pretrained import read_weights, save_pretrained


class BestModel:
    """EMA parameters of the lowest validation loss, in the workdir or in memory.

    Attributes:
      step: step of that validation.
      score: its score.
    """

    def __init__(
        self, workdir: Path | None, config: RunConfig, experiment: Experiment, prepared: Variables, splits: Splits
    ) -> None:
        self.step, self.score = 0, dict[str, Any]()
        self._workdir, self._prepared = workdir, prepared
        self._params: Params = None
        self._networks, self._measure = experiment.networks, experiment.measure
        self._card: dict[str, Any] = {
            "experiment": config.experiment,
            "image_spec": splits.spec,
            "measure": experiment.measure,
            "density": experiment.density,
            "caption": experiment.caption,
            "config": to_dict(config),
            **experiment.facts,
        }

    @property
    def loss(self) -> float:
        """Validation loss; infinite before the first validation."""
        return float(self.score.get(self._measure, float("inf")))

    def resume(self) -> None:
        """Restores step and score; a damaged model is replaced at the next validation."""
        self.step, self.score = run_on_first_process(self._read_score)

    def _read_score(self) -> tuple[int, dict[str, Any]]:
        if self._workdir is not None and (self._workdir / "model.json").exists():
            try:
                _, card = read_weights(self._workdir)
                float(card["scores"]["validation"][self._measure])
                return card["step"], card["scores"]["validation"]
            except (InputError, KeyError, TypeError, ValueError):
                lost = f"The best model in {self._workdir} is damaged"
                print(f"{lost}: the next validation replaces it.", file=sys.stderr)
        return 0, {}

    def offer(self, step: int, score: dict[str, Any], params: Params) -> None:
        """Keeps the parameters if their loss is the lowest so far."""
        if self.step and score[self._measure] >= self.loss:
            return
        self.step, self.score = step, score
        if self._workdir is None:
            self._params = jax.device_get(params)
        else:
            run_on_first_process(lambda: self._save(params, {"validation": score}))

    def params(self) -> Params:
        """Reads the best parameters, as NumPy arrays.

        Raises:
          InputError: if they are damaged.
        """
        if self._workdir is None:
            return self._params
        variables, _ = read_weights(self._workdir)
        params = {name: x for name, x in variables.items() if name not in self._prepared}
        return multihost_utils.broadcast_one_to_all(params)  # the others' files may be those of an earlier step

    def complete(self, result: dict[str, Any]) -> None:
        """Adds the results of a finished run to the card."""
        params, facts = self.params(), ("steps", "train_seconds", "devices", "versions")
        added = {name: result[name] for name in facts}
        added["report"] = {name: x for name, x in result["report"].items() if not isinstance(x, list | dict)}
        run_on_first_process(lambda: self._save(params, result["scores"], **added))

    def _save(self, params: Params, scores: dict[str, Any], **facts: Any) -> None:
        assert self._workdir is not None
        card = self._card | {"step": self.step, "scores": scores} | facts
        save_pretrained(self._workdir, self._networks, {**params, **self._prepared}, card)
