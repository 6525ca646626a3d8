"""Results of experiments as they lie in `results/`, for pages: the table, the curves, and what became of the published order."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import UsageError
from core.experiments.catalogue import EXPERIMENTS
from core.experiments.declaration import Experiment, Published
from core.experiments.protocols import PROTOCOLS
from core.i18n import mark

ROOT = Path(__file__).resolve().parents[2] / "results"
REFERENCES = Path(__file__).with_name("references.bib")  # papers and data sets
MEASURED, UNSEEN = "validation", "unseen"  # what the protocol measures on, and patients whom nobody trained on
SIDES = ("train", "validation")  # of a column of curves.csv
Verdict = Literal["held", "open", "not held"]


@dataclass(frozen=True)
class Cell:
    """Mean over seeds.

    Attributes:
        sd, low, high: Spread, and the 95 % interval of the mean; None of a single seed.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n_seeds: int


@dataclass(frozen=True)
class Line:
    """One arm under one protocol.

    Attributes:
        published: What the reference printed of the arm, whatever its protocol was.
        measured: On the cases that the protocol measures on; None where every run diverged.
        unseen: On patients whom no protocol trains on.
        validation_loss: Of the kept epoch, mean over seeds and folds.
        seconds: Of one run.
        n_runs, n_diverged: Runs.
    """

    arm: str
    protocol: str
    published: Published | None
    measured: Cell | None
    unseen: Cell | None
    validation_loss: float | None
    seconds: float | None
    n_runs: int
    n_diverged: int


@dataclass(frozen=True)
class Claim:
    """What was published, and what we found.

    Attributes:
        text: Message id.
        values: Fillers of its placeholders.
    """

    text: str
    values: dict[str, str]
    verdict: Verdict


