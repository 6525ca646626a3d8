"""Weights that were trained elsewhere: hostile files change nothing, honest ones answer as the network they came from."""

import contextlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from core import registry
from core.cli.main import main, parser
from core.cli.weights import _stated
from core.engine.loader import load_model
from core.errors import BusyError, ScreeningError, UsageError, WeightsError
from core.evaluation.adopt import adopt_point
from core.evaluation.evaluate import answer_cases, measure
from core.evaluation.questions import Question
from core.io.score_table import ScoreTable
from core.io.tensor_file import looked_at, parse
from core.manifest import DEMO_STATEMENT, Manifest, dump_manifest, read_manifest
from core.reports.result_json import to_json
from core.screening import build, load, screen
from core.services import own_weights
from core.training.brought import bring
from core.training.parameter_names import mapped_names
from core.training.stated import Line, Stated

KNEE, SHIPPED = "knee_djd", "simple_cnn_3"
STATED = Stated(
    task=KNEE,
    model="ours",
    architecture=SHIPPED,
    kind="phantom",
    data="Our phantoms",
    licence="CC0-1.0",
    by="A. Physicist",
)
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Those of the shipped knee model."""
    return load_file(registry.WEIGHTS / KNEE / SHIPPED / "model.safetensors")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without weights."""
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path / "weights")
    return registry.WEIGHTS


