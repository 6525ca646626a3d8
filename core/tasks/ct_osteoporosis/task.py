"""Declaration of the CT task, and the form its network input has: light enough for a machine that only trains."""

from core.i18n import mark
from core.task import Label, Reference, Task

SIZE = 128  # side of the network input, pixels of 0.475 mm: finer than any of the scanners
SIDE_MM = 60.8  # side of the examined region: the vertebral body and little else
CONTEXT = 192 / 128  # side of a stored crop relative to the region
ROI_MM = (17.0, 13.0)  # width and height of the ellipse in which trabecular bone is measured
SMOOTH_PX, SMOOTH_REACH = (
    3.0,
    2.5,
)  # SD of the smoothing, 1.4 mm: one sharpness for all kernels; cut off at 2.5 SD
OSTEOPOROSIS_HU, OSTEOPENIA_HU = 110.0, 160.0  # Pickhardt 2013: up to 110 osteoporosis likely, above 160 unlikely
HU_MAX = 1024.0
HU_MIN = {"s": -128.0, "t": -450.0}  # lower ends of the two windows, equation 1 of the reference

TASK = Task(
    id="ct_osteoporosis",
    order=2,
    title=mark("CT osteoporosis, three classes"),
    image_kind=mark("Axial CT slice of the spine"),
    question=mark("Does the vertebral body look normal, osteopenic or osteoporotic?"),
    icon="density_medium",
    kind="grader",
    labels=(
        Label("normal", mark("Normal")),
        Label("osteopenia", mark("Osteopenia")),
        Label("osteoporosis", mark("Osteoporosis")),
    ),
    architectures=("resnet18_acm", "resnet18", "xception", "inception_v3", "efficientnet_b0", "vit_b_16"),
    region_name=mark("Region around the vertebral body"),
    takes_series=True,
    formats=mark("DICOM slice, or a zip file of the slices of one series"),
    references=(
        Reference(
            "Choi et al. Efficient osteoporosis prediction using a pair of ensemble models. "
            "Journal of the Korea Society of Computer and Information 2021 (in Korean)."
        ),
        Reference(
            "Kim M. et al. Learning visual context by comparison (Attend-and-Compare Module). ECCV 2020.",
            "https://arxiv.org/abs/2007.07506",
        ),
        Reference("Selvaraju R. R. et al. Grad-CAM. ICCV 2017.", "https://arxiv.org/abs/1610.02391"),
        Reference(
            "Pickhardt P. J. et al. Opportunistic screening for osteoporosis using abdominal computed tomography scans "
            "obtained for other indications. Ann Intern Med 2013; 158: 588."
        ),
        Reference(
            "Jang S. et al. Opportunistic osteoporosis screening at routine abdominal and thoracic CT. Radiology 2019."
        ),
    ),
    truth=mark(
        "The truth: the trabecular bone of the vertebral body, because nothing else in these images depends on bone density."
    ),
)
