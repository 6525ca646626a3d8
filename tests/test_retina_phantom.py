"""The fundus phantom: repeatable, its lesions where the masks say, and nothing else in the picture that tells of them."""

import functools

import numpy as np
import pytest
from io_files import read
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter
from sklearn.metrics import roc_auc_score

from core.io.phantom_file import write_dicom
from core.phantom import Phantom
from core.tasks.retina_lesions.phantom import MARKERS, SAMPLES, TIME_POINTS, make_phantom, make_sample, make_time_points
from core.tasks.retina_lesions.phantom.camera import DUST_SEED, N_DUST
from core.tasks.retina_lesions.phantom.eye import draw_eye
from core.tasks.retina_lesions.phantom.lesions import draw_lesions, paint_lesions

MASKS = ("red", "microaneurysm", "haemorrhage", "bright", "disc", "field")
LESIONS = ("red", "bright")
TRIVIAL_LIMIT, PIXEL_RULE_LIMIT = 0.65, 0.95
SIZE, N = 256, 64


def phantom(*seed: int, size: int = SIZE, **options: object) -> Phantom:
    return make_phantom(np.random.default_rng(seed), size=size, **options)


def either_way(labels: np.ndarray, values: np.ndarray) -> float:
    area = float(roc_auc_score(labels, values))
    return max(area, 1 - area)


def around(one: Phantom, xy: tuple[float, float], low: float, high: float) -> np.ndarray:
    """The colours at a distance low..high (shares of the side) from a point: (n, 3)."""
    size = len(one.pixels)
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(x - xy[0], y - xy[1]) / size
    return one.pixels[(distance >= low) & (distance < high)].astype(float)


# --- audit -----------------------------------------------------------------------------------------------------------


@functools.cache
def eyes() -> tuple[Phantom, ...]:
    return tuple(phantom(61, index) for index in range(N))


def trivial_features(one: Phantom) -> dict[str, float]:
    inside = one.pixels[one.truth["field"]].astype(float)
    found = {"whole": one.pixels.mean(), "age": one.meta["PatientAge"], "y of the disc": one.truth["disc_xy"][1]}
    for index, colour in enumerate(("red", "green", "blue")):
        channel = inside[:, index]
        found |= {f"{colour} mean": channel.mean(), f"{colour} sd": channel.std()}
        found |= {f"{colour} percentile {q}": np.percentile(channel, q) for q in (1, 5, 50, 95, 99)}
    return found


@pytest.mark.parametrize("kind", LESIONS)
def test_no_trivial_feature_tells_whether_there_are_lesions(kind: str) -> None:
    rows = [trivial_features(one) for one in eyes()]
    labels = np.array([one.truth[f"has_{kind}"] for one in eyes()])
    found = {name: either_way(labels, np.array([row[name] for row in rows])) for name in rows[0]}
    assert len(found) == 24
    assert {name: area for name, area in found.items() if area > TRIVIAL_LIMIT} == {}
    leaky = np.array([row["green mean"] for row in rows])
    assert either_way(labels, leaky + 2 * leaky.std() * labels) > TRIVIAL_LIMIT  # a shortcut would be noticed


