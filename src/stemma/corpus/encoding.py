"""Turns bytes into text in the stated encoding, and for bytes that are not in it finds the one they may be in."""

import codecs
import encodings.aliases
from collections.abc import Callable, Iterator
from typing import IO

from stemma.config import nearest
from stemma.corpus.clean import ESCAPE
from stemma.errors import DataError, UsageError

CHUNK = 1 << 20  # bytes read at a time
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CJK_MARKS = "，。、；：？！“”‘’《》（）…—「」『』·　"
_WESTERN = "àâäáãåçéèêëíìîïñóòôöõúùûüýÿßøæœÀÂÄÁÃÅÇÉÈÊËÍÎÏÑÓÔÖÚÛÜØÆŒ’‘“”–—…£€©°«»½"
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


def codec(name: str) -> str:
    """The encoding's one spelling ("utf-8"). Raises UsageError for a name Python does not know."""
    try:
        info = codecs.lookup(name)
        "".encode(name)  # refuses base64, rot13 and the like
        codecs.getincrementaldecoder(name)(ESCAPE).decode(b"a", True)  # and those that read no bytes, or not so
    except (LookupError, ValueError) as error:
        known = [alias.replace("_", "-") for alias in {*encodings.aliases.aliases, *encodings.aliases.aliases.values()}]
        expected = "an encoding by name, such as utf-8, gb18030 or big5"
        raise UsageError(f"encoding {name!r} is not known", expected, nearest(name, known)) from error
    return info.name


def texts(stream: IO[bytes], encoding: str, name: str, settable: bool = True) -> Iterator[str]:
    """The stream decoded, about a megabyte at a time; a byte that is not in the encoding comes as U+DC00 + byte.

    `settable` says whether the reader of an error can name another encoding: of a corpus, not of files of examples, where a byte
    order mark at the beginning is enough.
    """
    decoder = codecs.getincrementaldecoder(encoding)(ESCAPE)
    head = True
    try:
        while data := stream.read(CHUNK):
            if head:
                if not settable and (mark := next((mark for mark in _BYTE_ORDER_MARKS if data.startswith(mark)), None)):
                    encoding = _BYTE_ORDER_MARKS[mark]
                    decoder = codecs.getincrementaldecoder(encoding)(ESCAPE)
                _check_encoding(name, encoding, data[: 1 << 16], settable)
                head = False
            if text := decoder.decode(data):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text
    except UnicodeError as error:  # UTF-16 without its byte order mark
        wrong = f"{name}, line 1: {error.args[0] if len(error.args) == 1 else error}"
        raise DataError(wrong, f"text in {encoding}", f'set corpus.encoding = "{encoding}-le" or "{encoding}-be"') from error


def invalid_byte(where: str, encoding: str, line: str, at: int, sample: str, settable: bool = True) -> DataError:
    """The error for the faulty character at `at` in `line`; `sample` is more of the text around it (`settable`: as of `texts`)."""
    byte = ord(line[at]) - 0xDC00
    shown = line[max(0, at - 20) : at].encode("utf-8", "replace").decode()
    after = f" after {shown!r}" if shown.strip() else ""
    label = "UTF-8" if encoding == "utf-8" else encoding
    wrong = f"{where}: byte 0x{byte:02x} at column {at + 1}{after} is not {label}"
    return DataError(wrong, f"text in {label}", _cure(sample, encoding, settable))


def _cure(sample: str, encoding: str, settable: bool) -> str:
    wide = encoding.startswith(("utf-16", "utf-32"))  # whose encoders take no single bytes back
    likely = "" if wide else guess(sample.encode(encoding, ESCAPE), encoding)
    if not settable:
        return "Re-save it as UTF-8" + (f"; its bytes look like {likely}" if likely else "")
    by_hand = 'or set corpus.invalid = "reject" to leave such bytes out, counted'
    if likely:
        return f'Re-save it as UTF-8, or set corpus.encoding = "{likely}" (a guess that fits the bytes around); {by_hand}'
    return f'Re-save it as UTF-8, or name its encoding (corpus.encoding = "gb18030", "big5", "cp1252"…); {by_hand}'


