"""Made-up things that several tests share: small networks, weights folders, a set of phantoms."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from core.engine.loader import Model
from core.engine.networks.split import Activations, SplitNetwork
from core.manifest import Manifest, dump_manifest
from core.phantom import Phantom
from core.tasks.hip_osteoporosis.phantom import make_phantom

N_PHANTOMS, N_KEPT = 360, 100
DEVIATION = 1.15  # standard deviation of the T-score


# --- networks --------------------------------------------------------------------------------------------------------


class TinyNetwork(SplitNetwork):
    """Three layers with batch norm; a smooth head that is not linear in its activations."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 5, stride=4, padding=2),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 5, stride=4, padding=2),
            nn.ReLU(),
        )
        self.mix = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.last = nn.Linear(channels, 1)

    def features(self, x: Tensor) -> Activations:
        return Activations(self.body(x))

    def head(self, activations: Activations) -> Tensor:
        return self.last(torch.tanh(self.mix(activations.target)).mean(dim=(2, 3)))

    def loss(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.binary_cross_entropy_with_logits(self(x)[:, 0], targets)}


def tiny_network(seed: int = 0) -> TinyNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyNetwork()


def build_tiny(manifest: Manifest) -> TinyNetwork:
    """What `loader` calls for the weights of `weights_folder`."""
    assert manifest.architecture.name == "tiny"
    return TinyNetwork()


def model_of(network: SplitNetwork) -> Model:
    """A frozen model in memory, without a folder."""
    return Model(make_manifest(), network.requires_grad_(False).eval(), torch.device("cpu"), Path("nowhere"))


def images(n: int, side: int = 64, seed: int = 0) -> np.ndarray:
    """Network input: smooth blobs and noise, float32 (n, 3, side, side)."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.standard_normal((n, 3, 8, 8)).astype(np.float32))
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bilinear").numpy()
    return smooth + 0.3 * rng.standard_normal((n, 3, side, side)).astype(np.float32)


# --- manifests and weights folders -----------------------------------------------------------------------------------


def manifest_facts() -> dict[str, Any]:
    """A manifest as JSON values, valid as it is."""
    estimate = {"value": 0.9, "low": 0.85, "high": 0.94}
    return {
        "format": "fivefold-manifest-1",
        "task": "hip_osteoporosis",
        "model": "tiny",
        "version": "1.1.0",
        "changelog": [
            {"version": "1.0.0", "date": "2026-01-01", "text": "First."},
            {"version": "1.1.0", "date": "2026-02-01", "text": "Second."},
        ],
        "architecture": {"name": "tiny", "options": {}},
        "auxiliary": {},
        "input": {
            "modality": ["CR", "DX"],
            "size": [224, 224],
            "channels": 3,
            "unit": "relative",
            "value_range": [0.0, 1.0],
        },
        "transforms": [{"name": "percentiles", "parameters": {"low": 1.0, "high": 99.0}}],
        "labels": ["osteoporosis"],
        "operating_points": [
            {
                "id": "balanced",
                "label": "osteoporosis",
                "threshold": 0.5,
                "threshold_low": 0.4,
                "threshold_high": 0.6,
                "chosen_for": "Youden's index",
                "chosen_on": "validation",
                "sensitivity": dict(estimate),
                "specificity": dict(estimate),
                "data": "test phantoms",
                "n": 600,
            }
        ],
        "calibration": {"method": "none", "parameters": {}, "data": ""},
        "weights": {
            "file": "model.safetensors",
            "format": "safetensors",
            "sha256": "0" * 64,
            "bytes": 1,
            "parameters": 1,
            "dtype": "float32",
        },
        "explanation": {"layer": "body", "default_method": "grad_cam"},
        "metrics": [
            {"name": "auroc", "label": "osteoporosis", "n": 600, "data": "test phantoms", "note": "", **estimate}
        ],
        "provenance": {
            "labels": {"osteoporosis": "phantom"},
            "datasets": [
                {"name": "phantoms", "role": "test", "n": 600, "patients": 600, "licence": "Apache-2.0", "citation": ""}
            ],
            "command": "python -m core train",
            "seed": 1,
            "code_revision": "abc",
            "date": "2026-02-01",
            "training_cases_sha256": "0" * 64,
            "evaluation_sha256": "0" * 64,
            "out_of_fold_sha256": None,
        },
        "eligible_age_years": [50.0, 90.0],
        "intended_use": "Tests.",
        "limitations": ["Not for use."],
    }


def make_manifest(**changes: Any) -> Manifest:
    return Manifest.model_validate(manifest_facts() | changes)


def tensor_facts(content: bytes, parameters: int) -> dict[str, Any]:
    """The manifest's entry for a weights file."""
    return {
        "file": "model.safetensors",
        "format": "safetensors",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "parameters": parameters,
        "dtype": "float32",
    }


