"""A hospital's own operating point beside the shipped ones: for the very weights, merged when read, gone with others."""

import json
from pathlib import Path

import numpy as np
import pytest
from task_manifests import manifest_of

from core.errors import UsageError, WeightsError
from core.evaluation.adopt import adopt_point
from core.evaluation.questions import Question
from core.io.score_table import ScoreTable
from core.manifest import LOCAL, SHIPPED, Manifest, dump_manifest, read_manifest, read_shipped_manifest

SHA = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = manifest_of("hip_osteoporosis")
    (tmp_path / SHIPPED).write_text(dump_manifest(manifest))
    return tmp_path


def question(manifest: Manifest, n: int = 40) -> Question:
    score = np.linspace(0, 1, n)
    table = ScoreTable(score > 0.45, score, np.arange(n), None, None)
    names = tuple(f"case-{place:05d}" for place in range(n))
    return Question(manifest.labels[0], {}, table, names, names)


def test_an_adopted_point_makes_a_new_version_and_leaves_the_shipped_one(folder: Path) -> None:
    shipped = read_manifest(folder)
    before = (folder / SHIPPED).read_bytes()
    now = adopt_point(folder, question(shipped), 0.5, "  Dr.  Lin ", SHA)
    assert (folder / SHIPPED).read_bytes() == before
    assert now == read_manifest(folder)
    assert now.version == f"{shipped.version}+local.1"
    assert now.operating_points[:-1] == shipped.operating_points
    assert now.default_point == shipped.default_point
    point = now.operating_points[-1]
    assert (point.id, point.threshold, point.n) == ("local_1", 0.5, 40)
    assert point.sensitivity.value == pytest.approx(20 / 22)
    assert point.specificity.value == 1.0
    change = now.changelog[-1]
    assert "Dr. Lin" in change.text
    assert SHA[:12] in change.text
    assert adopt_point(folder, question(shipped), 0.6, "QA", SHA).operating_points[-1].id == "local_2"
    assert len(read_manifest(folder).operating_points) == len(shipped.operating_points) + 2


def test_other_weights_drop_it(folder: Path) -> None:
    shipped = read_manifest(folder)
    adopt_point(folder, question(shipped), 0.5, "QA", SHA)
    other = shipped.model_copy(update={"weights": shipped.weights.model_copy(update={"sha256": "cd" * 32})})
    (folder / SHIPPED).write_text(dump_manifest(other))
    assert read_manifest(folder) == other
    assert adopt_point(folder, question(shipped), 0.7, "QA", SHA).version == f"{shipped.version}+local.1"


def test_nobody_and_one_class_are_refused(folder: Path) -> None:
    manifest = read_manifest(folder)
    with pytest.raises(UsageError, match="nobody"):
        adopt_point(folder, question(manifest), 0.5, " ", SHA)
    own = question(manifest)
    table = ScoreTable(np.ones(40, bool), own.table.score, own.table.patient, None, None)
    with pytest.raises(UsageError):
        adopt_point(folder, Question(own.label, {}, table, own.cases, own.pixel_hashes), 0.5, "QA", SHA)
    with pytest.raises(UsageError, match="label"):
        adopt_point(folder, Question("gout", {}, own.table, own.cases, own.pixel_hashes), 0.5, "QA", SHA)
    assert not (folder / LOCAL).exists()


@pytest.mark.parametrize("change", [{"format": "other"}, {"operating_points": []}, {"secret": 1}])
def test_a_local_file_of_another_form_is_refused_by_name(folder: Path, change: dict[str, object]) -> None:
    adopt_point(folder, question(read_manifest(folder)), 0.5, "QA", SHA)
    values = json.loads((folder / LOCAL).read_text()) | change
    (folder / LOCAL).write_text(json.dumps(values))
    with pytest.raises(WeightsError):
        read_manifest(folder)
    assert read_shipped_manifest(folder).version


def test_a_point_of_a_label_that_the_model_lacks_is_refused(folder: Path) -> None:
    adopt_point(folder, question(read_manifest(folder)), 0.5, "QA", SHA)
    text = (folder / LOCAL).read_text().replace('"label": "osteoporosis"', '"label": "gout"')
    (folder / LOCAL).write_text(text)
    with pytest.raises(WeightsError, match="does not fit"):
        read_manifest(folder)
