"""Tab "Method" of the hip page: network, equations, the published protocol beside ours, what was left out, references."""

import streamlit as st

from core.manifest import Manifest
from core.task import Task
from pages.parts.chart import is_dark, show_chart
from pages.parts.method import show_lines, show_protocols, show_published_badge, show_references, show_rows
from pages.parts.network_drawing import Block, network_figure
from pages.parts.words import t, translator

# Report of 2023, Tables 4.1 and 4.2 and Figure 4-8: 84 left hips of 2022.
_PUBLISHED = (
    ("ResNet18", "0.81", "0.81", "0.81", "0.85", "0.85", "0.85", "30.6"),
    ("ResNet34", "0.83", "0.78", "0.81", "0.84", "0.87", "0.85", "55.0"),
    ("GoogLeNet", "0.79", "0.84", "0.82", "0.87", "0.83", "0.85", "52.4"),
    ("DenseNet", "0.73", "0.89", "0.80", "0.90", "0.74", "0.81", "114.3"),
    ("VGG16", "0.68", "0.92", "0.78", "0.91", "0.66", "0.77", "157.7"),
    ("Final", "0.94", "0.86", "0.90", "0.90", "0.96", "0.93", "–"),
)


def show_method(task: Task, manifest: Manifest) -> None:
    """How the score is made, and what is known about the method elsewhere."""
    if manifest.architecture.name == "resnet18":
        _show_network()
    _show_equations()
    _show_protocols()
    _show_published()
    _show_left_out()
    show_references(task)


def _show_network() -> None:
    blocks = [
        Block(t("Region"), t("of a left hip"), 224, 3),
        Block("conv1", "7×7 / 2", 112, 64),
        Block("layer1", t("2 blocks"), 56, 64),
        Block("layer2", t("2 blocks"), 28, 128),
        Block("layer3", t("2 blocks"), 14, 256),
        Block("layer4", t("2 blocks"), 7, 512, is_explained=True),
        Block(t("Mean"), t("pooling"), 1, 512),
        Block(t("Score"), t("sigmoid"), 1, 1),
    ]
    figure = network_figure(t("ResNet18 with one output"), blocks, translator(), is_dark())
    alt = t(
        "ResNet18 from left to right: region of 224 pixels, five stages, mean over positions, one score; layer4 is explained."
    )
    show_chart(figure, "hip_osteoporosis.network", alt)
    st.caption(
        t("Orange: the layer whose activations the explanations use. A block: two 3×3 convolutions and a shortcut.")
    )


def _show_equations() -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{t('Score and loss')}**")
        st.latex(r"z = w^\top \frac{1}{49}\sum_{i,j} A_{ij} + b, \qquad p = \frac{1}{1 + e^{-z}}")
        st.latex(r"\mathcal{L} = -\,y\,\log p - (1 - y)\,\log (1 - p)")
        st.caption(t("A: the 512 maps of layer4. y = 1 where DXA gave a T-score of −2.5 or below at the femoral neck."))
    with right:
        st.markdown(f"**{t('Explanation (Grad-CAM)')}**")
        st.latex(r"\alpha_k = \frac{1}{49}\sum_{i,j}\frac{\partial z}{\partial A^k_{ij}}")
        st.latex(r"M = \max\Big(0, \sum_k \alpha_k A^k\Big)")
        st.caption(t("The map shows where evidence for a higher score lay, not the outline of a finding."))


def _show_protocols() -> None:
    rows = [
        (
            t("Images"),
            t("693 hip radiographs of one hospital, 2018 to 2022"),
            t("Simulated radiographs with a known T-score"),
        ),
        (
            t("Reference"),
            t("DXA of the femoral neck within six months"),
            t("Simulated DXA: the true T-score with measurement noise"),
        ),
        (t("Region"), t("Femoral neck, marked by hand"), t("Femoral neck, proposed by the program, can be redrawn")),
        (t("Right hips"), t("Mirrored"), t("Mirrored")),
        (
            t("Augmentation"),
            t("One stored copy of each image: rotation of ±20°, brightness"),
            t("New at every epoch, training cases only"),
        ),
        (t("Split"), t("Five folds over images: copies and both hips of a patient on both sides"), t("By patient")),
        (
            t("Optimiser"),
            t("SGD 0.001, batch 5, 50 epochs, step 15"),
            t("The same by default; the model card gives the command used"),
        ),
        (
            t("Choice of model"),
            t("On the same 84 test images that are reported"),
            t("On validation cases; the test cases are used once"),
        ),
        (t("Reported"), t("Accuracy without interval"), t("95 % intervals and n with every number")),
    ]
    show_protocols(t("Published (Taichung, 2023)"), rows)


def _show_published() -> None:
    show_published_badge()
    names = (t("Precision"), t("Recall"), "F1")
    heads = [t("Network"), *(f"{name} \u2212" for name in names), *(f"{name} +" for name in names), t("Minutes")]
    show_rows(heads, _PUBLISHED)
    st.caption(t("− the class without osteoporosis, + the class with osteoporosis."))
    st.caption(
        t(
            "84 left hips (47 with osteoporosis). Accuracy 0.83 is 70 of 84, 95 % interval 0.74 to 0.90; the final 0.92 is "
            "77 of 84, 0.84 to 0.96: the networks cannot be told apart on so few."
        )
    )


def _show_left_out() -> None:
    lines = [
        t("Oracle database and Django site: files and this page do the same with less to keep running."),
        t(
            "Training on stored copies of images split at random: it leaks patients between folds and looks better than it is."
        ),
        t("FRAX: its formula is not public and may not be embedded."),
        t("A T-score predicted from the radiograph: the network answers yes or no; bone density is measured by DXA."),
        t("Combining score and questionnaire: no data show how; they stand side by side."),
    ]
    show_lines(t("What was not built, and why"), lines)
