"""The table and the summary that are printed at the end of a run."""

from typing import Any

from pixelcnn_jax.data.baselines import baselines
from pixelcnn_jax.data.dataset import Splits
from pixelcnn_jax.likelihood import nats_to_bits_per_dim
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import LIKELIHOOD
from pixelcnn_jax.training.metrics import display_name


def table(config: RunConfig, splits: Splits, result: dict[str, Any]) -> str:
    """Returns every score of a run as text: likelihoods beside the baselines and the published ones, and the report."""
    report = [f"{display_name(name)}: {value}" for name, value in result["report"].items()]
    measure, scores = result["measure"], result["scores"]
    if measure != LIKELIHOOD:
        return "\n".join(
            [*(f"{display_name(measure):24} {name:12} {x[measure]:10.4f}" for name, x in scores.items()), *report]
        )
    bits_per_nat = nats_to_bits_per_dim(1.0, splits.spec.shape)
    rows: list[tuple[str, str, float]] = []
    if config.train.baselines:
        rows += [
            (model, split, nats) for model, scores_of in baselines(splits).items() for split, nats in scores_of.items()
        ]
    for model, split, unit, value in config.train.published:
        rows.append((model, split, value if unit == "nats" else value / bits_per_nat))
    this = "this run" if result["score_of"] == "p(x)" else f"this run, {result['score_of']}"
    rows += [(this, name, score["nats"]) for name, score in scores.items()]
    width = max(len(model) for model, *_ in rows)
    lines = [f"{model:{width}} {split:12} {nats * bits_per_nat:10.4f} {nats:10.2f}" for model, split, nats in rows]
    return "\n".join([f"{'model':{width}} {'split':12} {'bits/dim':>10} {'nats':>10}", *lines, *report])


def summary(config: RunConfig, result: dict[str, Any]) -> dict[str, Any]:
    """Returns what a training command prints as its last line, JSON."""
    measure, validation = result["measure"], result["scores"]["validation"]
    return {
        "dataset": config.data.dataset,
        "split": "validation",
        **{name: value for name, value in validation.items() if name != "data"},
        f"test_{measure}": result["scores"].get("test", {}).get(measure),
        **{name: result[name] for name in ("report", "train_seconds", "samples", "workdir")},
    }
