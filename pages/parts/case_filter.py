"""Which cases are listed: a cell, a range of scores, a group; set by widgets, or by a click on a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, final

import streamlit as st

from core.evaluation.case_list import CaseRow, Cell, cell_of
from pages.parts.chart import Clicked

EVERYTHING = "all"
_PIECE = 0.025  # of the scores, to each side of a threshold on the ROC curve
STEPS = 100  # of the slider from 0 to 1


@final
@dataclass(frozen=True)
class CaseFilter:
    """The state of the widgets of one list of cases.

    Attributes:
        key: Of the widgets.
    """

    key: str

    @property
    def cell_key(self) -> str:
        """Of the cell of the confusion matrix."""
        return f"{self.key}.cell"

    @property
    def range_key(self) -> str:
        """Of the lowest and highest score."""
        return f"{self.key}.range"

    @property
    def group_key(self) -> str:
        """Of the group."""
        return f"{self.key}.group"

    def begin(self) -> None:
        """Everything is listed until something is chosen; a click sets the widgets, so none has a default of its own."""
        st.session_state.setdefault(self.cell_key, EVERYTHING)
        st.session_state.setdefault(self.range_key, (0.0, 1.0))

    def in_cell(self, point: Mapping[str, Any]) -> None:
        """A cell was clicked: row and column are reference and answer, 1 = positive."""
        row, column = point["customdata"]
        self._choose(cell=cell_of(bool(row), bool(column)))

    def near_threshold(self, point: Mapping[str, Any]) -> None:
        """A point of the ROC curve was clicked: the cases that change sides around its threshold."""
        if "customdata" in point and point["customdata"][0] is not None:
            threshold = float(point["customdata"][0])
            self._choose(scores=(threshold - _PIECE, threshold + _PIECE))

    def in_bins(self, bins: Sequence[tuple[float, float]]) -> Clicked:
        """What to do when a bin of scores is clicked.

        Args:
            bins: In the order of the points.
        """

        def clicked(point: Mapping[str, Any]) -> None:
            if point["point_index"] < len(bins):
                self._choose(scores=bins[point["point_index"]])

        return clicked

    def in_group(self, names: Sequence[str]) -> Clicked:
        """What to do when a group is clicked.

        Args:
            names: From the top of the figure.
        """
        return lambda point: self._choose(group=names[round(float(point["y"]))])

    def _choose(
        self, cell: Cell | None = None, scores: tuple[float, float] = (0.0, 1.0), group: str | None = None
    ) -> None:
        low, high = (min(max(score, 0.0), 1.0) for score in scores)
        state = st.session_state
        state[self.cell_key] = cell or EVERYTHING
        # outwards to the steps of the slider, so that no case of a bin is lost
        state[self.range_key] = (floor(low * STEPS) / STEPS, ceil(high * STEPS) / STEPS)
        state[self.group_key] = group
        state[f"{self.key}.clicked"] = True

    def was_clicked(self) -> bool:
        """Whether a figure was clicked since this was last asked."""
        return bool(st.session_state.pop(f"{self.key}.clicked", False))

    def keeps(self, row: CaseRow) -> bool:
        """Whether a case is listed."""
        state = st.session_state
        cell, (low, high), group = state[self.cell_key], state[self.range_key], state.get(self.group_key)
        return cell in (EVERYTHING, row.cell) and low <= row.score <= high and group in (None, row.group)
