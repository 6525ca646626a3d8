"""`train --fast`: the whole road on a hospital's folder, and weights that say what they are."""

import csv
from pathlib import Path

import pytest

from core import registry
from core.cli import fast
from core.cli.main import main
from core.manifest import read_manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantom films as files, and the table that says what they are."""
    folder = tmp_path_factory.mktemp("films")
    assert main(["phantom", "hip_osteoporosis", "--out", str(folder), "--n", "24", "--seed", "6"]) == 0
    with (folder / "truth.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["label"])
    lines = [
        f"{row['file']},{row['patient']},{row['label']},{'test' if place % 3 == 0 else 'train'}"
        for place, row in enumerate(rows)
    ]
    (folder / "labels.csv").write_text("file,patient,label,split\n" + "\n".join(lines) + "\n")
    return folder


@pytest.mark.slow
def test_the_road_in_a_minute(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fast, "EPOCHS", 1)
    assert main(["train", "hip_osteoporosis", "--data", str(folder), "--fast"]) == 0
    assert "osteoporosis auroc" in capsys.readouterr().out
    out = folder / "weights" / "resnet18"
    manifest = read_manifest(out)
    assert manifest.limitations[0] == fast.LIMITATION
    assert manifest.changelog[-1].text == fast.NOTE
    assert manifest.provenance.command.endswith("--fast")
    assert fast.LIMITATION in (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert set(manifest.provenance.labels.values()) == {"phantom"}, "phantoms in a folder are no real images"
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "more",
    [
        ["--out", str(registry.WEIGHTS / "hip_osteoporosis" / "resnet18")],
        ["--auxiliary", "heart_lung"],
        ["--packed", "pack.npz"],
    ],
)
def test_fast_weights_are_never_installed(folder: Path, more: list[str]) -> None:
    assert main(["train", "hip_osteoporosis", "--data", str(folder), "--fast", *more]) == 2
