"""Labelled images in a real browser: from an archive to figures, cases, an adopted operating point and a bundle."""

import csv
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from test_browser import LIMIT_MS, choose_sample, settle

from core.io.phantom_file import write_dicom
from core.tasks.knee_djd.phantom import make_phantom

N_SCANS = 100  # two knees each
QUESTION = "minimal"  # on show first: minimal or worse


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bone scans, and beside them labels.csv with both knees of each and one of three sites."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(20261129)
    with (folder / "labels.csv").open("w", newline="") as file, zipfile.ZipFile(folder / "scans.zip", "w") as scans:
        table = csv.writer(file)
        table.writerow(["file", "patient", "grade_right", "grade_left", "site"])
        for place in range(N_SCANS):
            phantom = make_phantom(rng)
            name = f"scan_{place:03d}.dcm"
            scans.writestr(name, write_dicom(phantom))
            grades = [phantom.truth[f"grade_{side}"] for side in ("right", "left")]
            table.writerow([name, f"P{place:04d}", *grades, f"site {'ABC'[place % 3]}"])
    return folder / "scans.zip"


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).first.click(timeout=LIMIT_MS)
    settle(page)


def start(page: Page, archive: Path) -> None:
    """Upload, columns as guessed, check; until the check was read."""
    choose_sample(page, "Knee bone-scan grading")
    for place, file in enumerate((archive, archive.with_name("labels.csv"))):
        page.locator("input[type=file]").nth(place).set_input_files(str(file), timeout=LIMIT_MS)
        settle(page)
    press(page, "Go on to the columns")
    expect(page.get_by_text(f"The first 5 of {N_SCANS} rows.")).to_be_visible(timeout=LIMIT_MS)
    press(page, "Check images and labels")
    expect(page.get_by_text("The model was trained on none of these")).to_be_visible(timeout=LIMIT_MS)