@dataclass(frozen=True)
class Results:
    """One experiment with its numbers.

    Attributes:
        declared: The experiment.
        summary: See `summary.summarise`.
        lines: One an arm and protocol.
        environment: Of the machine.
        command: That made them.
    """

    declared: Experiment
    folder: Path
    summary: dict[str, Any]
    lines: tuple[Line, ...]
    environment: dict[str, Any]
    command: str

    @property
    def protocols(self) -> list[str]:
        """That were run, the reference's first."""
        return list(dict.fromkeys(line.protocol for line in self.lines))

    @property
    def careful(self) -> str:
        """The protocol with nobody on both sides; where none was run, the last one."""
        return next((name for name in self.protocols if PROTOCOLS[name].is_careful), self.protocols[-1])

    @property
    def n_unseen(self) -> int | None:
        """Unseen cases that every run is measured on; None where that is not known."""
        counts = [entry["metrics"].get("unseen_cases") for entry in self.summary["arms"]]
        return next((round(own["mean"]) for own in counts if own), None)

    def epoch_columns(self) -> list[str]:
        """What curves.csv holds of every epoch, without the side it was measured on: "loss" first."""
        with (self.folder / "curves.csv").open(newline="", encoding="utf-8") as file:
            header = next(csv.reader(file))
        names = [name.removeprefix(f"{side}_") for name in header for side in SIDES if name.startswith(f"{side}_")]
        return list(dict.fromkeys(["loss", *names]))

    def curves(self, protocol: str, column: str) -> dict[str, list[float | None]]:
        """Mean over seeds and folds of a column of curves.csv at every epoch, by arm."""
        found: dict[str, dict[int, list[float]]] = {}
        with (self.folder / "curves.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["protocol"] == protocol and row.get(column):
                    found.setdefault(row["arm"], {}).setdefault(int(row["epoch"]), []).append(float(row[column]))
        return {arm: [_mean(epochs.get(epoch)) for epoch in range(1, max(epochs) + 1)] for arm, epochs in found.items()}

    def claims(self) -> list[Claim]:
        """The published order of the arms, and what the reference's protocol hides, each against our numbers."""
        return [*_order(self), *_leak(self)]


def _mean(values: Sequence[float] | None) -> float | None:
    return None if not values else float(np.mean(values))


def installed_results(root: Path = ROOT) -> dict[str, Results]:
    """Every experiment that has results, by id, in the order of the catalogue.

    Raises:
        UsageError: A file is missing or of another form.
    """
    return {name: read_results(name, root) for name in EXPERIMENTS if (root / name / "summary.json").is_file()}


def read_results(name: str, root: Path = ROOT) -> Results:
    """The results of one experiment.

    Raises:
        UsageError: A file is missing or of another form.
    """
    folder = root / name
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        environment = json.loads((folder / "environment.json").read_bytes())
        command = (folder / "command.txt").read_text(encoding="utf-8").strip()
        lines = tuple(_line(entry, summary["metric"]) for entry in summary["arms"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"the results of {name} are missing or of another form") from error
    return Results(EXPERIMENTS[name], folder, summary, lines, environment, command)


def _line(entry: dict[str, Any], metric: str) -> Line:
    metrics, published = entry["metrics"], entry["published"]
    seconds, loss = _cell(metrics.get("seconds")), _cell(metrics.get("validation_loss"))
    return Line(
        arm=entry["arm"],
        protocol=entry["protocol"],
        published=Published(**published) if published else None,
        measured=_share(metrics.get(f"{MEASURED}_{metric}")),
        unseen=_share(metrics.get(f"{UNSEEN}_{metric}")),
        validation_loss=None if loss is None else loss.mean,
        seconds=None if seconds is None else seconds.mean,
        n_runs=entry["n_runs"],
        n_diverged=entry["n_diverged"],
    )


def _cell(values: dict[str, Any] | None) -> Cell | None:
    return None if values is None else Cell(**values)


def _share(values: dict[str, Any] | None) -> Cell | None:
    """A cell of a metric from 0 to 1, whose interval is cut there: Student's knows no such bounds."""
    cell = _cell(values)
    if cell is None or cell.low is None or cell.high is None:
        return cell
    return replace(cell, low=max(cell.low, 0.0), high=min(cell.high, 1.0))


def _order(results: Results) -> list[Claim]:
    """Whether the arm that was published as the best is the best of ours, on patients nobody trained on."""
    own = [line for line in results.lines if line.protocol == results.careful and line.published and line.unseen]
    if len(own) < 2:
        return []
    best = max(own, key=lambda line: line.published.share if line.published else 0.0)
    rival = max((line for line in own if line is not best), key=lambda line: line.unseen.mean if line.unseen else 0.0)
    assert best.unseen is not None
    assert rival.unseen is not None
    text = mark("Published as the best: {best}. Here it reaches {own}; the best of the others, {rival}, {other}.")
    values = {"best": best.arm, "own": _words(best.unseen), "rival": rival.arm, "other": _words(rival.unseen)}
    return [Claim(text, values, _verdict(best.unseen, rival.unseen))]


def _verdict(best: Cell, rival: Cell) -> Verdict:
    """Held or not only where the intervals of the means lie apart."""
    if None in (best.low, best.high, rival.low, rival.high):
        return "open"
    assert best.low is not None
    assert best.high is not None
    assert rival.low is not None
    assert rival.high is not None
    return "held" if best.low > rival.high else "not held" if rival.low > best.high else "open"


def _leak(results: Results) -> list[Claim]:
    """By how much a protocol that leaks flatters: what it measures, less the same networks on patients nobody trained on."""
    claims = []
    for protocol in results.protocols:
        own = [line for line in results.lines if line.protocol == protocol and line.measured and line.unseen]
        if PROTOCOLS[protocol].is_careful or not own:
            continue
        gaps = [line.measured.mean - line.unseen.mean for line in own if line.measured and line.unseen]
        text = mark(
            "{protocol}: it measures {gap} more than the same networks reach on patients whom nobody trained on."
        )
        values = {"protocol": PROTOCOLS[protocol].title, "gap": f"{np.mean(gaps):+.3f}"}
        claims.append(Claim(text, values, "held" if min(gaps) > 0 else "open"))
    return claims


def _words(cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return f"{cell.mean:.3f}"
    return f"{cell.mean:.3f} ({cell.low:.3f}\u2013{cell.high:.3f})"
