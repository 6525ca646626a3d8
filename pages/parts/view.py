"""What one task adds to the body that all task pages share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.manifest import Manifest
from core.records import ScreeningResult, Study
from core.task import Task


@dataclass(frozen=True)
class TaskView:
    """What one task adds to the common body.

    Attributes:
        task_id: The task.
        own_tab: Title and content of its own tab; the content gets the study and the result, None where there is none.
        show_next_step: Advice below the checks.
        show_method: Content of the tab "Method".
        tell_truth: What is true of a sample, as one sentence.
        tell_measures: What was measured in the region of one finding, as one sentence; "" for nothing.
        show_real_cases: Held-out results on real images below those of the grades; nothing where there are none.
    """

    task_id: str
    own_tab: tuple[str, Callable[[Study | None, ScreeningResult | None], None]]
    show_next_step: Callable[[ScreeningResult], None]
    show_method: Callable[[Task, Manifest], None]
    tell_truth: Callable[[Mapping[str, object]], str]
    tell_measures: Callable[[Task, ScreeningResult, int], str] = lambda task, result, index: ""
    show_real_cases: Callable[[Task, Manifest], None] = lambda task, manifest: None
