"""Coded concepts: of DICOM, SNOMED CT and UCUM where they have one that is meant, else private with their meaning."""

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

PRIVATE = "99FIVEFOLD"
_SNOMED = "SCT"


def private(value: str, meaning: str) -> CodedConcept:
    """A concept of this program."""
    return CodedConcept(value, PRIVATE, meaning)


def schemes() -> list[CodingSchemeIdentificationItem]:
    """Who is behind the private concepts."""
    return [CodingSchemeIdentificationItem(PRIVATE, name="Fivefold concepts", responsible_organization="Fivefold")]


SCORE = private("SCORE", "Model score")
THRESHOLD = private("THRESHOLD", "Threshold of the operating point")
SIDE = private("SIDE", "Side of the operating point")
ABOVE, BELOW = private("ABOVE", "At or above the operating point"), private("BELOW", "Below the operating point")
GRADE = private("GRADE", "Most probable grade")
# By key of plan.Number: name and unit. A ratio of lengths or of uptake has no unit.
NUMBERS = {
    "score": (SCORE, codes.UCUM.NoUnits),
    "threshold": (THRESHOLD, codes.UCUM.NoUnits),
    "area_px": (codes.SCT.Area, CodedConcept("{pixels}", "UCUM", "pixels")),
    "area_percent": (private("AREA_SHARE", "Share of the field of view"), codes.UCUM.Percent),
    "roi_hu": (codes.DCM.MeanAttenuationCoefficient, codes.UCUM.HounsfieldUnit),
    "uptake_ratio": (private("UPTAKE", "Uptake beside that of the shafts"), codes.UCUM.NoUnits),
    "cardiothoracic_ratio": (private("CTR", "Cardiothoracic ratio"), codes.UCUM.NoUnits),
}

_FINDINGS = {
    "osteoporosis": CodedConcept("64859006", _SNOMED, "Osteoporosis"),
    "osteopenia": CodedConcept("312894000", _SNOMED, "Osteopenia"),
    "normal": codes.SCT.Normal,
    "cardiac_hypertrophy": codes.SCT.Cardiomegaly,
    "lung_field_infiltration": codes.DCM.Infiltrate,
    "scoliosis": CodedConcept("298382003", _SNOMED, "Scoliosis deformity of spine"),
    "haemorrhage": CodedConcept("28998008", _SNOMED, "Retinal hemorrhage"),
}
_PRIVATE_VALUES = {
    "aortic_atherosclerosis_calcification": "AORTIC_CALC",
    "aortic_curvature": "AORTIC_TORT",
    "intercostal_pleural_thickening": "APICAL_PLEURA",
    "degenerative_joint_disease_of_the_thoracic_spine": "THORACIC_DJD",
}
SITES = {
    "hip_osteoporosis": codes.SCT.HipJoint,
    "ct_osteoporosis": codes.SCT.Vertebra,
    "chest_lesions": codes.SCT.Chest,
    "knee_djd": codes.SCT.Knee,
    "retina_lesions": codes.SCT.Retina,
}
SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right}
PROCEDURES = {
    "hip_osteoporosis": codes.SCT.PlainRadiography,
    "ct_osteoporosis": codes.SCT.ComputedTomography,
    "chest_lesions": codes.SCT.PlainRadiography,
    "knee_djd": codes.SCT.NuclearMedicineProcedure,
    "retina_lesions": private("FUNDUS_PHOTO", "Fundus photography"),
}


def finding(label: str, name: str) -> CodedConcept:
    """What was looked for."""
    known = _FINDINGS.get(label)
    if known is not None:
        return CodedConcept.from_code(known)
    return private(_PRIVATE_VALUES.get(label, label.upper()[:16]), name)  # a code value has at most 16 characters
