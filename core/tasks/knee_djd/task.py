"""Declaration of the knee task, and the form its network input has: light enough for a machine that only trains."""

from core.i18n import mark
from core.task import Label, Reference, Task

SIZE = 128  # side of the network input, pixels
STORED_STEP = 0.001  # of the uptake ratio in the stored int16 crops

TASK = Task(
    id="knee_djd",
    order=4,
    title=mark("Knee bone-scan grading"),
    image_kind=mark("Whole-body bone scan, anterior view"),
    question=mark("How severe does degenerative joint disease look in each knee?"),
    icon="accessibility_new",
    kind="grader",
    labels=(
        Label("normal", mark("Normal")),
        Label("minimal", mark("Minimal")),
        Label("mild", mark("Mild")),
        Label("moderate", mark("Moderate")),
        Label("severe", mark("Severe")),
    ),
    architectures=("simple_cnn_2", "simple_cnn_1", "simple_cnn_3"),
    region_name=mark("Knee region"),
    has_sides=True,
    formats=mark("DICOM, or MATLAB .mat of version 5 or 7.3"),
    references=(
        Reference(
            "Student project on grading degenerative joint disease of the knee in whole-body bone scans, Seoul (in Korean)."
        ),
        Reference(
            "McCrae F. et al. Scintigraphic assessment of osteoarthritis of the knee joint. Ann Rheum Dis 1992; 51: 938."
        ),
        Reference("Mazzuca S. A. et al. Bone scintigraphy of the knee in osteoarthritis, 2004 and 2005."),
        Reference("Kraus V. B. et al. Bone scintigraphy predicts the presence and location of osteophytes. 2009."),
        Reference(
            "Kellgren J. H., Lawrence J. S. Radiological assessment of osteo-arthrosis. Ann Rheum Dis 1957; 16: 494."
        ),
        Reference(
            "Draelos R. L., Carin L. Use HiResCAM instead of Grad-CAM. 2020.", "https://arxiv.org/abs/2011.08891"
        ),
    ),
    truth=mark("The truth: the joint, because nothing else in these images depends on the grade."),
)
