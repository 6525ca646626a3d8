"""`make bench`: what an explained answer costs, as ratios within one run.

Times of one machine mean nothing on another; a ratio of two things measured in turns on the same machine does. Each row is the
median over rounds in which all contestants run once, with a fixed number of threads. Exit status 1 when a bound is missed.
"""

import contextlib
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.models as tv
from pytorch_grad_cam import AblationCAM, GradCAM
from pytorch_grad_cam.ablation_layer import AblationLayer
from pytorch_grad_cam.utils.model_targets import RawScoresOutputTarget
from torch import Tensor, nn

from core import registry, screening
from core.engine.explain import explain
from core.engine.loader import Model
from core.engine.runner import Run, run
from core.imaging.display import to_display
from core.imaging.overlay import as_rgb, blend, png_bytes
from core.io.phantom_file import write_dicom
from core.io.reader import shared_reader
from core.records import Prediction, Regions, Study
from core.tasks.hip_osteoporosis import gate, locate
from core.tasks.hip_osteoporosis.decode import decode
from core.tasks.hip_osteoporosis.network import Network
from core.tasks.hip_osteoporosis.phantom import make_phantom
from core.tasks.hip_osteoporosis.prepare import prepare

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from factory import make_manifest

from tests.bench.graders import contestants

THREADS, ROUNDS, WARM_UP = 1, 25, 3  # one thread: on a busy machine two wait for each other
SLOW_ROUNDS = 2  # the library takes half a minute and more
ANSWER_LIMIT, GRAD_CAM_GAIN, ABLATION_GAIN = 1.5, 2.5, 20.0
SIMPLE_CNN_MS = 10.0
GRAD_CAM_LIKENESS, ABLATION_LIKENESS = 0.999, 0.99
TASK = "hip_osteoporosis"


def the_model() -> tuple[Model, str]:
    """The shipped model when it is a ResNet18, else random weights: speed is the same."""
    if registry.model_folders(TASK):
        model = screening.load(TASK)
        if model.manifest.architecture.name == "resnet18":
            return Model(model.manifest, model.network.cpu(), torch.device("cpu"), model.folder), "shipped weights"
    torch.manual_seed(0)
    network = Network("resnet18").requires_grad_(False).eval()
    return Model(make_manifest(), network, torch.device("cpu"), Path()), "random weights"


def as_users_have_it(model: Model) -> nn.Module:
    """The same tensors in torchvision's ResNet18: evaluation mode, gradients enabled, as the library's examples do."""
    plain = tv.resnet18(num_classes=1)
    plain.load_state_dict(
        {name.removeprefix("classifier.net."): value.clone() for name, value in model.network.state_dict().items()}
    )
    return plain.eval()


def score(output: Tensor) -> Tensor:
    return output[0]


@dataclass(frozen=True)
class Contest:
    """One film on its way through the house, and the library on the whole network."""

    model: Model
    plain: nn.Module
    study: Study
    regions: Regions
    batch: np.ndarray
    x: Tensor

    def bare_forward(self) -> Tensor:
        with torch.no_grad():
            return self.plain(self.x)

    def answer(self) -> tuple[Prediction, np.ndarray]:
        batch = prepare(self.study, self.regions, self.model.manifest)
        done = run(self.model, batch)
        prediction = decode(
            done.output, self.study, self.regions, self.model.manifest, self.model.manifest.default_point
        )
        return prediction, explain(self.model, done, 0, "grad_cam", score).values

    def ours(self, method: str) -> np.ndarray:
        """The whole cost of an explained score: features, head and map."""
        return explain(self.model, run(self.model, self.batch), 0, method, score).values

    def library_grad_cam(self) -> np.ndarray:
        with GradCAM(self.plain, [self.plain.layer4[-1]]) as cam:
            return cam(self.x, [RawScoresOutputTarget()])[0]

    def library_ablation_cam(self) -> np.ndarray:
        with (
            contextlib.redirect_stderr(io.StringIO()),  # its progress bar
            AblationCAM(self.plain, [self.plain.layer4[-1]], ablation_layer=AblationLayer()) as cam,
        ):
            return cam(self.x, [RawScoresOutputTarget()])[0]


def enter() -> tuple[Contest, str]:
    """A film whose score is positive and has positive evidence, so that both definitions of a map agree."""
    model, weights = the_model()
    plain = as_users_have_it(model)
    for seed in range(50):
        study = make_phantom(np.random.default_rng([seed]), t_score=-4.5).study()
        regions = locate.locate(study)
        batch = prepare(study, regions, model.manifest)
        done = run(model, batch)
        if done.output[0, 0] > 0 and explain(model, done, 0, "grad_cam", score).raw_max > 0:
            break
    else:
        sys.exit("no film with a positive score was found")
    return Contest(model, plain, study, regions, batch, torch.from_numpy(batch)), weights


