"""What the columns of a hospital's table may mean, guessed from their names: a person looks at it before anything is measured."""

import re
from collections import Counter
from typing import Any

from core import registry
from core.clinical.osteoporosis import NORMAL_T, OSTEOPOROSIS_T
from core.errors import TableError
from core.evaluation.mapping import NOT_READ, Meaning, TableMapping, n_classes, number
from core.io.label_table import LabelTable

# Small letters and digits alone, as `_plain` spells them. The first name that occurs wins.
_USUAL = {
    "file": (
        "file filename filepath imagefile imagename imagepath dicomfile dcmfile image path dicom dcm 檔名 "
        "檔案名稱 檔案 影像檔名 影像檔 파일명 파일이름 파일 영상파일"
    ),
    "accession": (
        "accession accessionnumber accessionno accno accnumber acc 檢查單號 單號 檢查號 접수번호 검사번호 영상번호"
    ),
    "patient": (
        "patient patientid patientno pid ptid mrn chartno subject subjectid 病歷號 病歷號碼 病人 病人編號 "
        "환자번호 등록번호 병록번호 환자id 환자"
    ),
    "date": (
        "studydate examdate examinationdate scandate date 檢查日期 檢查日 日期 검사일 검사일자 촬영일 촬영일자 날짜"
    ),
    "label": (
        "label class grade diagnosis target reference groundtruth consensus reading result 標籤 診斷 分級 判讀 "
        "判讀結果 結果 라벨 진단 등급 판독 판독결과 결과"
    ),
    "t_score": (
        "tscore tscorefn fntscore femoralnecktscore lowesttscore mintscore tscoremin t值 t分數 最低t值 t점수 t값 티점수"
    ),
    "right": (
        "graderight rightgrade labelright rightlabel rightknee righthip right rt 右膝 右側 右髖 右 우측무릎 "
        "오른쪽무릎 우측 오른쪽 우"
    ),
    "left": (
        "gradeleft leftgrade labelleft leftlabel leftknee lefthip left lt 左膝 左側 左髖 左 좌측무릎 왼쪽무릎 "
        "좌측 왼쪽 좌"
    ),
    "laterality": "laterality side bodyside 側別 側 左右 좌우 방향 측",
    "group": (
        "group site hospital center centre institution scanner device vendor cohort 組別 院區 醫院 機型 儀器 그룹 "
        "병원 기관 장비"
    ),
}
_NAMES = {word: names.split() for word, names in _USUAL.items()}
_READER = re.compile(r"(?:reader|rater|reading|radiologist|annotator|判讀者|判讀|醫師|판독자|판독의|판독)\d{1,2}")
_WORDS: dict[str, tuple[str, ...]] = {
    "normal": ("normal", "正常", "정상"),
    "osteopenia": ("osteopenia", "low bone mass", "骨質缺乏", "低骨量", "骨質流失", "골감소증"),
    "osteoporosis": ("osteoporosis", "osteoporotic", "骨質疏鬆", "골다공증"),
    "minimal": ("minimal", "doubtful", "極輕度", "최소"),
    "mild": ("mild", "輕度", "경도"),
    "moderate": ("moderate", "中度", "중등도"),
    "severe": ("severe", "重度", "중증"),
}
_NO = (
    "no",
    "n",
    "negative",
    "neg",
    "false",
    "-",
    "normal",
    "osteopenia",
    "無",
    "陰性",
    "否",
    "正常",
    "음성",
    "정상",
    "아니오",
)
_YES = ("yes", "y", "positive", "pos", "true", "有", "陽性", "是", "양성", "예", *_WORDS["osteoporosis"])
_UNREAD = ("na", "n/a", "nan", "nd", "null", "not read", "unknown", "?", "不明", "未判讀", "미판독", "불명")


