"""Declaration of the retina task, and the form its network input has: light enough for a machine that only trains."""

from core.i18n import mark
from core.task import Label, Reference, Task

SIDE = 448  # of the field of view's square on which lesions are marked, pixels
FINER = (
    2  # pixels of the input to one of these: haemorrhages need the context of SIDE, exudates the detail of the input
)
INPUT_SIDE = FINER * SIDE
REACHES = (
    0.04,
    1.0,
)  # of the means that are taken off, of the side: fine detail; whatever differs from the whole field
STORED_STEP, STORED_ZERO = 1 / 16, 128  # of the uint8 pictures that training stores
OUTSIDE = 255  # in a label map: beyond the field of view
# in a label map, as IDRiD counts; 0 is background
MICROANEURYSM, HAEMORRHAGE, EXUDATE, SOFT_EXUDATE, DISC = 1, 2, 3, 4, 5

TASK = Task(
    id="retina_lesions",
    order=5,
    title=mark("Retinal lesions"),
    image_kind=mark("Fundus photograph"),
    question=mark("Where are haemorrhages and hard exudates?"),
    icon="visibility",
    kind="segmenter",
    labels=(
        Label("haemorrhage", mark("Haemorrhage")),
        Label("exudate", mark("Hard exudate")),
    ),
    architectures=(
        *("unet_small", "unet_resnet18", "unet", "fcn_resnet101", "segnet", "deeplabv3"),
        *("deeplabv3plus_resnet50", "deeplabv3plus_xception", "deeplabv3plus_drn"),
    ),
    region_name=mark("Field of view"),
    has_sides=True,
    formats=mark("JPEG, PNG, TIFF or DICOM"),
    references=(
        Reference(
            "Porwal P. et al. Indian Diabetic Retinopathy Image Dataset (IDRiD). Data 2018; 3: 25.",
            "https://doi.org/10.21227/H25W98",
        ),
        Reference("Ronneberger O. et al. U-Net. MICCAI 2015.", "https://arxiv.org/abs/1505.04597"),
        Reference("Badrinarayanan V. et al. SegNet. TPAMI 2017.", "https://arxiv.org/abs/1511.00561"),
        Reference("Chen L.-C. et al. DeepLabv3. 2017; v3+. ECCV 2018.", "https://arxiv.org/abs/1802.02611"),
    ),
    truth=mark("The truth: the lesions of the explained kind, pixel by pixel."),
)
