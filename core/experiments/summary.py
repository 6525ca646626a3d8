"""From runs.csv to summary.json: means over seeds with their spread, by one function. Loads no torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from core.experiments.declaration import Experiment

Row = dict[str, str]
KEYS = ("experiment", "arm", "protocol", "seed", "fold")
OUTCOME, FINISHED, DIVERGED = "outcome", "finished", "diverged"
UNSEEN = "unseen.csv"
_DIGITS = 6


def run_name(arm: str, protocol: str, seed: int | str, fold: int | str) -> str:
    """A run in words: in the journal, and as a column of UNSEEN."""
    return f"{arm} | {protocol} | seed {seed} | fold {fold}"


def _spread(values: list[float]) -> dict[str, float | int | None]:
    """Mean, SD and Student's 95 % interval of the mean over seeds; neither of a single one."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return {"mean": round(mean, _DIGITS), "sd": None, "low": None, "high": None, "n_seeds": n}
    sd = float(np.std(values, ddof=1))
    reach = float(student.ppf(0.975, n - 1)) * sd / n**0.5
    numbers = {"mean": mean, "sd": sd, "low": mean - reach, "high": mean + reach}
    return {**{name: round(value, _DIGITS) for name, value in numbers.items()}, "n_seeds": n}


def _metrics(rows: Sequence[Row]) -> dict[str, dict[str, float | int | None]]:
    """Of every column with numbers: of each seed the mean over its folds, then over the seeds."""
    found = {}
    for name in rows[0]:
        if name in (*KEYS, OUTCOME):
            continue
        of_seeds: dict[str, list[float]] = {}
        for row in rows:
            if row[name] != "":
                of_seeds.setdefault(row["seed"], []).append(float(row[name]))
        if of_seeds:
            found[name] = _spread([float(np.mean(own)) for own in of_seeds.values()])
    return found


def summarise(rows: Sequence[Row], experiment: Experiment, *, is_fast: bool, data: str) -> dict[str, Any]:
    """The table of an experiment.

    Args:
        rows: Of runs.csv, as text.
        experiment: Whose.
        is_fast: At which size it was run.
        data: What it was run on.

    Returns:
        JSON values: what was run, and one entry an arm and protocol with the published figure and every column's mean over seeds.
        Runs that diverged count in n_diverged and give no figures.
    """
    entries = []
    for arm in experiment.arms_of(is_fast=is_fast):
        for protocol in arm.protocols or experiment.protocols:
            own = [row for row in rows if (row["arm"], row["protocol"]) == (arm.name, protocol)]
            finished = [row for row in own if row[OUTCOME] == FINISHED]
            published = arm.published
            entries.append(
                {
                    "arm": arm.name,
                    "protocol": protocol,
                    "published": published
                    and {"value": published.value, "unit": published.unit, "source": published.source},
                    "n_runs": len(own),
                    "n_diverged": len(own) - len(finished),
                    "metrics": _metrics(finished) if finished else {},
                }
            )
    size = experiment.sized(is_fast=is_fast)
    return {
        "experiment": experiment.id,
        "task": experiment.task,
        "fast": is_fast,
        "data": data,
        "metric": experiment.metric,
        "n_seeds": len({row["seed"] for row in rows}),
        "n_folds": len(size.folds),
        "input_side": size.side or None,
        "only_in_full": [arm.name for arm in experiment.arms if is_fast and arm.fast is None],
        "arms": entries,
    }