def saved(values: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(values, file, **options)
    return file.getvalue()


def brought(content: bytes, root: Path, **changes: Any) -> tuple[Manifest | None, list[Line]]:
    """What `bring` installed, None where it refused; and its lines."""
    lines: list[Line] = []
    try:
        return bring(content, replace(STATED, **changes), root, lines.append), lines
    except ScreeningError:
        return None, lines


def refusal(content: bytes, root: Path, **changes: Any) -> str:
    """The technical words of the last line; nothing lies below `root` then."""
    manifest, lines = brought(content, root, **changes)
    assert manifest is None
    assert lines[-1].outcome == "failed"
    assert not list(root.rglob("*"))
    return str(lines[-1].values["got"])


# --- hostile files ---------------------------------------------------------------------------------------------------


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"mkdir {os.environ['TRAP_FOLDER']}",)


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that reaches a parser fails the test."""

    def called(*_: object, **__: object) -> None:
        pytest.fail("a parser was called")

    monkeypatch.setattr(torch, "load", called)
    monkeypatch.setattr(safetensors.torch, "load", called)


@pytest.mark.parametrize("is_bare", [False, True], ids=["torch.save", "bare pickle"])
def test_a_pickle_that_calls_code_is_refused_before_parsing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_parser: None, is_bare: bool
) -> None:
    sprung = tmp_path / "sprung"
    monkeypatch.setenv("TRAP_FOLDER", str(sprung))
    values = {"state_dict": {"linear.bias": torch.zeros(5)}, "more": Trap()}
    content = pickle.dumps(Trap()) if is_bare else saved(values)
    assert "call code" in refusal(content, root)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap()))  # the trap does work
    assert sprung.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_a_file_that_was_cut_off_is_refused_before_parsing(
    root: Path, tensors: Tensors, no_parser: None, kind: str, share: float
) -> None:
    whole = save(tensors) if kind == "safetensors" else saved(tensors)
    refusal(whole[: int(share * len(whole))], root)


def test_one_flipped_bit_is_refused_before_parsing(root: Path, tensors: Tensors, no_parser: None) -> None:
    """A PyTorch file has check sums of its own; of a safetensors file only the stated SHA-256 can tell."""
    whole = saved(tensors)
    values = tensors["linear.weight"].numpy().tobytes()
    damaged = bytearray(whole)
    damaged[whole.index(values) + len(values) // 2] ^= 4
    assert "check sum" in refusal(bytes(damaged), root)
    whole = save(tensors)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 4
    stated = own_sha256(whole)
    assert "SHA-256" in refusal(bytes(damaged), root, sha256=stated)
    damaged = bytearray(whole)
    damaged[9] ^= 4  # of the header
    assert refusal(bytes(damaged), root, sha256=stated)


def own_sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def test_a_file_that_is_as_stated_is_taken(root: Path, tensors: Tensors) -> None:
    content = save(tensors)
    manifest, lines = brought(content, root, sha256=own_sha256(content).upper())
    assert manifest is not None
    assert "note" not in {line.outcome for line in lines}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<!DOCTYPE html><html><body>404: Not Found</body></html>", id="html"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(400), id="picture"),
        pytest.param(b"PK\x03\x04" + bytes(400), id="no zip"),
        pytest.param((2**62).to_bytes(8, "little") + b"{}", id="header without end"),
        pytest.param((4).to_bytes(8, "little") + b"{1:2" + bytes(9), id="header that is no JSON"),
    ],
)
def test_another_kind_of_file_is_refused_before_parsing(root: Path, no_parser: None, content: bytes) -> None:
    assert refusal(content, root)


def test_a_zip_bomb_and_a_script_are_refused_before_parsing(root: Path, no_parser: None) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(50_000_000))
    assert "compressed" in refusal(file.getvalue(), root)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/constants.pkl", b"\x80\x02}.")
    assert "TorchScript" in refusal(file.getvalue(), root)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_raise_anything_but_a_refusal(content: bytes, has_head: bool) -> None:
    with contextlib.suppress(WeightsError):
        looked_at((b"PK\x03\x04" if has_head else b"") + content)


def changed(tensors: Tensors, name: str, value: torch.Tensor | None) -> Tensors:
    own = dict(tensors)
    if value is None:
        del own[name]
    else:
        own[name] = value
    return own


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("linear.bias", torch.zeros(4), "linear.bias is (4,), wanted (5,)"),
        ("linear.bias", None, "1 missing (linear.bias)"),
        ("head.bias", torch.zeros(5), "1 not of this network (head.bias)"),
        ("linear.bias", torch.full((5,), float("nan")), "linear.bias"),
        ("blocks.0.1.running_var", torch.full((16,), float("inf")), "blocks.0.1.running_var"),
        ("linear.bias", torch.zeros(5, dtype=torch.int64), "another kind of numbers"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    root: Path, tensors: Tensors, name: str, value: torch.Tensor | None, words: str
) -> None:
    for content in (save(changed(tensors, name, value)), saved(changed(tensors, name, value))):
        assert words in refusal(content, root)


def test_what_is_no_state_dict_is_refused(root: Path) -> None:
    for values in ([torch.zeros(2)], {"epoch": 3}, torch.zeros(3), {"state_dict": {"a": 1, "b": torch.zeros(1)}}):
        assert "save the state dict alone" in refusal(saved(values), root)


def test_the_input_is_the_one_that_the_task_prepares(root: Path, tensors: Tensors) -> None:
    assert "input of (1, 64, 64)" in refusal(save(tensors), root, size=64)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "../escape"},
        {"model": "simple_cnn_2"},
        {"architecture": "resnet18"},
        {"data": ""},
        {"licence": "two\nlines"},
        {"by": "x" * 201},
        {"patients": 0},
        {"thresholds": {"minimal": 0.5}},
        {"ages": (60.0, 20.0)},
        {"options": {"pretrained": True}},
        {"options": {"unknown": 1}},
    ],
)
def test_a_statement_that_cannot_be_used_is_refused(root: Path, tensors: Tensors, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        bring(save(tensors), replace(STATED, **change), root, lambda line: None)
    assert not list(root.rglob("*"))


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "added"), [("", ""), ("module.", ""), ("model.module.", ""), ("", "net."), ("module.", "net.")]
)
def test_names_that_differ_at_their_beginning_are_mapped(taken: str, added: str) -> None:
    names = ["layer.0.weight", "layer.0.bias", "fc.weight"]
    found, wanted = [taken + name for name in names], [added + name for name in names]
    mapping, old, new = mapped_names(found, wanted)
    assert mapping == dict(zip(found, wanted, strict=True))
    assert (old.rstrip("."), new.rstrip(".")) == (taken.rstrip("."), added.rstrip("."))


def test_a_nest_and_a_prefix_are_said(root: Path, tensors: Tensors) -> None:
    nested = {"epoch": 7, "state_dict": {f"module.{name}": value for name, value in tensors.items()}}
    manifest, lines = brought(saved(nested), root)
    assert manifest is not None
    said = [dict(line.values) for line in lines if line.outcome == "note"]
    assert {"name": "state_dict"} in said
    assert {"text": "module."} in said


def test_half_precision_stays_and_double_becomes_single(tensors: Tensors) -> None:
    for dtype, kept in ((torch.float16, torch.float16), (torch.float64, torch.float64)):
        given = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
        found, nest = parse(saved(given), "torch")
        assert nest == ""
        assert {value.dtype for value in found.values() if value.is_floating_point()} == {kept}


# --- an installed model ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> Path:
    """A folder of weights with the shipped knee network brought as "ours"; tests leave it as it is."""
    root = tmp_path_factory.mktemp("installed")
    bring(saved(tensors), STATED, root, lambda line: None)
    return root


def phantom_study() -> Any:
    return registry.part(KNEE, "phantom").make_sample("both_severe").study()


def test_it_answers_as_the_network_it_came_from_but_calls_nothing(installed: Path) -> None:
    own = load_model(installed / KNEE / "ours", build, torch.device("cpu"))
    ours, theirs = (screen(phantom_study(), model, confirmed=True) for model in (own, load(KNEE, SHIPPED)))
    assert ours.prediction is not None
    assert theirs.prediction is not None
    for mine, other in zip(ours.prediction.findings, theirs.prediction.findings, strict=True):
        assert mine.probability == pytest.approx(other.probability, abs=1e-6)
        assert (mine.positive, other.positive) == (None, True)
    record = json.loads(json.dumps(to_json(ours)))
    assert record["operating_point"] == {"id": "minimal", "threshold": None}
    assert record["provenance"]["statement"] == DEMO_STATEMENT
    assert ours.explanation is not None


def test_the_manifest_says_what_was_stated_and_leaves_the_rest_open(installed: Path) -> None:
    folder = installed / KNEE / "ours"
    manifest = read_manifest(folder)
    assert Manifest.model_validate_json(dump_manifest(manifest)) == manifest
    assert manifest.provenance.is_brought
    assert (manifest.provenance.datasets[0].name, manifest.provenance.datasets[0].n) == ("Our phantoms", None)
    assert {point.threshold for point in manifest.operating_points} == {None}
    assert manifest.metrics == ()
    card = (folder / "MODEL_CARD.md").read_text()
    assert "not measured" in card
    assert DEMO_STATEMENT in card
    assert "never saw a patient" not in card  # a limitation of the shipped model


def test_a_shipped_manifest_may_not_leave_anything_open() -> None:
    shipped = json.loads((registry.WEIGHTS / KNEE / SHIPPED / "manifest.json").read_text())
    shipped["operating_points"][0]["threshold"] = None
    with pytest.raises(ValueError, match="only brought weights"):
        Manifest.model_validate(shipped)


def test_its_first_operating_point_takes_the_place_of_the_open_question(tmp_path: Path, installed: Path) -> None:
    import shutil

    import numpy as np

    folder = tmp_path / "ours"
    shutil.copytree(installed / KNEE / "ours", folder)
    score = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.9])
    table = ScoreTable(score > 0.5, score, np.arange(6), None, None)
    question = Question("moderate", {}, table, tuple("abcdef"), tuple("abcdef"))
    manifest = adopt_point(folder, question, 0.5, "The department", "ab" * 32)
    assert [(point.id, point.threshold) for point in manifest.operating_points] == [("minimal", None), ("local_1", 0.5)]
    model = load_model(folder, build, torch.device("cpu"))
    result = screen(phantom_study(), model, confirmed=True, point="local_1")
    assert result.prediction is not None
    assert [finding.positive for finding in result.prediction.findings] == [
        finding.probability >= 0.5 for finding in result.prediction.findings
    ]


def test_no_result_of_it_is_called_held_out(installed: Path) -> None:
    from collections import Counter

    model = load_model(installed / KNEE / "ours", build, torch.device("cpu"))
    cases = registry.part(KNEE, "data").phantom_cases(5, "test", 12)
    excluded: Counter[str] = Counter()
    found = measure(model.manifest, answer_cases(model, cases, excluded, {}), excluded)
    assert (found["held_out"], found["n"], found["operating_points"]) == (False, 12, {})


# --- command and service ---------------------------------------------------------------------------------------------


def command(path: Path, **more: str) -> list[str]:
    words = {"file": str(path), "model": "ours", "architecture": SHIPPED, "trained-on": "phantoms"} | more
    words |= {"data": "Our phantoms", "licence": "CC0-1.0", "by": "A. Physicist"}
    return ["weights", "add", KNEE, *(f"--{name}={value}" for name, value in words.items())]


def test_the_service_adds_in_a_process_of_its_own_and_removes(root: Path, tensors: Tensors) -> None:
    stated = replace(STATED, n=12, ages=(20.0, 90.0))
    outcome = own_weights.add(saved(tensors), stated)
    assert outcome.is_installed
    assert [line.outcome for line in outcome.lines].count("failed") == 0
    (manifest,) = own_weights.brought(KNEE)
    assert (manifest.model, manifest.eligible_age_years) == ("ours", (20.0, 90.0))
    with pytest.raises(UsageError, match="is installed"):
        own_weights.add(saved(tensors), stated)
    path = root / KNEE / "ours" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert main(["weights", "check", KNEE]) == 3
    own_weights.remove(KNEE, "ours")
    assert not (root / KNEE / "ours").exists()
    assert own_weights.brought(KNEE) == []


def test_a_check_that_takes_too_long_is_ended_and_a_second_one_waits(root: Path, tensors: Tensors) -> None:
    outcome = own_weights.add(saved(tensors), STATED, limit_s=0.05)
    assert not outcome.is_installed
    assert [line.outcome for line in outcome.lines] == ["failed"]
    assert not list(root.rglob("*"))
    with own_weights._ONE, pytest.raises(BusyError):
        own_weights.add(saved(tensors), STATED)


def test_what_is_stated_arrives_at_the_command_as_it_is() -> None:
    stated = replace(STATED, options={"loss": "Dice", "final_relu": True, "width": 4}, by="--help", n=3, size=64)
    options = parser().parse_args([*own_weights.arguments(stated), "--file=x"])
    assert _stated(options) == stated


def test_a_shipped_model_is_not_removed(root: Path) -> None:
    import shutil

    shutil.copytree(Path(__file__).parents[1] / "weights" / KNEE / SHIPPED, root / KNEE / SHIPPED)
    with pytest.raises(UsageError, match="not brought"):
        own_weights.remove(KNEE, SHIPPED)
    for name in ("nothing", "../knee_djd"):
        with pytest.raises(UsageError, match="no model"):
            own_weights.remove(KNEE, name)
    assert (root / KNEE / SHIPPED / "manifest.json").is_file()


def test_the_command_limits_its_memory(
    root: Path, tmp_path: Path, tensors: Tensors, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process without the limits, which would stay; what a page reads is one JSON object a line."""
    limits: list[float] = []
    monkeypatch.setattr("core.io.limits.limit_memory", limits.append)
    monkeypatch.setattr("core.io.limits.set_alarm", limits.append)
    path = tmp_path / "weights.pt"
    path.write_bytes(saved(changed(tensors, "linear.bias", None)))
    assert main([*command(path), "--json"]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["outcome"] == "failed"
    assert len(limits) == 2
    assert min(limits) > 0
    call: Callable[[list[str]], int] = main
    assert call([*command(tmp_path / "missing.pt")]) == 2
    assert call([*command(path), "--threshold", "minimal=much"]) == 2
