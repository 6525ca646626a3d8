"""Curations as jobs: an upload becomes a data set, a phantom hospital can be stopped and begun again, faults are told."""

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.curation.report import SUMMARY, read_report
from core.io.phantom_matlab import write_matlab
from core.registry import part
from core.services import curations
from core.services.curations import Curation, Curations

LIMIT_S = 120
KNEE = "knee_djd"


def wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def finish(store: Curations, curation: Curation) -> str:
    store.start(curation)
    wait(lambda: store.stage(curation) != "running")
    return store.stage(curation)


def scans(n: int) -> bytes:
    buffer, make = io.BytesIO(), part(KNEE, "phantom").make_phantom
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(n):
            archive.writestr(f"scans/{number}.mat", write_matlab(make(np.random.default_rng([3, number])), "5"))
    return buffer.getvalue()


def given(curation: Curation) -> list[str]:
    return curations._arguments(curation)


def test_an_uploaded_archive_becomes_a_data_set(tmp_path: Path) -> None:
    store = Curations(tmp_path)
    curation = store.create(KNEE, images=scans(3))
    assert store.stage(curation) == "planned"
    assert finish(store, curation) == "done", (curation.folder / "log.txt").read_text()[-2000:]
    report = read_report(curation.data)
    assert report is not None
    assert sum(share.images for share in report.splits.values()) == 6
    assert Curations(tmp_path).find(curation.token) == curation  # by another server
    store.delete(curation)
    assert store.find(curation.token) is None
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_curation_starts_from_the_beginning(tmp_path: Path) -> None:
    """What the first run wrote does not stand in the way of the second."""
    store = Curations(tmp_path)
    curation = store.create(KNEE, phantoms=90)
    store.start(curation)
    wait(lambda: any(curation.data.glob("hospital/mat/*.mat")))
    store.start(curation)  # nothing happens while it runs
    store.stop(curation)
    assert store.stage(curation) == "stopped"
    plan = curation.folder / "plan.json"
    plan.write_text(plan.read_text().replace("90", "3"))
    again = store.find(curation.token)
    assert again is not None
    assert finish(store, again) == "done"
    report = read_report(again.data)
    assert report is not None
    assert report.files == 3
    assert report.is_phantom


@pytest.mark.parametrize(("content", "code"), [(b"no archive", "E_ARCHIVE"), (None, "E_USAGE")])
def test_what_is_wrong_with_an_upload_is_told(tmp_path: Path, content: bytes | None, code: str) -> None:
    if content is None:  # an archive without any scan
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("notes.txt", "none")
        content = buffer.getvalue()
    store = Curations(tmp_path)
    curation = store.create(KNEE, images=content)
    assert finish(store, curation) == "failed"
    told = store.progress(curation)
    assert told is not None
    assert told.code == code


def test_options_of_the_command_are_those_of_the_plan(tmp_path: Path) -> None:
    store = Curations(tmp_path)
    hip = store.create("hip_osteoporosis", images=b"", table=(".xlsx", b""), test_year=2020)
    assert given(hip)[:2] == ["curate", "hip_osteoporosis"]
    options = dict(zip(given(hip)[2::2], given(hip)[3::2], strict=True))
    assert options == {
        "--job": str(hip.folder),
        "--out": str(hip.data),
        "--dicom": str(hip.folder / "images.zip"),
        "--dexa": str(hip.folder / "table.xlsx"),
        "--test-year": "2020",
    }
    marks = {"red": "scoliosis", "blue": "aortic_curvature"}
    chest = given(store.create("chest_lesions", server_folder=str(tmp_path), marks=b"", colours=marks))
    assert chest[chest.index("--data") + 1] == str(tmp_path)
    assert chest[chest.index("--marks") + 1].endswith("marks.zip")
    assert chest[chest.index("--colours") + 1 :] == ["red=scoliosis", "blue=aortic_curvature"]
    phantoms = given(store.create("retina_lesions", phantoms=8))
    assert phantoms[phantoms.index("--phantoms") + 1] == "8"
    assert "--data" not in phantoms


def test_the_service_waits_for_the_file_that_the_command_writes_last() -> None:
    assert curations.SUMMARY == SUMMARY
