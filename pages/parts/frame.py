"""What stands around every page, and the badge that says where a model's numbers come from."""

import streamlit as st

from core import __version__
from core.manifest import Manifest
from pages.parts.words import show_language_chooser, t

_NETWORKS = {
    "resnet18": "ResNet18",
    "resnet34": "ResNet34",
    "googlenet": "GoogLeNet",
    "densenet121": "DenseNet121",
    "vgg16": "VGG16",
}


def network_name(manifest: Manifest) -> str:
    """The network as papers spell it."""
    return _NETWORKS.get(manifest.architecture.name, manifest.architecture.name)


def show_sidebar_foot() -> None:
    """Language and the line that stands on every page."""
    with st.sidebar:
        show_language_chooser()
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
    """Orange unless every label comes from patients.

    Args:
        manifest: Says what data made the model.
        in_full: The whole statement instead of two or three words.
    """
    if not manifest.statement:
        st.badge(short_provenance(manifest), icon=":material/verified:", color="green")
        return
    words = t(manifest.statement) if in_full else short_provenance(manifest)
    st.badge(words, icon=":material/warning:", color="orange")


def held_out_name(manifest: Manifest) -> str:
    """What the held-out cases are, for sentences such as "on the held-out phantoms"."""
    return t("held-out phantoms") if manifest.data_kind == "phantom" else t("held-out images")
