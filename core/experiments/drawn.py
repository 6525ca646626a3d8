"""An experiment as its main figure draws it, on the screen and on slides: what was published beside what was measured."""

from dataclasses import dataclass

from core.experiments.protocols import PROTOCOLS
from core.experiments.results import Cell, Results
from core.figures.arms import ArmPoint, ArmSeries
from core.i18n import Translator


@dataclass(frozen=True)
class DrawnArms:
    """All that the figure needs, in the reader's language."""

    arms: list[str]
    series: list[ArmSeries]
    title: list[str]
    axis: str


def drawn_arms(results: Results, t: Translator) -> DrawnArms:
    """Published figures, what each protocol measures, and what the careful one's networks reach on unseen patients."""
    arms = list(dict.fromkeys(line.arm for line in results.lines))
    published = {line.arm: line.published.share for line in results.lines if line.published}
    series = []
    if published:
        points = tuple(ArmPoint(arm, value) for arm, value in published.items())
        series.append(ArmSeries(t("Published, other data"), points, is_published=True))
    for protocol in results.protocols:
        own = [line for line in results.lines if line.protocol == protocol]
        points = tuple(_point(line.arm, line.measured) for line in own if line.measured)
        series.append(ArmSeries(t(PROTOCOLS[protocol].title), points))
    careful = [line for line in results.lines if line.protocol == results.careful]
    unseen = tuple(_point(line.arm, line.unseen) for line in careful if line.unseen)
    series.append(ArmSeries(t("On patients nobody trained on"), unseen))
    title = [t(results.declared.title), t("Mean and 95 % CI over {n} seeds", n=results.summary["n_seeds"])]
    return DrawnArms(arms, series, title, t("{metric} (0 to 1)", metric=results.declared.metric.replace("_", " ")))


def _point(arm: str, cell: Cell) -> ArmPoint:
    return ArmPoint(arm, cell.mean, cell.low, cell.high)
