"""Weights are verified, strict, frozen and loaded once; anything else is refused with a reason."""

import json
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from factory import (
    build_tiny,
    images,
    make_manifest,
    manifest_facts,
    tensor_facts,
    tiny_network,
    weights_folder,
)
from safetensors.torch import save

from core.engine.loader import Model, ModelCache, load_model
from core.engine.runner import run
from core.errors import WeightsError
from core.manifest import Manifest, dump_manifest

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return weights_folder(tmp_path / "tiny")


def refuse(folder: Path) -> str:
    """What is wrong, in words."""
    with pytest.raises(WeightsError) as caught:
        load_model(folder, build_tiny, CPU)
    assert caught.value.code == "E_WEIGHTS"
    return caught.value.got


def declare(folder: Path, content: bytes, **changes: Any) -> None:
    """Install other content with a manifest that fits it."""
    (folder / "model.safetensors").write_bytes(content)
    n_parameters = sum(p.numel() for p in tiny_network().parameters())
    manifest = make_manifest(weights=tensor_facts(content, n_parameters) | changes)
    (folder / "manifest.json").write_text(dump_manifest(manifest), encoding="utf-8")


# --- what is accepted ------------------------------------------------------------------------------------------------


def test_loaded_model_is_the_saved_one_frozen_in_evaluation_mode(folder: Path) -> None:
    model = load_model(folder, build_tiny, CPU)
    expected = tiny_network().eval()
    x = images(2)
    with torch.no_grad():
        assert run(model, x).output == pytest.approx(expected(torch.from_numpy(x)).numpy(), abs=1e-6)
    assert not any(p.requires_grad for p in model.network.parameters())
    assert not any(module.training for module in model.network.modules())
    assert model.manifest.version == "1.1.0"


def test_half_precision_file_runs_in_single_precision(folder: Path) -> None:
    state = tiny_network().state_dict()
    declare(folder, save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}), dtype="float16")
    model = load_model(folder, build_tiny, CPU)
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    with torch.no_grad():
        expected = tiny_network().eval()(torch.from_numpy(images(2))).numpy()
    assert run(model, images(2)).output == pytest.approx(expected, abs=0.01)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.fixture
