"""What leaves the page of experiments: slides with their statement, sources as BibTeX, and pictures of what networks look at."""

import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pptx import Presentation
from test_experiment_results import written
from tiny_grader import graded_pack

from core import registry
from core.errors import UsageError
from core.experiments import maps, panels
from core.experiments.catalogue import EXPERIMENTS
from core.experiments.packs import DATA_SEED
from core.experiments.pictures import by_class, read_maps
from core.experiments.results import REFERENCES, Results, read_results
from core.experiments.talk import talk_pptx
from core.figures.grouped import grouped_alt, grouped_figure
from core.figures.map_cells import map_cell
from core.i18n import LANGUAGES, Translator
from core.manifest import DEMO_STATEMENT
from core.tasks.chest_lesions.phantom import make_phantom
from core.tasks.ct_osteoporosis import data as ct_data
from core.tasks.retina_lesions.task import EXUDATE, FINER, HAEMORRHAGE, OUTSIDE
from core.training.collect import HELD_OUT


def results_of(root: Path, name: str) -> Results:
    arms = {arm.name: (0.4 + place / 10, 0.1) for place, arm in enumerate(EXPERIMENTS[name].arms)}
    written(root, name, {"by_patient": arms})
    return read_results(name, root)


# --- slides ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_slide_says_what_its_figure_rests_on(tmp_path: Path, language: str) -> None:
    t = Translator(language)
    deck = Presentation(BytesIO(talk_pptx(results_of(tmp_path, "knee_layers"), t)))
    assert len(deck.slides) == 2  # the arms, and the training loss
    for slide in deck.slides:
        told = "\n".join(shape.text_frame.text for shape in slide.shapes if shape.has_text_frame)
        assert t(DEMO_STATEMENT) in told
        assert "python -m core experiment knee_layers --fast" in told
        assert not set("{}") & set(told)
        (picture,) = [shape for shape in slide.shapes if hasattr(shape, "image")]
        width, height = Image.open(BytesIO(picture.image.blob)).size
        assert width / height == pytest.approx(picture.width / picture.height, rel=0.01)
        assert "1 layer" in picture._element.nvPicPr.cNvPr.get("descr")
        assert picture.left >= 0
        assert picture.left + picture.width <= deck.slide_width


def test_slides_of_real_images_do_not_call_them_simulated(tmp_path: Path) -> None:
    results = results_of(tmp_path, "knee_layers")
    summary = results.folder / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"data": "real images"}))
    deck = Presentation(BytesIO(talk_pptx(read_results("knee_layers", tmp_path), Translator("en"))))
    told = "\n".join(shape.text_frame.text for shape in deck.slides[0].shapes if shape.has_text_frame)
    assert DEMO_STATEMENT not in told
    assert "not a medical device" in told


# --- sources ---------------------------------------------------------------------------------------------------------

ENTRY = re.compile(r"@(article|inproceedings|misc|techreport)\{([a-z0-9_]+),\n((?:  \w+ = \{.*\},?\n)+)\}")
FIELD = re.compile(r"  (\w+) = \{(.*)\},?")
NEEDED = {
    "article": {"journal", "year"},
    "inproceedings": {"author", "booktitle", "year"},
    "techreport": {"institution"},
}


def test_sources_are_bibtex_and_hold_those_that_the_pages_link() -> None:
    text = REFERENCES.read_text(encoding="utf-8")
    entries = ENTRY.findall(text)
    assert len(entries) == text.count("@")
    assert len({key for _, key, _ in entries}) == len(entries)
    urls = set()
    for kind, _, body in entries:
        found = dict(FIELD.findall(body))
        assert {"title", *NEEDED.get(kind, set())} <= set(found)
        assert all(value.count("{") == value.count("}") for value in found.values())
        urls.add(found.get("url"))
    linked = {own.url for task in registry.tasks().values() for own in task.references if own.url}
    assert linked <= urls


# --- maps ------------------------------------------------------------------------------------------------------------


