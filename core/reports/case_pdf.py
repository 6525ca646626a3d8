"""The report of one case: one page A4 with selectable text, in the reader's language."""

import re
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core import registry
from core.figures.printed.style import to_pdf
from core.i18n import Translator
from core.manifest import Manifest
from core.records import ScreeningResult
from core.reports.case_pictures import STRENGTH, case_pictures
from core.reports.case_words import write_answer, write_checks, write_points
from core.reports.paper import A4, EDGE, GAP, SMALL_PT, TEXT_PT, Paper, Text, question_words

_LEFT = 4.35  # width of the column of answers, inches
_FACTS_X = 1.35  # where values stand beside their names
_DPI = 250
_MODALITY = re.compile(r"[A-Z]{2}")  # a tag is free text to whoever wrote the file
_LEAST_PICTURE, _BETWEEN = 1.2, 0.14  # inches
_FOOT_PT = 1.1 * SMALL_PT
_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)  # of the text


def case_pdf(
    result: ScreeningResult,
    manifest: Manifest,
    *,
    display: NDArray[np.float32],
    made_at: datetime,
    language: str,
    strength: float = STRENGTH,
    has_patient: bool = False,
) -> bytes:
    """The report; the same bytes for the same input.

    Args:
        result: What is reported; where its gate shows no score, neither does the report.
        manifest: Of the model that answered.
        display: The frame's display values in [0, 1], (H, W) or (H, W, 3).
        made_at: Time of the report, aware of its zone.
        language: One of `core.i18n.LANGUAGES`.
        strength: Opacity of the strongest evidence, 0 to 1.
        has_patient: With pseudonym, age and sex, as far as the file tells; never a name, id or date.
    """
    t = Translator(language)
    page = _Page(result, manifest, t)
    page.write(case_pictures(result, display, strength), made_at.astimezone(UTC), has_patient)
    return to_pdf([page.figure], t("Case report"))