def parser_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of everything that reaches the safetensors parser."""
    calls: list[int] = []
    parse = safetensors.torch.load

    def counted(content: bytes) -> dict[str, torch.Tensor]:
        calls.append(len(content))
        return parse(content)

    monkeypatch.setattr(safetensors.torch, "load", counted)
    return calls


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_one_flipped_bit_is_refused_before_parsing(folder: Path, parser_calls: list[int], share: float) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 4
    path.write_bytes(content)
    assert "SHA-256" in refuse(folder)
    assert parser_calls == []


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:0], lambda whole: whole[: len(whole) // 2], lambda whole: whole[:-1]],
    ids=["empty", "half", "last byte"],
)
def test_truncated_file_is_refused_before_parsing(
    folder: Path, parser_calls: list[int], damage: Callable[[bytes], bytes]
) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert "bytes, expected" in refuse(folder)
    assert parser_calls == []


def test_web_page_instead_of_weights_is_refused(folder: Path, parser_calls: list[int]) -> None:
    (folder / "model.safetensors").write_bytes(b"<!DOCTYPE html><html><body>404: Not Found</body></html>")
    refuse(folder)
    assert parser_calls == []


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["TRAP_FOLDER"],)


@pytest.mark.parametrize("is_declared", [False, True], ids=["against the manifest", "named by the manifest"])
def test_pickle_under_the_name_of_safetensors_is_not_executed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, parser_calls: list[int], is_declared: bool
) -> None:
    sprung = folder / "sprung"
    monkeypatch.setenv("TRAP_FOLDER", str(sprung))
    content = pickle.dumps({"last.bias": Trap()})
    if is_declared:
        declare(folder, content)
    else:
        (folder / "model.safetensors").write_bytes(content)
    refuse(folder)
    assert parser_calls == ([len(content)] if is_declared else [])
    assert not sprung.exists()
    pickle.loads(content)  # the trap does work
    assert sprung.exists()


def renamed(state: dict[str, torch.Tensor]) -> None:
    state["last.biases"] = state.pop("last.bias")


def missing(state: dict[str, torch.Tensor]) -> None:
    del state["mix.weight"]


def surplus(state: dict[str, torch.Tensor]) -> None:
    state["more"] = torch.zeros(1)


def reshaped(state: dict[str, torch.Tensor]) -> None:
    state["last.weight"] = state["last.weight"].T.contiguous()


@pytest.mark.parametrize("damage", [renamed, missing, surplus, reshaped])
def test_tensors_that_do_not_fit_the_architecture_are_refused(
    folder: Path, damage: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    state = tiny_network().state_dict()
    damage(state)
    declare(folder, save(state))
    assert "do not fit the architecture tiny" in refuse(folder)


def test_another_number_of_parameters_than_declared_is_refused(folder: Path) -> None:
    declare(folder, save(tiny_network().state_dict()), parameters=12)
    assert "number of parameters" in refuse(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    state = tiny_network().state_dict()
    state["mix.bias"][3] = value
    declare(folder, save(state))
    assert "not a finite number" in refuse(folder)


def test_running_statistics_that_are_not_finite_are_refused(folder: Path) -> None:
    state = tiny_network().state_dict()
    state["body.1.running_var"][0] = float("nan")
    declare(folder, save(state))
    assert "not a finite number" in refuse(folder)


@pytest.mark.parametrize("place", ["folder", "file in its place", "no weights", "folder for weights"])
def test_missing_or_wrong_kind_of_file_is_refused(folder: Path, place: str) -> None:
    weights = folder / "model.safetensors"
    if place == "folder":
        folder = folder.parent / "elsewhere"
    elif place == "file in its place":
        folder = weights
    else:
        weights.unlink()
        if place == "folder for weights":
            weights.mkdir()
    refuse(folder)


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("surprise", lambda facts: facts.update(surprise=1)),
        ("weights.pickle", lambda facts: facts["weights"].update(pickle=True)),
        ("labels", lambda facts: facts.pop("labels")),
        ("weights.sha256", lambda facts: facts["weights"].pop("sha256")),
        ("weights.sha256", lambda facts: facts["weights"].update(sha256="0" * 63)),
        ("weights.format", lambda facts: facts["weights"].update(format="pickle")),
        ("operating_points.0.threshold", lambda facts: facts["operating_points"][0].update(threshold="high")),
    ],
)
def test_manifest_out_of_schema_is_refused_by_the_name_of_its_field(
    folder: Path, where: str, change: Callable[[dict[str, Any]], object]
) -> None:

    facts = manifest_facts()
    change(facts)
    (folder / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")
    assert f"tiny: {where}: " in refuse(folder)


# --- sharing ---------------------------------------------------------------------------------------------------------


def test_twenty_cold_threads_load_once(folder: Path) -> None:
    cache, start = ModelCache(), threading.Barrier(20)
    built, models = [], []

    def build(manifest: Manifest) -> Any:
        built.append(manifest)
        return build_tiny(manifest)

    def ask() -> None:
        start.wait()
        models.append(cache.get(folder, build))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models) == 20
    assert len({id(model) for model in models}) == 1
    assert cache.loads == len(built) == 1


def test_replaced_weights_are_loaded_anew(tmp_path: Path) -> None:
    cache = ModelCache()
    first = cache.get(weights_folder(tmp_path / "tiny", seed=0), build_tiny)
    second = cache.get(weights_folder(tmp_path / "tiny", seed=1), build_tiny)
    assert cache.loads == 2
    assert not torch.equal(first.network.last.weight, second.network.last.weight)


def test_least_recently_used_model_leaves_a_full_cache(tmp_path: Path) -> None:
    cache = ModelCache(size=2)
    a, b, c = (weights_folder(tmp_path / name, seed=i) for i, name in enumerate("abc"))

    def get(folder: Path) -> Model:
        return cache.get(folder, build_tiny)

    kept = get(a)
    get(b)
    assert get(a) is kept
    get(c)  # b leaves
    assert get(a) is kept
    assert cache.loads == 3
    get(b)
    assert cache.loads == 4


def test_refused_weights_can_be_repaired(folder: Path) -> None:
    cache, path = ModelCache(), folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(WeightsError):
        cache.get(folder, build_tiny)
    path.write_bytes(content)
    assert cache.get(folder, build_tiny).network is not None
    assert cache.loads == 1
