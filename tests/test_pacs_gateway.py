"""The recipe of docs/pacs.md: an archive that speaks no DICOMweb (DCMTK's), Orthanc between it and this program."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from test_pacs import HIP, environment, patient_file

from core.cli.main import main
from tools import servers
from tools.servers import Orthanc

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "pacs.md"
TABLE = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
gateway = (GATEWAY, 127.0.0.1, {gateway})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ARCHIVE {folder} RW (9, 64mb) ANY
AETable END
"""
pytestmark = pytest.mark.server


def block(language: str) -> str:
    """The one block of the recipe in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


@contextmanager
def archive(folder: Path, port: int, gateway: int) -> Iterator[None]:
    """DCMTK's archive: C-STORE, C-FIND and C-MOVE, nothing else."""
    (folder / "db").mkdir()
    table = folder / "dcmqrscp.cfg"
    table.write_text(TABLE.format(port=port, gateway=gateway, folder=folder / "db"))
    process = subprocess.Popen(["dcmqrscp", "-c", str(table)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def called(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def modalities(port: int, study_uid: str) -> list[str]:
    """Of the series that the archive finds."""
    asked = ["-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={study_uid}", "-k", "Modality"]
    found = called("findscu", "-v", "-S", "-aec", "ARCHIVE", *asked, "-k", "SeriesInstanceUID", "127.0.0.1", str(port))
    return sorted(re.findall(r"\(0008,0060\) CS \[(\w+) *\]", found))


def ask(orthanc: Orthanc, path: str, body: dict[str, Any]) -> Any:
    reply = requests.post(orthanc.root + path, json=body, auth=(orthanc.user, orthanc.password), timeout=30)
    reply.raise_for_status()
    return reply.json()


def test_the_recipe_brings_a_study_in_and_its_results_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not servers.is_required() and (servers.orthanc() is None or shutil.which("dcmqrscp") is None):
        pytest.skip("Orthanc or DCMTK is not installed")
    settings, port = json.loads(block("json")), servers.free_port()
    settings["DicomModalities"]["archive"] = ["ARCHIVE", "127.0.0.1", port]
    source = patient_file(HIP)
    source.save_as(tmp_path / "source.dcm", enforce_file_format=True)
    with (
        servers.running_orthanc(settings, block("lua")) as gateway,
        archive(tmp_path, port, gateway.dicom_port),
    ):
        for name, value in environment(gateway).items():
            monkeypatch.setenv(name, value)
        limit = time.monotonic() + 20
        store = ["storescu", "-aec", "ARCHIVE", "127.0.0.1", str(port), str(tmp_path / "source.dcm")]
        while subprocess.run(store, capture_output=True, check=False).returncode and time.monotonic() < limit:
            time.sleep(0.2)
        assert modalities(port, source.StudyInstanceUID) == [source.Modality]
        query = ask(gateway, "/modalities/archive/query", {"Level": "Study", "Query": {"AccessionNumber": "ACC0"}})
        ask(gateway, f"/queries/{query['ID']}/retrieve", {"TargetAet": "GATEWAY", "Synchronous": True})
        assert main(["pacs", "screen", HIP, "--accession", "ACC0", "--store"]) == 0
        assert json.loads(capsys.readouterr().out)["stored"] == 3
        limit = time.monotonic() + 20
        expected = sorted([source.Modality, "OT", "SR", "DOC"])
        while modalities(port, source.StudyInstanceUID) != expected and time.monotonic() < limit:
            time.sleep(0.2)
        assert modalities(port, source.StudyInstanceUID) == expected
