"""The real app in a real browser: what a newcomer does in the first minute, and that nothing leaves the machine."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.tasks.chest_lesions import phantom as chest
from core.tasks.ct_osteoporosis import phantom as ct
from core.tasks.hip_osteoporosis.phantom import make_sample
from core.tasks.knee_djd import phantom as knee
from core.tasks.retina_lesions import phantom as retina

LIMIT_MS = 90_000  # the first image waits for torch and the weights
HEADLINE = re.compile(r"(Above|Below) the operating point")
CT_GRADE = re.compile("(Normal|Osteopenia|Osteoporosis)$")
KNEE_GRADE = re.compile("(Right|Left): (Normal|Minimal|Mild|Moderate|Severe)$")
CHEST_ANSWER = re.compile("Boxes called: |No box: called normal")
HOSTILE_NAME = "![x](http://192.0.2.1/x.png) <img src='http://192.0.2.1/y.png'>.dcm"


def settle(page: Page) -> None:
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'",
        timeout=LIMIT_MS,
    )


def headline(page: Page) -> None:
    expect(page.get_by_role("heading", name=HEADLINE).first).to_be_visible(timeout=LIMIT_MS)


@pytest.fixture
def hip(page: Page, app_server: str) -> Page:
    page.goto(f"{app_server}/hip_osteoporosis?lang=en")
    headline(page)
    settle(page)
    return page


def test_from_home_to_an_explained_answer(page: Page, app_server: str) -> None:
    page.goto(f"{app_server}/?lang=en")
    expect(page.get_by_role("heading", name="Fivefold")).to_be_visible(timeout=LIMIT_MS)
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Hip").click()
    headline(page)
    page.get_by_role("radio", name="Borderline").or_(page.get_by_role("button", name="Borderline")).first.click()
    settle(page)
    headline(page)
    expect(page.get_by_text(re.compile(r"^Score 0\.\d\d")).first).to_be_visible()
    picture = page.get_by_test_id("stImage").locator("img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 500
    expect(page.get_by_test_id("stPlotlyChart").filter(has_text="ROC curve").first).to_be_visible(timeout=LIMIT_MS)


@pytest.mark.parametrize("language", ["zh_Hant", "ko"])
def test_an_address_opens_in_its_language(page: Page, app_server: str, language: str) -> None:
    page.goto(f"{app_server}/hip_osteoporosis?lang={language}")
    expect(page.get_by_test_id("stImage").locator("img").first).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    expect(page.get_by_test_id("stApp")).not_to_contain_text("Traceback")
    expect(page.get_by_role("heading", name=HEADLINE)).to_have_count(0)


def choose_files(page: Page, *files: Path) -> None:
    page.get_by_text("Upload", exact=True).click()
    expect(page.get_by_text("No image yet")).to_be_visible(timeout=LIMIT_MS)
    page.locator("input[type=file]").set_input_files([str(file) for file in files], timeout=LIMIT_MS)


def test_upload_of_a_phantom(hip: Page, tmp_path: Path) -> None:
    file = tmp_path / "IM000001"
    file.write_bytes(write_dicom(make_sample("right_hip")))
    choose_files(hip, file)
    expect(hip.get_by_text("Right hip").first).to_be_visible(timeout=LIMIT_MS)
    headline(hip)
    expect(hip.get_by_text(re.compile("PHANTOM")).first).to_be_visible()


def test_upload_of_hostile_bytes(hip: Page, tmp_path: Path) -> None:
    file = tmp_path / "hostile.dcm"
    file.write_bytes(write_dicom(make_sample("right_hip"))[:3000])
    choose_files(hip, file)
    expect(hip.get_by_text(re.compile("^Next step:")).first).to_be_visible(timeout=LIMIT_MS)
    expect(hip.get_by_test_id("stApp")).not_to_contain_text("Traceback")


def test_a_file_name_is_shown_as_text(hip: Page, app_server: str) -> None:
    """Markdown or markup in a name fetches nothing: the fixture `page` fails on a request that leaves the machine."""
    hip.get_by_text("Upload", exact=True).click()
    data = write_dicom(make_sample("right_hip"))
    files = [
        {"name": HOSTILE_NAME.replace("/", "\u2215"), "mimeType": "application/dicom", "buffer": data},
        {"name": "![x](http:&#47;&#47;192.0.2.1&#47;z.png)", "mimeType": "application/dicom", "buffer": b"nothing"},
    ]
    hip.locator("input[type=file]").set_input_files(files, timeout=LIMIT_MS)
    expect(hip.get_by_text(re.compile("^Next step:")).first).to_be_visible(timeout=LIMIT_MS)
    settle(hip)
    assert hip.locator("img[src*='192.0.2.1']").count() == 0


def test_the_cold_address_of_a_task_has_the_menu(hip: Page) -> None:
    """Streamlit would run the page without its router when no session came before."""
    expect(hip.get_by_test_id("stSidebarNavLink").filter(has_text="User manual")).to_be_visible()


def grade(page: Page, words: re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", name=words).first).to_be_visible(timeout=LIMIT_MS)
    settle(page)


def open_tab(page: Page, name: str, said: str) -> None:
    settle(page)
    page.get_by_role("tab", name=name).click()
    settle(page)
    expect(page.get_by_text(said).first).to_be_visible(timeout=LIMIT_MS)


def choose_sample(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).or_(
        page.get_by_role("button", name=name, exact=True)
    ).first.click()
    settle(page)


def test_the_ct_page_with_samples_and_a_series(page: Page, app_server: str, tmp_path: Path) -> None:
    page.goto(f"{app_server}/ct_osteoporosis?lang=en")
    grade(page, CT_GRADE)
    choose_sample(page, "Osteopenia")
    grade(page, CT_GRADE)
    expect(page.get_by_text(re.compile("Measured in the middle of the region")).first).to_be_visible(timeout=LIMIT_MS)
    open_tab(page, "Both networks", "Alpha, weight of network s")
    open_tab(page, "Method", "What was not built, and why")
    rng = np.random.default_rng(3)
    first = ct.make_phantom(rng, t_score=-3.2, kernel="standard")
    file = tmp_path / "series.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for place, phantom in enumerate([first, *(ct.make_phantom(rng, like=first) for _ in range(2))]):
            archive.writestr(f"{place}.dcm", write_dicom(phantom))
    choose_files(page, file)
    grade(page, CT_GRADE)
    expect(page.get_by_text("All chosen slices of this patient")).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_text(re.compile("Mean of 3 slices"))).to_be_visible(timeout=LIMIT_MS)


def test_the_knee_page_with_samples_and_a_matlab_file(page: Page, app_server: str, tmp_path: Path) -> None:
    page.goto(f"{app_server}/knee_djd?lang=en")
    grade(page, KNEE_GRADE)
    choose_sample(page, "Both knees normal")
    grade(page, KNEE_GRADE)
    expect(page.get_by_role("heading", name=KNEE_GRADE)).to_have_count(2)
    open_tab(page, "Both knees", "Uptake, times the shafts")
    open_tab(page, "Method", "What was not built, and why")
    file = tmp_path / "scan.mat"
    file.write_bytes(write_matlab(knee.make_sample("both_severe"), "7.3"))
    choose_files(page, file)
    expect(page.get_by_text(re.compile("Please confirm first")).first).to_be_visible(timeout=LIMIT_MS)  # no age in it
    expect(page.get_by_role("heading", name=KNEE_GRADE)).to_have_count(0)
    expect(page.get_by_text(re.compile("PHANTOM")).first).to_be_visible()


def test_the_retina_page_with_samples_a_mask_and_a_photograph(page: Page, app_server: str, tmp_path: Path) -> None:
    page.goto(f"{app_server}/retina_lesions?lang=en")
    expect(page.get_by_role("heading", name=re.compile("Haemorrhage")).first).to_be_visible(timeout=LIMIT_MS)
    choose_sample(page, "No lesions")
    expect(page.get_by_text("Truth of this phantom: haemorrhages 0")).to_be_visible(timeout=LIMIT_MS)
    choose_sample(page, "Red and bright lesions")
    expect(page.get_by_text("Suspected lesions are a reason")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    with page.expect_download(timeout=LIMIT_MS) as saved:
        page.get_by_role("button", name=re.compile("Mask: Hard exudate")).click()
    mask = np.asarray(Image.open(saved.value.path()))
    assert set(np.unique(mask)) == {0, 255}
    open_tab(page, "Lesions", "Highest score")
    open_tab(page, "Performance", "At the operating point")
    open_tab(page, "Method", "What was not built, and why")
    file = tmp_path / "photograph.png"
    Image.fromarray(retina.make_sample("both").pixels.astype(np.uint8)).save(file)
    choose_files(page, file)
    expect(page.get_by_text(re.compile("Please confirm first")).first).to_be_visible(timeout=LIMIT_MS)


def test_the_chest_page_with_samples_a_box_and_a_film(page: Page, app_server: str, tmp_path: Path) -> None:
    page.goto(f"{app_server}/chest_lesions?lang=en")
    expect(page.get_by_role("heading", name=CHEST_ANSWER).first).to_be_visible(timeout=LIMIT_MS)
    choose_sample(page, "Enlarged heart")
    expect(page.get_by_role("heading", name=re.compile("Boxes called: ")).first).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_text(re.compile(r"Cardiothoracic ratio .* the heart is enlarged")).first).to_be_visible()
    open_tab(page, "Boxes", "Findings and their thresholds")
    open_tab(page, "Performance", "The same of the mean box")
    open_tab(page, "Method", "What was not built, and why")
    file = tmp_path / "film.dcm"
    file.write_bytes(write_dicom(chest.make_sample("normal")))
    choose_files(page, file)
    expect(page.get_by_role("heading", name=CHEST_ANSWER).first).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_text(re.compile("PHANTOM")).first).to_be_visible()


def test_an_experiment_is_presented(page: Page, app_server: str) -> None:
    page.goto(f"{app_server}/experiments?lang=en")
    expect(page.get_by_role("heading", name="Experiments")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    page.get_by_role("radio", name="Knee").or_(page.get_by_role("button", name="Knee")).first.click()
    settle(page)
    expect(page.get_by_role("heading", name="Does a deeper network grade knees better?")).to_be_visible()
    chart = page.get_by_test_id("stPlotlyChart").filter(has_text="Test cases are among the training cases").first
    expect(chart).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_role("table").first).to_be_visible()
    page.get_by_text("Present", exact=True).click()
    settle(page)
    expect(page.get_by_role("table")).to_have_count(0)
    expect(chart).to_be_visible()
