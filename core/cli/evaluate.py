"""Measure the installed model of a task on labelled images that it never saw."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from core import registry
from core.errors import UsageError
from core.io.journal import FILE as JOURNAL
from core.io.journal import Journal
from core.io.labelled_folder import of_split
from core.io.progress import Progress
from core.records import LabelledCase

if TYPE_CHECKING:  # loads torch
    from core.engine.loader import Model

    Folds = Mapping[int, Model]

_TABLES = ("truth.csv", "boxes.csv", "index.csv")  # in the folder of images, where no table is named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task", nargs="?", help="task id; not needed with --scores")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of images")
    parser.add_argument(
        "--scores",
        type=Path,
        metavar="CSV",
        help="scores of any model in place of a task and images: label (0 or 1), score; if there are patient, group, model",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="of --scores; default: Youden's on these very rows"
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=0,
        metavar="N",
        help="of --scores: resamples of patients for the AUROC's interval; default: DeLong's",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="CSV",
        help="default: truth.csv, boxes.csv, index.csv or labels.csv in DIR, or the labels in .mat files",
    )
    parser.add_argument(
        "--split", metavar="NAME", help="only rows whose column split says so, of --labels or of labels.csv in DIR"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read images and labels, score none, and write truth.csv and check.json to --out; --data may be a zip file, and "
        "--labels any table, CSV or XLSX",
    )
    parser.add_argument(
        "--mapping", type=Path, metavar="FILE", help="of --check: JSON that says what the columns are; default: guessed"
    )
    parser.add_argument("--model", help="installed model; default: the first")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        help="checkpoints of all folds: each patient is answered by the fold without it",
    )
    parser.add_argument(
        "--prevalence",
        type=float,
        metavar="P",
        help="share of abnormal images that predictive values are stated for; default: 0.1 for films with words, of scores "
        "that of the table",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the statistics to FILE")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write a row a case (cases.csv), or of masks the histograms of scores, to DIR; a run that was killed goes on there",
    )


def run(options: argparse.Namespace) -> int:
    """Answer, measure, print."""
    if options.scores:
        return _scores(options)
    if not (options.task and options.data):
        raise UsageError("evaluate needs a task and --data, or --scores")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    with Progress(options.out, "loading") as progress, TemporaryDirectory() as place:
        from core.screening import load

        if options.split:
            options.labels = of_split(options.data, options.labels, options.split, Path(place))
        model = load(options.task, options.model)
        return _check(model, options, progress) if options.check else _evaluate(model, options, progress)


def _check(model: "Model", options: argparse.Namespace, progress: Progress) -> int:
    """What fits, what does not, and nothing scored."""
    from core.evaluation.checking import check_evaluation

    if not (options.labels and options.out):
        raise UsageError("--check needs --labels and --out")
    found = check_evaluation(model, options.data, options.labels, options.mapping, options.out, progress)
    print(
        f"{found['n_cases']} cases in {found['n_files']} files and {found['n_rows']} rows; classes: {found['classes']}"
    )
    for reason, n in found["dropped"].items():
        print(f"left out: {n}, {reason}")
    return 0


def _evaluate(model: "Model", options: argparse.Namespace, progress: Progress) -> int:
    excluded: Counter[str] = Counter()
    fold_models = _fold_models(model, options.runs) if options.runs else {}
    journal = _journal(model, options)
    if len(journal):
        print(f"{len(journal)} answers of a stopped run are taken over", file=sys.stderr)
    if _has_words(options):
        found = _words(model, options, excluded, fold_models, journal)
    else:
        cases = registry.part(options.task, "data").evaluation_cases(options.data, options.labels, excluded)
        measured = {"segmenter": _masks, "detector": _boxes}.get(registry.task(options.task).kind, _cases)
        told = _told(cases, progress, _n_cases(model, options.labels), len(journal))
        found = measured(model, told, excluded, fold_models, options.out, journal)
    _report(found, options)
    journal.finish()
    if rule_out := (found.get("abnormality") or {}).get("rule_out"):
        print(f"ruled out below {rule_out['threshold']:.3f}, at a prevalence of {rule_out['prevalence']}:")
        for line in _lines({name: rule_out[name] for name in ("sensitivity", "specificity", "npv")}):
            print(line)
    if model.manifest.statement:
        print(model.manifest.statement)
    return 0


def _told(cases: Iterable[LabelledCase], progress: Progress, total: int, first: int) -> Iterator[LabelledCase]:
    """The cases, counted on the way; the last one given, what follows is measuring."""
    first = min(first, total)
    progress.step(first, total, "answering")
    for done, case in enumerate(cases):
        progress.step(max(done, first), total)
        yield case
    progress.step(total, total, "measuring")


def _n_cases(model: "Model", labels: Path | None) -> int:
    """Cases of a table of labels, for the progress: its rows, of boxes its films; 0 where it is none."""
    if labels is None or labels.suffix.lower() != ".csv" or not labels.is_file():
        return 0
    with labels.open("rb") as file:
        rows = [line.partition(b",")[0] for line in file if line.strip()][1:]
    return len(set(rows) if registry.task(model.manifest.task).kind == "detector" else rows)


def _journal(model: "Model", options: argparse.Namespace) -> Journal:
    """In --out, so that the same command goes on where a killed one stopped; nowhere without it."""
    about = {
        "task": options.task,
        "weights": model.manifest.weights.sha256,
        "data": str(options.data.resolve()),
        "labels": _labels_sha256(options),
        "runs": str(options.runs.resolve()) if options.runs else "",
    }
    return Journal(options.out / JOURNAL if options.out else None, about)


def _labels_sha256(options: argparse.Namespace) -> list[str]:
    """Of the tables that may say what the cases are."""
    from core.manifest import file_sha256  # a machine that only trains has no pydantic

    tables = [options.labels] if options.labels else [options.data / name for name in _TABLES]
    return [file_sha256(table) if table.is_file() else str(table) for table in tables]


def _report(found: dict[str, Any], options: argparse.Namespace) -> None:
    """The file, and the figures in a line each."""
    found["command"] = options.command_line
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{found['n']} cases of {found['n_subjects']} subjects; left out: {found['excluded'] or 'none'}")
    print("scored by: " + ", ".join(f"{source} ({n})" for source, n in found["scored_by"].items()))
    for line in _lines(found["metrics"]):
        print(line)


def _scores(options: argparse.Namespace) -> int:
    """Statistics of a table of scores."""
    from core.evaluation.scores import measure_scores
    from core.io.score_table import read_scores

    if options.task or options.data:
        raise UsageError("--scores takes neither a task nor --data")
    found = measure_scores(
        read_scores(options.scores),
        threshold=options.threshold,
        prevalence=options.prevalence,
        n_resamples=options.bootstrap,
    )
    _report(found, options)
    print(f"intervals: {found['intervals']}")
    return 0


def _cases(
    model: "Model",
    cases: Iterable[LabelledCase],
    excluded: Counter[str],
    fold_models: "Folds",
    out: Path | None,
    journal: Journal,
) -> dict[str, Any]:
    """Statistics of a classifier or grader."""
    from core.evaluation.evaluate import answer_cases, measure, write_cases

    answers = answer_cases(model, cases, excluded, fold_models, journal)
    if out:
        write_cases(out / "cases.csv", model.manifest, answers)
    return measure(model.manifest, answers, excluded)


def _masks(
    model: "Model",
    cases: Iterable[LabelledCase],
    excluded: Counter[str],
    fold_models: "Folds",
    out: Path | None,
    journal: Journal,
) -> dict[str, Any]:
    """Statistics of a segmenter; what the curves need goes to `out`."""
    from core.evaluation.mask_answers import answer_images
    from core.evaluation.masks import measure_masks
    from core.io.history import read_history
    from core.io.pixel_evidence import FILE
    from core.io.weights_file import write_atomically

    evidence, scored_by = answer_images(model, cases, excluded, fold_models, journal)
    if out:
        write_atomically(out / FILE, evidence.to_bytes())
    return measure_masks(model.manifest, evidence, excluded, scored_by, read_history(model.folder).fold)


def _boxes(
    model: "Model",
    cases: Iterable[LabelledCase],
    excluded: Counter[str],
    fold_models: "Folds",
    out: Path | None,
    journal: Journal,
) -> dict[str, Any]:
    """Statistics of a detector; the boxes go to `out`."""
    from core.evaluation.box_answers import answer_boxes
    from core.evaluation.boxes import measure_boxes
    from core.io.box_evidence import FILE
    from core.io.weights_file import write_atomically

    evidence, scored_by = answer_boxes(model, cases, excluded, fold_models, journal)
    if out:
        write_atomically(out / FILE, evidence.to_bytes())
    return measure_boxes(model.manifest, evidence, excluded, scored_by)


def _has_words(options: argparse.Namespace) -> bool:
    """Whether the images have words and no boxes."""
    data = registry.part(options.task, "data")
    return not options.labels and hasattr(data, "has_words") and data.has_words(options.data)


def _words(
    model: "Model", options: argparse.Namespace, excluded: Counter[str], fold_models: "Folds", journal: Journal
) -> dict[str, Any]:
    """Statistics of a detector on images that have words and no boxes; the scores go to `out`."""
    from core.evaluation.presence import PREVALENCE, answer_words, measure_words, write_words

    films = registry.part(options.task, "data").labelled_films(options.data, excluded)
    answers = answer_words(model, films, excluded, fold_models, journal)
    if options.out:
        write_words(options.out / "cases.csv", model.manifest, answers)
    return measure_words(
        model.manifest, answers, excluded, PREVALENCE if options.prevalence is None else options.prevalence
    )


def _lines(metrics: Mapping[str, Any], label: str = "") -> Iterator[str]:
    """A line a figure, those of a label behind its name."""
    for name, value in metrics.items():
        if value and "ci" not in value:
            yield from _lines(value, f"{name} ")
        elif value:
            yield f"{label}{name}: {value['value']:.3f} ({value['ci'][0]:.3f}-{value['ci'][1]:.3f})"


def _fold_models(model: "Model", runs: Path) -> dict[int, "Model"]:
    """The model of every fold from the checkpoints that `train` left."""
    from core.screening import build
    from core.training.fit import kept_state

    manifest = model.manifest
    found = {}
    for folder in sorted((runs / manifest.task / manifest.architecture.name).glob("fold_*")):
        network = build(manifest)
        network.load_state_dict(kept_state(folder))
        network.requires_grad_(False).eval().to(model.device)
        found[int(folder.name.removeprefix("fold_"))] = replace(model, network=network)
    if not found:
        raise UsageError(f"{runs} holds no checkpoint of {manifest.task}/{manifest.architecture.name}")
    return found