def run_with_a_break(page: Page) -> None:
    """Reload while it runs, cancel, go on; until the results are there."""
    press(page, f"Run the model on {2 * N_SCANS} cases")
    answering = page.get_by_text(re.compile(rf"Answering the cases · \d+ of {2 * N_SCANS}"))
    expect(answering).to_be_visible(timeout=LIMIT_MS)
    page.reload()
    expect(answering).to_be_visible(timeout=LIMIT_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Stopped")).to_be_visible(timeout=LIMIT_MS)
    press(page, "Go on")
    expect(page.get_by_role("heading", name="Case by case")).to_be_visible(timeout=LIMIT_MS)
    settle(page)


def metric(page: Page, name: str) -> str:
    shown = page.get_by_test_id("stMetric").filter(has=page.get_by_text(name, exact=True)).first
    return shown.get_by_test_id("stMetricValue").inner_text()


def statistic(page: Page, name: str) -> list[str]:
    """A row of the table of the threshold: value, interval, cases."""
    table = page.get_by_test_id("stTable").filter(has_text="Statistic").first
    row = table.locator("tr").filter(has_text=name).first
    return row.locator("td").all_inner_texts()[1:]


def counts(page: Page) -> dict[str, int]:
    """Cases of each cell, from the table of the threshold."""
    found = {}
    for name, right, wrong in (
        ("Sensitivity", "True positive", "False negative"),
        ("Specificity", "True negative", "False positive"),
    ):
        part, whole = map(int, statistic(page, name)[2].split(" of "))
        found |= {right: part, wrong: whole - part}
    return found


def move_slider(page: Page) -> None:
    """Ten steps down: more cases are called positive."""
    before = statistic(page, "Specificity")
    thumb = page.get_by_role("slider", name=re.compile("^Threshold")).first
    thumb.focus()
    for _ in range(10):
        thumb.press("ArrowLeft")
    value = float(thumb.input_value())
    expect(page.get_by_text(f"Operating point {value:.2f}").first).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    expect(page.get_by_text("A threshold set by hand.")).to_be_visible(timeout=LIMIT_MS)
    assert statistic(page, "Specificity") != before


def confusion(page: Page) -> Locator:
    charts = page.get_by_test_id("stPlotlyChart").filter(has_text=f"n = {2 * N_SCANS}, per cent of each row")
    return charts.filter(has_text="Accuracy").last


def click_false_positives(page: Page) -> None:
    """Top right of the matrix of two classes."""
    place = confusion(page).locator(".nsewdrag").first
    place.scroll_into_view_if_needed()
    settle(page)
    box = place.bounding_box()
    assert box
    place.hover(position={"x": box["width"] * 0.75, "y": box["height"] * 0.25}, force=True)
    place.click(position={"x": box["width"] * 0.75, "y": box["height"] * 0.25}, force=True)
    expect(page.get_by_test_id("stToast")).to_be_visible(timeout=LIMIT_MS)
    settle(page)


def save(page: Page, name: str, path: Path) -> bytes:
    with page.expect_download(timeout=LIMIT_MS) as saved:
        page.get_by_role("button", name=name).click()
    saved.value.save_as(path)
    return path.read_bytes()


@pytest.mark.timeout(600)  # a run of 200 cases and a bundle, where others use the cores as well
def test_evaluate_adopt_and_reopen(page: Page, app_server: str, archive: Path, tmp_path: Path) -> None:
    """200 cases from an archive; slider, a click on a cell, an adopted operating point, a bundle there and back."""
    page.goto(f"{app_server}/evaluate?lang=en")
    settle(page)
    start(page, archive)
    run_with_a_break(page)
    assert (metric(page, "n"), metric(page, "Patients")) == (str(2 * N_SCANS), str(N_SCANS))
    auroc = metric(page, "AUROC")
    move_slider(page)

    cells = counts(page)
    assert sum(cells.values()) == 2 * N_SCANS
    for name, n in cells.items():
        expect(page.get_by_text(f"{name} ({n})", exact=True)).to_be_visible(timeout=LIMIT_MS)
    click_false_positives(page)
    n = cells["False positive"]
    expect(page.get_by_text(f"{n} cases. The wrong ones first")).to_be_visible()
    expect(page.get_by_test_id("stToast")).to_contain_text(f"Listed under Case by case: {n}.")

    page.get_by_role("textbox", name="Adopted by").fill("QA **lead**")
    press(page, "Adopt")
    expect(page.get_by_text("Adopted: version 1.0.0+local.1")).to_be_visible(timeout=LIMIT_MS)
    assert save(page, "Summary (PDF)", tmp_path / "summary.pdf").startswith(b"%PDF")
    press(page, "Make the bundle")
    expect(page.get_by_text("Every file of the bundle")).to_be_visible(timeout=LIMIT_MS)
    file = tmp_path / "bundle.zip"
    save(page, "Save the bundle (zip)", file)
    check_bundle(file, cells)
    shown = statistic(page, "Sensitivity")

    read_one_case(page)

    choose_sample(page, "Open a bundle")
    page.locator("input[type=file]").first.set_input_files(str(file), timeout=LIMIT_MS)
    expect(page.get_by_text("What this bundle is of")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    assert metric(page, "AUROC") == auroc
    assert statistic(page, "Sensitivity") == shown

    page.goto(f"{app_server}/knee_djd?lang=en")
    expect(page.get_by_test_id("stImage").locator("img").first).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    page.locator(".st-key-knee_djd-display button").first.click()
    expect(page.get_by_text("Minimal or worse · adopted by QA **lead**")).to_be_visible(timeout=LIMIT_MS)


def read_one_case(page: Page) -> None:
    """The images of the evaluation in a reader study: blind, then with the model; and back."""
    address = page.url
    press(page, "Read these cases in a reader study")
    expect(page.get_by_text("Cases are images of your evaluation in random order")).to_be_visible(timeout=LIMIT_MS)
    page.get_by_role("textbox", name="Initials of the reader").fill("QA")
    page.keyboard.press("Tab")
    settle(page)
    press(page, "Begin")
    expect(page.get_by_text("First without the model.")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    page.keyboard.press("n")
    expect(page.get_by_text(re.compile("The model: score"))).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    page.keyboard.press("y")
    expect(page.get_by_text("1 of 20 read")).to_be_visible(timeout=LIMIT_MS)
    page.goto(address)
    settle(page)


def check_bundle(file: Path, cells: dict[str, int]) -> None:
    """The cases in the bundle, counted again, are those of the page; no file and no patient is named."""
    with zipfile.ZipFile(file) as bundle:
        about, metrics = (json.loads(bundle.read(name)) for name in ("configuration.json", "metrics.json"))
        text = b"".join(
            bundle.read(name) for name in bundle.namelist() if name.endswith((".json", ".csv", ".txt", ".md"))
        )
    threshold = about["operating_points"][QUESTION]["threshold"]
    rows = [row for row in metrics["case"] if row["question"] == QUESTION]
    assert len(rows) == 2 * N_SCANS
    found = {
        name: sum(row["label"] == label and (row["score"] >= threshold) is called for row in rows)
        for name, label, called in (
            ("True positive", 1, True),
            ("False negative", 1, False),
            ("True negative", 0, False),
            ("False positive", 0, True),
        )
    }
    assert found == cells
    assert not re.search(rb"scan_\d{3}|P\d{4}\b", text)
