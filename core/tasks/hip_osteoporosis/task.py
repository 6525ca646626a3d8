"""Declaration of the hip task, and the form its network input has: light enough for a machine that only trains."""

from core.i18n import mark
from core.task import Label, Reference, Task

SIZE, CONTEXT = 224, 288 / 224  # side of the input, and side of a stored crop relative to the region
STORED_LOW, STORED_HIGH = -0.25, 1.25  # range of the stored uint8 crops around the stretched [0, 1]

TASK = Task(
    id="hip_osteoporosis",
    order=1,
    title=mark("Hip osteoporosis (X-ray)"),
    image_kind=mark("Frontal hip radiograph"),
    question=mark("Does the proximal femur look osteoporotic?"),
    icon="orthopedics",
    kind="classifier",
    labels=(Label("osteoporosis", mark("Osteoporosis")),),
    architectures=("resnet18", "resnet34", "googlenet", "densenet121", "vgg16"),
    region_name=mark("Femoral-neck region"),
    has_sides=True,
    references=(
        Reference(
            "Tunghai University project report on hip radiograph osteoporosis screening, Taichung, 2023 (in Chinese)."
        ),
        Reference(
            "He K. et al. Deep residual learning for image recognition. CVPR 2016.", "https://arxiv.org/abs/1512.03385"
        ),
        Reference("Selvaraju R. R. et al. Grad-CAM. ICCV 2017.", "https://arxiv.org/abs/1610.02391"),
        Reference("Kanis J. A. et al. A reference standard for the description of osteoporosis. Bone 2008; 42: 467."),
        Reference(
            "Koh L. K. H. et al. A simple tool to identify Asian women at increased risk of osteoporosis (OSTA). "
            "Osteoporos Int 2001; 12: 699."
        ),
        Reference(
            "Singh M. et al. Changes in trabecular pattern of the upper end of the femur as an index of osteoporosis. "
            "J Bone Joint Surg Am 1970; 52: 457."
        ),
    ),
    truth=mark("The truth: the femur, because every sign of osteoporosis in these images lies in it."),
)
