"""Bytes of a table or of file names to text: UTF-8 and UTF-16, else the old encodings of Taiwan and Korea."""

import codecs
from collections.abc import Sequence

from core.io import vocabulary

_MARKED = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TAIWAN, _KOREA = "cp950", "cp949"
_KOREAN_SHARE = 0.9  # of characters beyond ASCII: Big5 puts two fifths of its own where Korean has none


def decode(data: bytes) -> tuple[str, str | None]:
    """Text, and a note where the encoding was guessed.

    A Korean text is told from a Chinese one by where its bytes lie, so a very short one may be taken for the other: the note says
    what it was read as.

    Raises:
        UnicodeDecodeError: It is no text of these encodings.
    """
    for mark, name in _MARKED:
        if data.startswith(mark):
            return data.decode(name), None
    if name := _unmarked_utf16(data):
        return data.decode(name), None
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError:
        return _old(data)


def _unmarked_utf16(data: bytes) -> str:
    """The byte order of a UTF-16 text without mark: every other byte of its ASCII letters is zero."""
    head = data[:1000]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 4 < len(head) or min(even, odd) * 10 > max(even, odd):
        return ""
    return "utf-16-be" if even > odd else "utf-16-le"


def _old(data: bytes) -> tuple[str, str]:
    korean, chinese = _decoded(data, _KOREA), _decoded(data, _TAIWAN)
    if korean is not None and (chinese is None or _is_korean(korean)):
        return korean, vocabulary.READ_AS_CP949
    if chinese is not None:
        return chinese, vocabulary.READ_AS_BIG5
    raise UnicodeDecodeError("utf-8", data[:1], 0, 1, "no known encoding")


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_korean(text: str) -> bool:
    """Whether nearly all letters beyond ASCII are Hangul of KS X 1001."""
    beyond = [letter for letter in text if not letter.isascii()]
    common = sum("가" <= letter <= "힣" and _is_common(letter) for letter in beyond)
    return common >= _KOREAN_SHARE * len(beyond)


def _is_common(letter: str) -> bool:
    try:
        letter.encode("euc_kr")
    except UnicodeEncodeError:
        return False
    return True


def decode_names(names: Sequence[bytes]) -> list[str] | None:
    """File names of one archive, decoded together since one name is too short to guess by; None where that fails."""
    try:
        text, _ = decode(b"\n".join(names))
    except UnicodeDecodeError:
        return None
    decoded = text.split("\n")
    return decoded if len(decoded) == len(names) else None