def medians(
    contestants: dict[str, Callable[[], Any]], rounds: int, warm_up: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median milliseconds and last result; the contestants take turns, in an order that changes from round to round."""
    names, times, results = list(contestants), {name: [] for name in contestants}, {}
    rng = np.random.default_rng(0)
    for turn in range(-warm_up, rounds):
        for name in rng.permutation(names):
            began = time.perf_counter()
            results[name] = contestants[name]()
            if turn >= 0:
                times[name].append(1000 * (time.perf_counter() - began))
    return {name: float(np.median(values)) for name, values in times.items()}, results


def stages(contest: Contest) -> dict[str, Callable[[], object]]:
    """Where the time of an answer goes, and what lies beside it."""
    done: Run = run(contest.model, contest.batch)
    phantom = make_phantom(np.random.default_rng([0]))
    file = write_dicom(phantom)
    manifest = contest.model.manifest
    point = manifest.default_point
    heatmaps = screening.explain_regions(contest.model, done, contest.regions, "grad_cam", point).heatmaps
    picture = as_rgb(to_display(contest.study.frame))
    overlay = blend(picture, heatmaps, 0.6)
    return {
        "prepare": lambda: prepare(contest.study, contest.regions, manifest),
        "features + head": lambda: run(contest.model, contest.batch),
        "decode": lambda: decode(done.output, contest.study, contest.regions, manifest, point),
        "Grad-CAM map": lambda: explain(contest.model, done, 0, "grad_cam", score),
        "reader": lambda: shared_reader().read(file),
        "gate": lambda: gate.check(contest.study, manifest, None),
        "locate": lambda: locate.locate(contest.study),
        "full-size blend": lambda: blend(picture, heatmaps, 0.6),
        "PNG": lambda: png_bytes(overlay),
    }


def likeness(maps: dict[str, np.ndarray]) -> float:
    return float(np.corrcoef(maps["ours"].ravel(), maps["library"].ravel())[0, 1])


def row(name: str, value: float, bound: float, *, is_upper: bool = False, unit: str = "x") -> bool:
    """Print one line; whether the bound is kept."""
    is_kept = value <= bound if is_upper else value >= bound
    wanted = f"{'<=' if is_upper else '>='} {bound:g}"
    print(f"{name:<62} {value:>9.4g}{unit:<1}  {wanted:<9} {'ok' if is_kept else 'MISSED'}")
    return is_kept


def graders() -> list[bool]:
    """The pair and the small network: what the explanation adds."""
    kept = []
    for task_id in ("ct_osteoporosis", "knee_djd"):
        found, _ = medians(contestants(task_id), ROUNDS, WARM_UP)
        words = f"  {task_id}, milliseconds: " + "   ".join(f"{name} {value:.1f}" for name, value in found.items())
        if task_id == "ct_osteoporosis":
            ratio = found["answer"] / found["forward"]
            kept.append(row("CT pair: explained answer / bare forward pass", ratio, ANSWER_LIMIT, is_upper=True))
        else:
            added = found["answer"] - found["forward"]
            name = "SimpleCNN, both knees: explained answer - bare forward, ms"
            kept.append(row(name, added, SIMPLE_CNN_MS, is_upper=True, unit=""))
        print(words)
    return kept


def main() -> int:
    torch.set_num_threads(THREADS)
    contest, weights = enter()
    fast, maps = medians(
        {
            "forward": contest.bare_forward,
            "answer": contest.answer,
            "ours": lambda: contest.ours("grad_cam"),
            "library": contest.library_grad_cam,
            **stages(contest),
        },
        ROUNDS,
        WARM_UP,
    )
    slow, slow_maps = medians(
        {"ours": lambda: contest.ours("ablation_cam"), "library": contest.library_ablation_cam}, SLOW_ROUNDS, 0
    )
    print(
        f"ResNet18 at {contest.x.shape[-1]}, {weights}, {THREADS} thread, medians of {ROUNDS} rounds taken in turns\n"
    )
    kept = [
        row("explained answer / bare forward pass", fast["answer"] / fast["forward"], ANSWER_LIMIT, is_upper=True),
        row("Grad-CAM: library on the whole network / here", fast["library"] / fast["ours"], GRAD_CAM_GAIN),
        row(
            "Grad-CAM: correlation",
            likeness(maps),
            GRAD_CAM_LIKENESS,
            unit="",
        ),
        row("Ablation-CAM: library on the whole network / here", slow["library"] / slow["ours"], ABLATION_GAIN),
        row(
            "Ablation-CAM: correlation",
            likeness(slow_maps),
            ABLATION_LIKENESS,
            unit="",
        ),
    ]
    kept += graders()
    print("\nmilliseconds")
    print(f"  bare forward {fast['forward']:.1f}   explained answer {fast['answer']:.1f}   of which")
    inside = ("prepare", "features + head", "decode", "Grad-CAM map")
    print("  " + "   ".join(f"{name} {fast[name]:.2f}" for name in inside))
    beside = ("reader", "gate", "locate", "full-size blend", "PNG")
    print("  beside it: " + "   ".join(f"{name} {fast[name]:.1f}" for name in beside))
    print(f"  Grad-CAM: here {fast['ours']:.1f}, library {fast['library']:.1f}", end="")
    print(f"   Ablation-CAM: here {slow['ours']:.0f}, library {slow['library']:.0f}")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