def guess(raw: bytes, tried: str = "") -> str:
    """The likeliest encoding of these bytes, "" when none fits: by how common the characters are that come out."""
    scores = {name: _plausible(raw, name) for name in _EVERYDAY if name != tried}
    likely = max(scores, key=lambda name: scores[name])
    return likely if scores[likely] > 0.5 else ""


def _plausible(raw: bytes, name: str) -> float:
    """The share of the non-ASCII characters that are everyday ones of that encoding's language, the commonest counting more."""
    for trim in range(4):  # the sample may end inside a character
        try:
            text = raw[: len(raw) - trim].decode(name)
            break
        except UnicodeDecodeError:
            continue
    else:
        return 0.0
    foreign = [c for c in text if c > "\x7f"]
    if not foreign:
        return 0.0
    everyday, common = _EVERYDAY[name]
    return (sum(everyday(c) for c in foreign) + 2 * sum(c in common for c in foreign)) / len(foreign)


def _first_byte(c: str, name: str) -> int:
    return (c.encode(name, "ignore") or b"\0")[0]


# For each encoding: whether a character is an everyday one in it, and its commonest letters or characters.
_EVERYDAY: dict[str, tuple[Callable[[str], bool], str]] = {
    "utf-8": (lambda c: True, ""),
    # Level 1 of GB 2312 and of Big5 holds the 3755 and the 5401 characters in common use.
    "gb18030": (lambda c: c in _CJK_MARKS or 0xB0 <= _first_byte(c, "gb2312") <= 0xD7, "的一是不了在人有我他这中大来上个国和也，。"),
    "big5": (lambda c: c in _CJK_MARKS or 0xA4 <= _first_byte(c, "big5") <= 0xC6, "的一是不了在人有我他這中大來上個國和也，。"),
    "euc_jp": (lambda c: c in _CJK_MARKS or _is_japanese(c), "のにをはがとでたしてい、。"),
    "shift_jis": (lambda c: c in _CJK_MARKS or _is_japanese(c), "のにをはがとでたしてい、。"),
    "euc_kr": (lambda c: "\uac00" <= c <= "\ud7a3", "이다의는에을가고하지를은사한로도기서인"),
    "cp1252": (lambda c: c in _WESTERN, ""),
    "cp1251": (lambda c: "а" <= c.lower() <= "я", ""),
}


def _is_japanese(c: str) -> bool:
    return "\u3041" <= c <= "\u30fe" or 0xB0 <= _first_byte(c, "euc_jp") <= 0xCF  # kana; level 1 of JIS X 0208


def _check_encoding(name: str, encoding: str, head: bytes, settable: bool) -> None:
    """Refuses UTF-16 read as something else, and what is no text at all."""
    wide = encoding.replace("_", "-").startswith(("utf-16", "utf-32"))
    if wide:
        return
    for mark, likely in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            wrong = f"{name}, line 1: the file starts with the byte order mark of {likely.upper()}"
            cure = f'set corpus.encoding = "{likely}", or re-save it as UTF-8' if settable else "re-save it as UTF-8"
            raise DataError(wrong, f"text in {encoding}", cure)
    zeros = head.count(0)
    if zeros > len(head) // 4:
        even = head[::2].count(0)
        likely = "utf-16-be" if even > zeros * 0.9 else "utf-16-le" if even < zeros * 0.1 else ""
        if likely:
            cure = f'set corpus.encoding = "{likely}"' if settable else "re-save it as UTF-8"
            raise DataError(f"{name}: every second byte is zero, as in UTF-16", f"text in {encoding}", cure)
    controls = len(head) - len(head.translate(None, _CONTROLS))
    foreign = head.decode(encoding, "replace").count("\ufffd") if controls > len(head) // 100 else 0
    if controls > max(len(head) // 8, 4) or foreign > max(len(head) // 20, 4):  # no text of whatever encoding has control codes enough
        wrong = f"{name} is a binary file: {controls} of its first {len(head)} bytes are control codes"
        raise DataError(wrong, "plain text or JSON lines", "leave it out, or export its text")