def test_a_map_on_the_vertebra_lies_inside_and_one_beside_it_does_not() -> None:
    body = np.zeros((2, 8, 8), bool)
    body[:, 2:6, 2:6] = True
    inside, beside = body[0].astype(np.float32), (~body[0]).astype(np.float32)
    figures = maps._inside("s", np.stack([inside, beside]), body, np.array([0, 2], np.float32))
    assert (figures["inside_s_0"], figures["inside_s_1"], figures["inside_s_2"]) == (1, None, 0)
    nothing = maps._inside("s", np.zeros((2, 8, 8), np.float32), body, np.array([0, 0], np.float32))
    assert (nothing["inside_s_0"], nothing["n_maps_s_0"]) == (None, 0)


def test_maps_go_from_the_network_to_the_slide(tmp_path: Path) -> None:
    """From the network to the file, the page's grid and a slide; an untrained pair on the phantoms that runs are measured on."""
    cases = list(ct_data.phantom_cases(DATA_SEED, "test", 12))
    pack = replace(
        graded_pack(12),
        images=np.stack([ct_data.training_array(case) for case in cases]),
        targets=np.array([case.target for case in cases], np.float32),
        folds=np.full(12, HELD_OUT),
    )
    unseen = pack.folds == HELD_OUT
    assert set(pack.targets[unseen]) == {0, 1, 2}
    network = registry.part("ct_osteoporosis", "network").Network("resnet18").eval()
    learn = registry.part("ct_osteoporosis", "learn")
    explained = maps.maps_of(network, learn, pack, unseen)
    assert set(explained.examples) == {"s", "t"}
    assert np.shape(explained.examples["s"]) == (3, maps.SIDE, maps.SIDE)
    assert 0.2 < float(explained.figures["body"] or 0) < 0.6
    counted = [explained.figures[f"n_maps_s_{label}"] for label in range(3)]
    assert sum(int(n or 0) for n in counted) <= 12
    hu = pack.images[unseen][:, 32:160, 32:160].astype(float)
    body = maps.bodies(12)
    ring = ~body & (np.hypot(*(np.indices(body.shape[1:]) - 63.5)) > 60)
    assert body[:, 64, 64].all()
    assert hu[body].mean() > hu[ring].mean() + 50  # bone against what surrounds it
    shown = maps.pictures(pack)
    run: Any = SimpleNamespace(key="pair, windows s and t | by_patient | seed 0 | fold 0")
    results = results_of(tmp_path, "ct_maps")
    assert read_maps(results) is None
    maps.save_maps(results.folder / "maps.npz", shown, [(run, explained.examples)])
    grid = read_maps(results)
    assert grid is not None
    assert set(grid.maps) == {("pair, windows s and t", "s"), ("pair, windows s and t", "t")}
    assert np.array_equal(grid.maps["pair, windows s and t", "t"], explained.examples["t"])
    deck = Presentation(BytesIO(talk_pptx(results, Translator("en"))))
    assert len(deck.slides) == 3
    (results.folder / "maps.npz").write_bytes(b"PK")
    with pytest.raises(UsageError, match="run the experiment again"):
        read_maps(results)
    assert torch.is_grad_enabled()