class _Page(Paper):
    def __init__(self, result: ScreeningResult, manifest: Manifest, t: Translator) -> None:
        super().__init__(t)
        self.result, self.manifest = result, manifest

    def write(self, pictures: list[NDArray[np.uint8]], made_at: datetime, has_patient: bool) -> None:
        """Text has its size and the pictures what it leaves; only where that is next to nothing, text gets smaller."""
        top = self.banner(self._head(EDGE, made_at), self._warning())
        last = A4[1] - EDGE - 0.12
        for scale in _SCALES:
            answer, checks, points, foot = texts = self._texts(scale, has_patient)
            room = last - top - points.height - foot.height - max(answer.height, checks.height) - 4 * _BETWEEN
            if room >= _LEAST_PICTURE:
                break
        bottom = self._pictures(pictures, top, max(room, _LEAST_PICTURE))
        answer, checks, points, foot = texts
        answer.draw(self, EDGE, bottom + _BETWEEN)
        checks.draw(self, EDGE + _LEFT + GAP, bottom + _BETWEEN)
        points.draw(self, EDGE, last - _BETWEEN - foot.height - _BETWEEN - points.height)
        foot.draw(self, EDGE, last - _BETWEEN - foot.height)
        self.last_line(last)

    def _texts(self, scale: float, has_patient: bool) -> tuple[Text, Text, Text, Text]:
        """Answer, checks, operating points, and where all comes from."""
        t, size = self.t, scale * TEXT_PT
        answer, checks = Text(t, _LEFT, size), Text(t, self.width - _LEFT - GAP, size)
        points, foot = Text(t, self.width, size), Text(t, self.width, scale * _FOOT_PT)
        write_answer(answer, self.result)
        write_checks(checks, self.result, has_patient=has_patient)
        write_points(points, self.manifest, self.result)
        self._write_origin(foot, has_patient)
        return answer, checks, points, foot

    def _head(self, top: float, made_at: datetime) -> float:
        t, task = self.t, registry.task(self.manifest.task)
        panel = self.panel(EDGE, top, self.width)
        panel.write(0, 0, t("Case report"), scale=1.9)
        panel.write(self.width, 0.1, f"{made_at:%Y-%m-%d %H:%M} UTC", align="right")
        panel.write(0, 2.1 * panel.line, t(task.title), scale=1.3)
        model = t("Model {model}", model=f"{self.manifest.model} {self.manifest.version}")
        panel.write(self.width, 2.2 * panel.line, model, align="right")
        return top + 3.8 * panel.line

    def _warning(self) -> str:
        """That the image is no patient's, and what the numbers are worth."""
        t, statement = self.t, self.result.provenance.statement
        kind = t("PHANTOM: a simulated image, no patient") if self.result.study.is_phantom else ""
        return " \u00b7 ".join(filter(None, (kind, t(statement) if statement else "")))

    def _pictures(self, pictures: list[NDArray[np.uint8]], top: float, height: float) -> float:
        """Side by side in the middle, as large as there is room; where they end."""
        rows, columns = pictures[0].shape[:2]
        gap = 0.08
        across = (self.width - gap * (len(pictures) - 1)) / len(pictures)
        width = min(across, height * columns / rows)
        down = width * rows / columns
        left = EDGE + (self.width - len(pictures) * width - gap * (len(pictures) - 1)) / 2
        size = (max(1, round(width * _DPI)), max(1, round(down * _DPI)))
        for place, picture in enumerate(pictures):
            image = Image.fromarray(picture)
            image.thumbnail(size, Image.Resampling.LANCZOS)
            own_left = left + place * (width + gap)
            axes = self.figure.add_axes(
                (own_left / A4[0], 1 - (top + down) / A4[1], width / A4[0], down / A4[1]), frameon=False
            )
            axes.imshow(np.asarray(image), interpolation="none", aspect="auto")
            axes.set_axis_off()
        return top + down

    def _write_origin(self, text: Text, has_patient: bool) -> None:
        """Image, patient where asked, model card in a line or two, hashes."""
        t, study, manifest = self.t, self.result.study, self.manifest
        text.head(t("Image and model"))
        rows, columns = study.frame.pixels.shape[:2]
        modality, spacing = study.tags.get("Modality", ""), study.frame.spacing_mm
        image = [modality if _MODALITY.fullmatch(modality) else "", f"{columns} \u00d7 {rows}"]
        image += [f"{spacing[0]:.2g} mm"] if spacing else []
        text.named(t("Image"), " \u00b7 ".join(filter(None, image)), _FACTS_X)
        if has_patient:
            text.named(t("Patient"), self._patient(), _FACTS_X)
        text.named(t("Image file (SHA-256)"), study.file_sha256, _FACTS_X)
        text.named(t("Weights (SHA-256)"), manifest.weights.sha256, _FACTS_X)
        text.named(t("Explanation"), self._explanation(), _FACTS_X)
        text.named(t("Training data"), self._training(), _FACTS_X)
        text.named(t("Intended use"), t(manifest.intended_use), _FACTS_X, 3)
        text.named(t("Limits"), " ".join(t(line) for line in manifest.limitations), _FACTS_X, 4)

    def _patient(self) -> str:
        t, study = self.t, self.result.study
        age = None if study.age_years is None else t("{age} years", age=f"{study.age_years:.0f}")
        return " \u00b7 ".join(filter(None, (study.pseudonym, age, study.sex))) or t("not in the file")

    def _explanation(self) -> str:
        from core.engine.explain import METHODS  # torch is loaded by now

        explanation = self.result.explanation
        if explanation is None or not self.result.gate.shows_score:
            return "\u2013"
        method, t = METHODS[explanation.method], self.t
        target = question_words(self.manifest.task, explanation.target, t)
        if explanation.finding is not None:
            target = t("box {n}", n=explanation.finding + 1)
        return f"{method.name}, {target}. {t(method.sentence)}"

    def _training(self) -> str:
        t = self.t
        return {
            "phantom": t("Simulated data only"),
            "real images, synthetic findings": t("Real images, synthetic findings"),
            "real images, real labels": t("Trained on patients"),
        }[self.manifest.data_kind]
