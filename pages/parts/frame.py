"""What stands around every page, and the badge that says where a model's numbers come from."""

import streamlit as st

from core import __version__
from core.manifest import Manifest
from core.task import Task
from pages.parts.access import show_account
from pages.parts.corners import show_corners_switch
from pages.parts.presentation import show_presentation_start
from pages.parts.tour import show_tour_start
from pages.parts.words import show_language_chooser, t

_NETWORKS = {
    "resnet18": "ResNet18",
    "resnet34": "ResNet34",
    "googlenet": "GoogLeNet",
    "densenet121": "DenseNet121",
    "vgg16": "VGG16",
    "resnet18_acm": "ResNet18 + ACM",
    "xception": "Xception",
    "inception_v3": "Inception-v3",
    "efficientnet_b0": "EfficientNet-b0",
    "vit_b_16": "ViT-B/16",
    "simple_cnn_1": "SimpleCNN, 1 layer",
    "simple_cnn_2": "SimpleCNN, 2 layers",
    "simple_cnn_3": "SimpleCNN, 3 layers",
    "unet_small": "U-Net, small",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "Faster R-CNN, MobileNetV3-Large",
    "fasterrcnn_resnet50_fpn": "Faster R-CNN, ResNet50",
    "unet": "U-Net",
    "unet_resnet18": "U-Net, ResNet18",
    "fcn_resnet101": "FCN-ResNet101",
    "segnet": "SegNet",
    "deeplabv3": "DeepLabv3",
    "deeplabv3plus_resnet50": "DeepLabv3+, ResNet50",
    "deeplabv3plus_xception": "DeepLabv3+, Xception",
    "deeplabv3plus_drn": "DeepLabv3+, stride 8",
}


def network_name(manifest: Manifest) -> str:
    """The network as papers spell it."""
    return _NETWORKS.get(manifest.architecture.name, manifest.architecture.name)


def label_name(task: Task, label_id: str) -> str:
    """A label in the reader's language."""
    return next(t(label.name) for label in task.labels if label.id == label_id)


def grade_name(task: Task, label_id: str) -> str:
    """What an operating point asks for: a grade or a worse one; the highest grade, or the only label, by its name alone."""
    name = label_name(task, label_id)
    return name if label_id == task.labels[-1].id else t("{label} or worse", label=name)


def show_sidebar_foot(page: str) -> None:
    """What holds for every page: its tour, presentation, corners, language, and the line that stands on every page."""
    with st.sidebar:
        show_tour_start(page)
        show_presentation_start()
        show_corners_switch()
        show_language_chooser()
        show_account()
        st.caption(f"Fivefold {__version__} · " + t("research use, not a medical device"))


def short_provenance(manifest: Manifest) -> str:
    """Two or three words for where the training data came from."""
    names = {
        "phantom": t("Simulated data only"),
        "real images, synthetic findings": t("Real images, synthetic findings"),
        "real images, real labels": t("Trained on patients"),
    }
    return names[manifest.data_kind]


def show_badge(manifest: Manifest, *, in_full: bool) -> None:
    """Orange unless every label comes from patients; grey where that was only stated.

    Args:
        manifest: Says what data made the model.
        in_full: The whole statement instead of two or three words.
    """
    if not manifest.statement and manifest.provenance.is_brought:
        st.badge(t("Trained on patients, as stated by those who brought it"), icon=":material/help:", color="gray")
        return
    if not manifest.statement:
        st.badge(short_provenance(manifest), icon=":material/verified:", color="green")
        return
    words = t(manifest.statement) if in_full else short_provenance(manifest)
    st.badge(words, icon=":material/warning:", color="orange")


def held_out_name(manifest: Manifest) -> str:
    """What the held-out cases are, for sentences such as "on the held-out phantoms"."""
    tested = [data.name for data in manifest.provenance.datasets if data.role == "test"]
    return t("held-out phantoms") if all("phantom" in name for name in tested) else t("held-out images")