def test_a_panel_shows_the_most_marked_photographs_and_what_a_network_scores(tmp_path: Path) -> None:
    """Stored pictures are finer than their label maps; a network that knows the green channel scores the lesions alone."""
    side, label_maps = 32, np.zeros((4, 32, 32), np.uint8)
    label_maps[:, 0] = OUTSIDE
    label_maps[0, 20:22, 4:6], label_maps[2, 8:16, 8:16], label_maps[3, 4:8, 20:28] = HAEMORRHAGE, HAEMORRHAGE, EXUDATE
    images = np.full((4, FINER * side, FINER * side, 6), 100, np.uint8)
    lesions = np.kron(np.isin(label_maps, (HAEMORRHAGE, EXUDATE)), np.ones((1, FINER, FINER), bool))
    images[..., 1][lesions] = 200
    pack = replace(
        graded_pack(4), images=images, label_maps=label_maps, folds=np.array([0, HELD_OUT, HELD_OUT, HELD_OUT])
    )
    shown = panels.pictures(pack)
    assert shown["images"].shape == shown["bodies"].shape == (2, maps.SIDE, maps.SIDE)
    for picture, marked in zip(shown["images"], shown["bodies"], strict=True):
        assert picture[marked > 127].mean() > 200
        assert picture[marked < 10].mean() < 30
    centres = [tuple(np.round(np.argwhere(own > 127).mean(axis=0) * side / maps.SIDE)) for own in shown["bodies"]]
    assert centres == [(12, 12), (6, 24)], "the second haemorrhage is the larger one that no network was trained on"

    class Knowing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))  # says on which device the network is

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            green = torch.nn.functional.avg_pool2d(x, FINER)[:, 1:2]
            return torch.where(green > green.mean(), 8.0, -8.0).expand(-1, 2, -1, -1)

    learn = registry.part("retina_lesions", "learn")
    explained = panels.maps_of(Knowing().eval(), learn, pack, pack.folds == HELD_OUT)
    scored = np.array(explained.examples["one"])
    assert np.array_equal(scored > 127, shown["bodies"] > 127)
    results = results_of(tmp_path, "retina_networks")
    run: Any = SimpleNamespace(key="U-Net | by_patient | seed 0 | fold 0")
    maps.save_maps(results.folder / "maps.npz", shown, [(run, explained.examples)])
    grid = read_maps(results)
    assert grid is not None
    assert set(grid.maps) == {("U-Net", "")}
    assert grid.words.title == "What each network marks"
    assert len(Presentation(BytesIO(talk_pptx(results, Translator("en")))).slides) == 3


def test_figures_of_every_class_are_read_by_arm_and_branch(tmp_path: Path) -> None:
    results = results_of(tmp_path, "ct_maps")
    own = results.summary["arms"][0]["metrics"]
    for label in range(3):
        own[f"unseen_s_recall_{label}"] = {"mean": label / 10}
    own["unseen_inside_one_2"] = {"mean": 0.7}
    arm = results.summary["arms"][0]["arm"]
    assert by_class(results, "recall") == {(arm, "s"): [0.0, 0.1, 0.2]}
    assert by_class(results, "inside") == {(arm, ""): [None, None, 0.7]}


def test_a_cell_shows_the_image_where_there_is_no_evidence() -> None:
    image, inside = np.full((64, 64), 128, np.uint8), np.zeros((64, 64), np.uint8)
    inside[16:48, 16:48] = 255
    heat = np.zeros((64, 64), np.uint8)
    heat[:32] = 255
    plain, warm = map_cell(image, inside), map_cell(image, inside, heat)
    assert np.array_equal(plain[-20:], warm[-20:])
    assert not np.array_equal(plain[:20], warm[:20])
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) == 2  # grey, and the outline


# --- bars and films --------------------------------------------------------------------------------------------------


def test_bars_stand_at_their_places_and_in_words() -> None:
    series = {"G_s": [0.1, None], "G_t": [0.3, 0.4]}
    figure = grouped_figure(["normal", "worse"], series, title=["T"], axis="Share", dark=False)
    assert [list(own.x) for own in figure.data] == [[0.1, None], [0.3, 0.4]]
    assert [list(own.y) for own in figure.data] == [["normal", "worse"]] * 2
    assert "worse: G_s –, G_t 0.400." in grouped_alt(["normal", "worse"], series, "T", Translator("en"))


def test_suppressed_films_lack_bones_and_nothing_else() -> None:
    with_ribs, without = (make_phantom(np.random.default_rng(3), size=128, has_ribs=own) for own in (True, False))
    assert with_ribs.truth["boxes"] == without.truth["boxes"]
    assert with_ribs.markers == without.markers
    lungs = np.asarray(with_ribs.truth["left_lung"]) | np.asarray(with_ribs.truth["right_lung"])
    change = without.pixels.astype(float) - with_ribs.pixels
    assert abs(change[lungs].mean()) > 0.01
    texture = [np.abs(np.diff(own.pixels.astype(float), axis=0))[lungs[1:]].mean() for own in (with_ribs, without)]
    assert texture[1] < texture[0]
