"""Search the hospital's PACS, screen what is found there, store results back, or fetch a cohort for evaluation.

The PACS is named in .streamlit/fivefold.toml, section [pacs]; its password comes from FIVEFOLD_PACS_PASSWORD or the secrets.
"""

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import registry
from core.errors import FileError, PacsError, UsageError
from core.io.journal import Journal
from core.io.progress import Progress

if TYPE_CHECKING:
    from core.services.pacs.client import Pacs
    from core.services.pacs.matches import Query

_SHOWN = 200  # studies of a search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One command for each verb."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("ping", help="whether the PACS answers")
    search = verbs.add_parser("search", help="list studies; shows names")
    search.add_argument("--json", action="store_true", help="one JSON object a line")
    screen = verbs.add_parser("screen", help="screen every image that is found")
    cohort = verbs.add_parser("cohort", help="fetch every image that is found into a folder")
    for verb in (screen, cohort):
        verb.add_argument("task", help="its modalities are searched")
    for verb in (search, screen, cohort):
        _add_criteria(verb)
    for verb in (screen, cohort):
        verb.add_argument("--accessions", type=Path, metavar="FILE", help="accession numbers, one a line")
    cohort.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets images/ and cohort.csv")
    cohort.add_argument("--progress", type=Path, metavar="DIR", help="where progress is told; default: --out")
    screen.add_argument("--model", help="installed model; default: the first")
    screen.add_argument("--operating-point", help="id from the manifest")
    screen.add_argument("--confirm", action="store_true", help="record that a person wants scores despite questions")
    screen.add_argument("--store", action="store_true", help="store results that show a score in the study")
    screen.add_argument(
        "--journal", type=Path, metavar="FILE", help="keep answers: the same command goes on where it was stopped"
    )


def _add_criteria(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--patient-id", default="")
    parser.add_argument("--accession", default="", help="accession number")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="YYYY-MM-DD", help="first day")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, metavar="YYYY-MM-DD", help="last day")
    parser.add_argument("--modality", action="append", default=[], metavar="CODE", help="may be given again")


def run(options: argparse.Namespace) -> int:
    """Exit code 1 when something could not be found, fetched or answered."""
    verb = {"ping": _ping, "search": _search, "screen": _screen, "cohort": _cohort}[options.verb]
    return verb(_open(), options)


def _open() -> "Pacs":
    from core.services.pacs.client import Pacs
    from core.services.pacs.settings import pacs_settings

    settings = pacs_settings()
    if settings is None:
        raise UsageError("no PACS is named in .streamlit/fivefold.toml, section [pacs]")
    return Pacs(settings)


def _ping(pacs: "Pacs", _options: argparse.Namespace) -> int:
    pacs.ping()
    print("The PACS answers.")
    return 0


def _search(pacs: "Pacs", options: argparse.Namespace) -> int:
    for study in pacs.studies(_query(options, options.accession, tuple(options.modality)), _SHOWN):
        shown = {
            "patient": study.patient_name,
            "patient_id": study.patient_id,
            "day": study.day,
            "accession": study.accession,
            "modalities": " ".join(study.modalities),
            "description": study.description,
        }
        print(json.dumps(shown, ensure_ascii=False) if options.json else "\t".join(shown.values()))
    return 0


def _screen(pacs: "Pacs", options: argparse.Namespace) -> int:
    from core.io.reader_process import KEY
    from core.screening import load
    from core.services.pacs.answers import Options, about, screen_images
    from core.services.pacs.cohort import MAX_STUDIES

    if options.store and not os.environ.get(KEY):
        raise UsageError(f"--store needs {KEY}: under one key a repeated result is the same object, not a second one")
    queries, model = _queries(options), load(options.task, options.model)
    asked = Options(options.confirm, options.operating_point, options.store)
    journal = Journal(options.journal, about(model, asked))
    images = (image for query in queries.values() for image in pacs.images(query, MAX_STUDIES))
    failed = n = 0
    try:
        for n, record in enumerate(screen_images(pacs, images, model, asked, journal), start=1):
            failed += "error" in record
            print(json.dumps({"image": n, **record}, ensure_ascii=False), flush=True)
    except PacsError:
        print(f"stopped after {n} images" + _goes_on(options.journal), file=sys.stderr)
        raise
    print(f"{n} images, {failed} without an answer", file=sys.stderr)
    return 1 if failed or not n else 0


def _goes_on(journal: Path | None) -> str:
    return "; the same command goes on" if journal else "; with --journal the same command would go on"


def _cohort(pacs: "Pacs", options: argparse.Namespace) -> int:
    from core.services.pacs.cohort import FETCHED, fetch_cohort

    queries = _queries(options)
    options.out.mkdir(parents=True, exist_ok=True)
    with Progress(options.progress or options.out, "fetching") as progress:
        counts = fetch_cohort(pacs, queries, options.out, progress)
    print(", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())))
    return 0 if set(counts) == {FETCHED} else 1


def _queries(options: argparse.Namespace) -> "dict[int, Query]":
    """One for each accession number of the list by its line, or the one of the options."""
    from core.services.pacs.cohort import read_accessions

    manifest = registry.manifest_of(options.task)
    modalities = tuple(options.modality) or (manifest.input.modality if manifest else ())
    if options.accessions is None:
        return {1: _query(options, options.accession, modalities)}
    try:
        text = options.accessions.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError("E_LABEL_TABLE", f"the list cannot be read: {type(error).__name__}") from error
    return {line: _query(options, number, modalities) for line, number in read_accessions(text).items()}


def _query(options: argparse.Namespace, accession: str, modalities: tuple[str, ...]) -> "Query":
    from core.services.pacs.matches import Query

    days: dict[str, Any] = {"first": options.first, "last": options.last}
    return Query(options.patient_id, accession, modalities, **days)