def suggest(table: LabelTable, task: str) -> TableMapping:
    """Guess a mapping.

    Args:
        table: Of a hospital, or the truth.csv of phantoms.
        task: A classifier or grader.

    Raises:
        TableError: E_MAPPING when no column has a usual name of a key or of a label, or the task takes no table of labels.
    """
    try:
        n = n_classes(task)
    except ValueError as error:
        raise TableError("E_MAPPING", str(error)) from error
    found, is_osteoporosis = _columns(table), registry.task(task).labels[-1].id == "osteoporosis"
    if not is_osteoporosis:
        found.pop("t_score", None)
    facts = _key(found) | _labels(table, found, registry.task(task).has_sides)
    columns = facts["label_columns"]
    if is_osteoporosis and (columns == (found.get("t_score"),) or _hold_t_scores(table, columns)):
        facts["cuts"] = (OSTEOPOROSIS_T, NORMAL_T)[: n - 1]
    else:
        facts["vocabulary"] = vocabulary(table, columns, task)
    own = {word: found.get(word) for word in ("patient", "group") if found.get(word) not in columns}
    return TableMapping.model_validate({"task": task, **facts, **own})


def vocabulary(table: LabelTable, columns: tuple[str, ...], task: str) -> dict[str, Meaning]:
    """The class of every text of some columns whose meaning is plain: numbers of classes, their names, words for "not read".

    Raises:
        ValueError: The labels of the task are boxes or masks.
    """
    labels = [label.id for label in registry.task(task).labels]
    numbers: dict[str, Meaning] = {str(value): value for value in range(n_classes(task))}
    words: dict[str, Meaning] = dict.fromkeys(_UNREAD, NOT_READ)
    if len(labels) == 1:
        words |= dict.fromkeys(_NO, 0) | dict.fromkeys(_YES, 1)
    else:
        words |= {text: value for value, label in enumerate(labels) for text in _WORDS.get(label, (label,))}
    there = {row[column].casefold() for row in table.rows for column in columns}
    return numbers | {text: meaning for text, meaning in words.items() if text in there}


def texts(table: LabelTable, columns: tuple[str, ...]) -> dict[str, int]:
    """How often each text stands in some columns, empty cells left out; the most frequent first."""
    counts = Counter(row[column] for row in table.rows for column in columns if row[column])
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _columns(table: LabelTable) -> dict[str, str]:
    """The column of each word of _NAMES, where there is one."""
    plain = {_plain(column): column for column in reversed(table.columns)}
    found = {word: [plain[name] for name in names if name in plain] for word, names in _NAMES.items()}
    return {word: columns[0] for word, columns in found.items() if columns}


def _plain(column: str) -> str:
    return re.sub(r"[\W_]+", "", column).casefold()


def _key(found: dict[str, str]) -> dict[str, Any]:
    for key in ("file", "accession"):
        if key in found:
            return {"key": key, "key_columns": (found[key],)}
    if "patient" in found and "date" in found:
        return {"key": "patient_date", "key_columns": (found["patient"], found["date"])}
    raise TableError("E_MAPPING", "no column of files or examinations has a usual name")


def _labels(table: LabelTable, found: dict[str, str], has_sides: bool) -> dict[str, Any]:
    if has_sides and "right" in found and "left" in found:
        return {"layout": "sides", "label_columns": (found["right"], found["left"])}
    laterality = {"laterality": found["laterality"]} if has_sides and "laterality" in found else {}
    readers = tuple(column for column in table.columns if _READER.fullmatch(_plain(column)))
    if "label" not in found and len(readers) > 1:
        return {"layout": "readers", "label_columns": readers, **laterality}
    for word in ("label", "t_score"):
        if word in found:
            return {"layout": "one", "label_columns": (found[word],), **laterality}
    raise TableError("E_MAPPING", "no column of labels has a usual name")


def _hold_t_scores(table: LabelTable, columns: tuple[str, ...]) -> bool:
    """Whether most cells are numbers that no class has."""
    values = [number(row[column]) for row in table.rows for column in columns if row[column]]
    measured = [value for value in values if value is not None and (value < 0 or not value.is_integer())]
    return 2 * len(measured) > len(values)
