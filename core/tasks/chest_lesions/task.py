"""Declaration of the chest task, and the form its network input has: light enough for a machine that only trains."""

from core.i18n import mark
from core.task import Label, Reference, Task

SIDE = 320  # of the detector's input, pixels
FILM_SIDE = 512  # of the square film on which heart and lungs are sought and findings drawn, pixels

TASK = Task(
    id="chest_lesions",
    order=3,
    title=mark("Chest lesions"),
    image_kind=mark("Frontal chest radiograph"),
    question=mark("Which of seven findings are there, and where?"),
    icon="pulmonology",
    kind="detector",
    labels=(
        Label("cardiac_hypertrophy", mark("Cardiomegaly")),
        Label("aortic_atherosclerosis_calcification", mark("Aortic atherosclerosis / calcification")),
        Label("aortic_curvature", mark("Tortuous aorta")),
        Label("intercostal_pleural_thickening", mark("Apical pleural thickening")),
        Label("lung_field_infiltration", mark("Increased lung infiltrates")),
        Label("degenerative_joint_disease_of_the_thoracic_spine", mark("Degenerative thoracic spine")),
        Label("scoliosis", mark("Scoliosis")),
    ),
    architectures=("fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn"),
    region_name="",
    references=(
        Reference(
            "Ren S. et al. Faster R-CNN: towards real-time object detection with region proposal networks. NeurIPS 2015.",
            "https://arxiv.org/abs/1506.01497",
        ),
        Reference("Desai S., Ramaswamy H. G. Ablation-CAM. WACV 2020."),
        Reference("Muhammad M. B., Yeasin M. Eigen-CAM. IJCNN 2020.", "https://arxiv.org/abs/2008.00299"),
        Reference("Wang X. et al. ChestX-ray8. CVPR 2017.", "https://arxiv.org/abs/1705.02315"),
    ),
    truth=mark("The truth: the true box of the finding whose box is explained."),
)
