"""How weights were trained: the file that rides with them, and the figures of it."""

import json
from pathlib import Path

import pytest

from core import registry
from core.errors import UsageError
from core.figures.training import epochs_alt, epochs_figure
from core.i18n import Translator
from core.io.history import FILE, History, read_history

EPOCHS = (
    {"train_loss": 2.0, "train_loss_objectness": 0.7, "validation_loss": 2.5, "seconds": 9.0},
    {"train_loss": 1.0, "train_loss_objectness": 0.5, "validation_loss": 1.5, "validation_loss_objectness": 0.6},
    {
        "train_loss": 0.5,
        "train_loss_objectness": 0.3,
        "validation_loss": 1.75,
        "validation_ap50": 0.4,
        "validation_ar": 0.3,
    },
)
HISTORY = History(fold=3, kept_epoch=1, epochs=EPOCHS)


def test_the_published_fold_is_read(tmp_path: Path) -> None:
    folds = {"0": {"kept_epoch": 0, "epochs": []}, "3": {"kept_epoch": 1, "epochs": EPOCHS}}
    (tmp_path / FILE).write_text(json.dumps({"recipe": {}, "fold": 3, "folds": folds}))
    assert read_history(tmp_path) == HISTORY
    assert HISTORY.losses() == ["loss", "loss_objectness"]
    assert HISTORY.of("validation_ap50") == [None, None, 0.4]


@pytest.mark.parametrize("content", [None, "", "[]", '{"fold": 0}', '{"fold": 0, "folds": {"1": {}}}'])
def test_another_form_is_an_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(UsageError, match="missing or has another form"):
        read_history(tmp_path)


def test_every_installed_model_says_how_it_was_trained() -> None:
    folders = [folder for task in registry.tasks() for folder in registry.model_folders(task)]
    assert folders
    for folder in folders:
        own = read_history(folder)
        losses = own.of("validation_loss")
        assert own.losses()[0] == "loss"
        assert None not in losses
        recipe = json.loads((folder / FILE).read_text())["recipe"]
        if recipe.get("keep", "best") == "best":
            assert losses[own.kept_epoch] == min(losses)
        else:
            assert own.kept_epoch == len(losses) - 1


@pytest.mark.parametrize("dark", [False, True])
def test_figure_shows_every_epoch_and_marks_the_kept_one(dark: bool) -> None:
    lines = {"Training": HISTORY.of("train_loss"), "Objects <b>": HISTORY.of("validation_loss_objectness")}
    figure = epochs_figure("Loss", "Loss", lines, HISTORY.kept_epoch, Translator("en"), dark)
    assert [list(trace.y) for trace in figure.data] == list(lines.values())
    assert [list(trace.x) for trace in figure.data] == [[1, 2, 3]] * 2
    assert [trace.name for trace in figure.data] == ["Training", "Objects &lt;b&gt;"]
    assert "n = 3 epochs, kept: 2" in figure.layout.title.text
    assert figure.layout.shapes[0].x0 == 2
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("Epoch", "Loss")
    alt = epochs_alt("Loss", lines, HISTORY.kept_epoch, Translator("en"))
    assert alt == "Loss, n = 3 epochs, kept: 2. Training: 1.000. Objects <b>: 0.600."