def weights_folder(folder: Path, tensors: dict[str, Tensor] | None = None, seed: int = 0) -> Path:
    """A complete folder of a TinyNetwork, or of other tensors under its name."""
    network = tiny_network(seed)
    content = save(network.state_dict() if tensors is None else tensors)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(content)
    declared = tensor_facts(content, sum(p.numel() for p in network.parameters()))
    (folder / "manifest.json").write_text(dump_manifest(make_manifest(weights=declared)), encoding="utf-8")
    return folder


# --- phantoms --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HipCase:
    """What the audit needs of one phantom.

    Attributes:
        trivial: Features that need no anatomy, by name.
        histogram: Shares of 32 equal bins of the stored range.
    """

    label: int
    t_score: float
    markers: tuple[float, ...]
    shape: tuple[int, int]
    trivial: dict[str, float]
    histogram: np.ndarray


def trivial_features(pixels: np.ndarray) -> dict[str, float]:
    """Of an image with values in [0, 1]."""
    percentiles = {f"percentile {q}": float(np.percentile(pixels, q)) for q in (1, 5, 25, 50, 75, 95, 99)}
    bright = {f"share above {level}": float((pixels > level).mean()) for level in (0.25, 0.5, 0.75)}
    return {"mean": float(pixels.mean()), "standard deviation": float(pixels.std()), **percentiles, **bright}


def _phantoms() -> Iterator[Phantom]:
    return (make_phantom(np.random.default_rng([2024, index])) for index in range(N_PHANTOMS))


@lru_cache(maxsize=1)
def hip_phantoms() -> tuple[tuple[HipCase, ...], tuple[Phantom, ...]]:
    """Facts about N_PHANTOMS hips, and the first N_KEPT of them whole; made once for all tests of a run."""
    cases, kept = [], []
    for phantom in _phantoms():
        pixels = phantom.stored / 4095
        cases.append(
            HipCase(
                label=int(str(phantom.truth["label"])),
                t_score=float(str(phantom.truth["t_score"])),
                markers=tuple(phantom.markers.values()),
                shape=pixels.shape,
                trivial=trivial_features(pixels),
                histogram=np.histogram(pixels, 32, (0, 1))[0] / pixels.size,
            )
        )
        if len(kept) < N_KEPT:
            kept.append(phantom)
    return tuple(cases), tuple(kept)


class FixedNoise(np.random.Generator):
    """Gives a pair of phantoms the same nuisance.

    NumPy's Poisson takes a number of draws that depends on its rate, so that after it two phantoms with different causes would
    see different random numbers. Here the counts come from normal numbers of their own: the same in both, and always as many.
    """

    def __init__(self, seed: list[int]) -> None:
        super().__init__(np.random.PCG64(np.random.SeedSequence(seed)))
        self._counts = np.random.default_rng([*seed, 1])

    def poisson(self, lam: np.ndarray) -> np.ndarray:
        return np.rint(np.maximum(lam + np.sqrt(lam) * self._counts.standard_normal(lam.shape), 0))