def without_ground(channel: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """A channel minus its mean over the neighbourhood within the field."""
    width = SIZE / 40
    weight = gaussian_filter(inside.astype(float), width)
    return channel - gaussian_filter(channel * inside, width) / np.maximum(weight, 1e-3)


@pytest.mark.parametrize(("kind", "weights"), [("red", (0, -1, 0)), ("bright", (0.5, 0.5, -0.5))])
def test_colour_of_a_pixel_tells_the_lesions_but_errs(kind: str, weights: tuple[float, float, float]) -> None:
    areas = []
    for one in eyes():
        if one.truth[f"has_{kind}"]:
            inside = binary_erosion(one.truth["field"], iterations=2)
            rule = without_ground(one.pixels @ np.array(weights), inside)
            areas.append(roc_auc_score(one.truth[kind][inside], rule[inside]))
    assert len(areas) > N / 4
    assert 0.75 < np.mean(areas) < PIXEL_RULE_LIMIT


def test_lesions_are_as_frequent_and_as_large_as_wanted() -> None:
    shares = []
    for seed in range(120):
        eye = draw_eye(seed)
        lesions = draw_lesions(eye, None, np.zeros((8, 8), np.float32))
        masks = paint_lesions(np.zeros((3, 512, 512), np.float32), lesions)
        shares.append([100 * (masks["microaneurysm"] | masks["haemorrhage"]).mean(), 100 * masks["bright"].mean()])
    red, bright = np.transpose(shares)
    assert ((red == 0) & (bright == 0)).mean() == pytest.approx(0.35, abs=0.08)
    assert ((red > 0) & (bright == 0)).mean() == pytest.approx(0.16, abs=0.08)
    assert ((red == 0) & (bright > 0)).mean() == pytest.approx(0.09, abs=0.06)
    assert red[red > 0].mean() == pytest.approx(0.6, rel=0.2)
    assert bright[bright > 0].mean() == pytest.approx(0.3, rel=0.25)


def test_lesions_lie_in_the_field_and_off_the_disc() -> None:
    for one in eyes():
        lesion = one.truth["red"] | one.truth["bright"]
        assert not (lesion & one.truth["disc"]).any()
        assert not (lesion & ~binary_erosion(one.truth["field"], iterations=1)).any()
        assert np.array_equal(one.truth["red"], one.truth["microaneurysm"] | one.truth["haemorrhage"])


# --- cause and markers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_severer_eye_has_more_lesions_and_is_the_same_elsewhere(seed: int) -> None:
    mild, ill, worst = (phantom(62, seed, severity=severity) for severity in (-4.0, 1.2, 2.4))
    assert (mild.truth["has_red"], mild.truth["has_bright"]) == (False, False)
    for kind in LESIONS:
        assert 0 < ill.truth[kind].sum() < worst.truth[kind].sum()
        assert not (ill.truth[kind] & ~worst.truth[kind]).any()
    assert mild.meta == ill.meta == worst.meta
    assert np.array_equal(mild.truth["disc"], worst.truth["disc"])
    near = binary_dilation(worst.truth["red"] | worst.truth["bright"], iterations=6)
    change = np.abs(mild.pixels[~near].astype(int) - worst.pixels[~near])
    assert change.max() <= 1  # the last of the blur
    assert (change > 0).mean() < 1e-4
    darker, brighter = (
        mild.pixels[mask].astype(float).mean(axis=0) - worst.pixels[mask].astype(float).mean(axis=0)
        for mask in (worst.truth["red"] & ~worst.truth["bright"], worst.truth["bright"] & ~worst.truth["red"])
    )
    assert darker[1] > 3
    assert brighter[1] < -3


def test_drawn_and_given_severity_leave_the_same_picture() -> None:
    drawn = phantom(63)
    given = phantom(63, severity=drawn.truth["severity"])
    assert drawn.pixels.tobytes() == given.pixels.tobytes()


def test_markers_are_the_shares_of_the_field() -> None:
    one = phantom(64, severity=2.0)
    assert tuple(one.markers) == MARKERS
    for name, value in one.markers.items():
        assert value == pytest.approx(one.truth[name.removesuffix("_share")].sum() / one.truth["field"].sum())


# --- repeatable; five time points ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"severity": 1.5, "time_point": 3}, {"size": 99}])
def test_same_generator_state_gives_the_same_bytes(options: dict[str, object]) -> None:
    first, second = phantom(65, **options), phantom(65, **options)
    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert (first.markers, first.meta) == (second.markers, second.meta)
    for name in MASKS:
        assert np.array_equal(first.truth[name], second.truth[name])
    assert phantom(66, **options).pixels.tobytes() != first.pixels.tobytes()


def test_generator_moves_on() -> None:
    rng = np.random.default_rng(67)
    assert make_phantom(rng, size=64).meta["PatientID"] != make_phantom(rng, size=64).meta["PatientID"]


@pytest.fixture(scope="module")
def photographs() -> tuple[Phantom, ...]:
    return make_time_points(np.random.default_rng([68]), severity=1.5, size=384)


def test_time_points_are_those_of_single_phantoms(photographs: tuple[Phantom, ...]) -> None:
    single = phantom(68, size=384, severity=1.5, time_point=4)
    assert len(photographs) == TIME_POINTS == 5
    assert single.pixels.tobytes() == photographs[4].pixels.tobytes()
    assert np.array_equal(single.truth["red"], photographs[4].truth["red"])


def test_time_points_share_the_lesions_up_to_a_small_shift(photographs: tuple[Phantom, ...]) -> None:
    for one in photographs[1:]:
        assert one.meta == photographs[0].meta
        assert np.array_equal(one.truth["field"], photographs[0].truth["field"])
        for name in ("red", "bright", "disc"):
            for a, b in ((one, photographs[0]), (photographs[0], one)):
                assert not (a.truth[name] & ~binary_dilation(b.truth[name], np.ones((3, 3)), iterations=6)).any()
    assert len({one.truth["red"].tobytes() for one in photographs}) > 1


def test_time_points_differ_in_contrast_and_brightness(photographs: tuple[Phantom, ...]) -> None:
    inside = binary_erosion(photographs[0].truth["field"], iterations=5)
    spread = [np.std(gaussian_filter(one.pixels[..., 1].astype(float), 2)[inside]) for one in photographs]
    light = [one.pixels[inside].mean() for one in photographs]
    assert max(spread) > 1.25 * min(spread)
    assert max(light) > 1.1 * min(light)


# --- the picture -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 255, 300])
def test_any_size(size: int) -> None:
    one = phantom(69, size=size, severity=1.5)
    assert one.pixels.shape == (size, size, 3)
    assert {one.truth[name].shape for name in MASKS} == {(size, size)}
    assert one.truth["has_red"]
    assert one.truth["has_bright"]


def test_fundus_is_orange_on_black_with_a_bright_disc_towards_the_nose_and_a_dark_fovea() -> None:
    for one in eyes()[:20]:
        red, green, blue = np.median(one.pixels[one.truth["field"]], axis=0)
        assert red > 1.4 * green > 1.4 * blue
        assert one.pixels[~one.truth["field"]].max() < 12
        disc, fovea = one.truth["disc_xy"], one.truth["fovea_xy"]
        assert (disc[0] > fovea[0]) == (one.truth["laterality"] == "R")
        assert around(one, disc, 0, 0.05)[:, 1].mean() > 1.2 * around(one, disc, 0.10, 0.14)[:, 1].mean()
        assert around(one, fovea, 0, 0.02)[:, 1].mean() < 0.97 * around(one, fovea, 0.12, 0.16)[:, 1].mean()
    assert {one.truth["laterality"] for one in eyes()} == {"R", "L"}


def test_dust_lies_at_the_same_place_in_every_photograph() -> None:
    """The deepest specks are darker than their surroundings in the mean over eyes, which no part of the eye is."""
    specks = np.random.default_rng(DUST_SEED).uniform((0.12, 0.15, 2, 0.06), (0.88, 0.85, 6, 0.25), (N_DUST, 4))
    across, down, _, _ = specks[np.argmax(specks[:, 2] * specks[:, 3])]
    at = (across * SIZE - 0.5, down * SIZE - 0.5)
    ratios = [
        around(one, at, 0, 0.004)[:, 1].mean() / np.median(around(one, at, 0.018, 0.03)[:, 1]) for one in eyes()[:40]
    ]
    assert np.median(ratios) < 0.96


@pytest.mark.parametrize("sample_id", SAMPLES)
def test_sample_is_what_its_title_says(sample_id: str) -> None:
    one = make_sample(sample_id)
    found = one.truth["has_red"], one.truth["has_bright"]
    others = {"red_only": (True, False), "bright_only": (False, True), "few": (True, False), "none": (False, False)}
    assert found == others.get(sample_id, (True, True))
    n = sum(one.truth[f"n_{name}"] for name in ("microaneurysms", "haemorrhages", "exudates"))
    assert (n < 10) == (sample_id in ("few", "none"))


def test_file_comes_back_in_colour_with_its_side() -> None:
    one = phantom(70, severity=1.0)
    study = read(write_dicom(one))
    assert np.array_equal(study.frame.pixels, one.pixels)
    assert (study.frame.unit, study.is_phantom) == ("rgb", True)
    assert (study.tags["Modality"], study.tags["ImageLaterality"]) == ("OP", one.truth["laterality"])
    assert (study.sex, study.age_years) == (one.meta["PatientSex"], one.meta["PatientAge"])
    assert study.laterality == one.study().laterality == one.truth["laterality"]
