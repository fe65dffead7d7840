"""Counts the CSV records of a block at once, a hundred times faster than byte by byte, or says that it cannot.

Each of the four bytes that matter becomes a mask, one bit for a byte of the block, 64 to a word. What is counted is
proven: every quote opens or closes a cell, and every record is as wide as it should be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LF, _CR, _QUOTE, _COMMA = b'\n\r",'
_WORD = 64


class Place(NamedTuple):
    """Where between two bytes a body stands: whether within quotes, right behind a mark, and the record's commas."""

    is_quoted: bool
    is_marked: bool
    commas: int


def count_records(data: bytes, start: int, stop: int, width: int, place: Place) -> tuple[int, int, Place] | None:
    """
    Count the records that end within a block.

    :param start: where the block begins in the data.
    :param stop: where it must end, or up to 127 bytes before.
    :param width: cells of a record.
    :param place: where the block begins in the body.
    :return: how many, where the block ends, and its place there; None where only a look at every byte can tell.
    """
    import numpy as np

    stop -= (stop - start) % _WORD
    while stop > start and data[stop - 1] == _CR:  # whether it ends a record, the next byte says
        stop -= _WORD
    if width < 2 or stop <= start:  # a blank line is no record, and here it would look like one
        return None
    block = np.frombuffer(data, np.uint8, stop - start, start)
    commas, feeds = _find(block, _COMMA), _find(block, _LF)
    quotes = _find(block, _QUOTE) if place.is_quoted or data.find(_QUOTE, start, stop) >= 0 else None
    returns = _find(block, _CR) if data.find(_CR, start, stop) >= 0 else None
    is_quoted = False
    if quotes is not None:
        marks = quotes | commas
        marks |= feeds
        if returns is not None:
            marks |= returns
        outside = _find_outside(quotes, marks, place)
        if outside is None:
            return None
        is_quoted = not outside[-1] >> np.uint64(63)
        commas &= outside
        feeds &= outside
        if returns is not None:
            returns &= outside
    if returns is not None and (returns & ~_mask_before(feeds)).any():
        return None
    commas_until = np.cumsum(_count_bits(commas), dtype=np.int64)
    commas_until += place.commas
    left = int(commas_until[-1])
    words, bits = _find_bits(feeds)
    if len(words):
        commas_before = commas_until[words]
        commas_before -= _count_bits(commas[words] & ~(bits - np.uint64(1)))
        if commas_before[0] != width - 1 or (commas_before[1:] - commas_before[:-1] != width - 1).any():
            return None
        left -= int(commas_before[-1])
    return len(words), stop, Place(is_quoted, data[stop - 1] in b'\n",', left)


def _find_outside(quotes: NDArray[Any], marks: NDArray[Any], place: Place) -> NDArray[Any] | None:
    """Return the mask of what is not within quotes; None if a quote has no mark beside it on the side where it must."""
    import numpy as np

    quoted, shifted = quotes.copy(), np.empty_like(quotes)  # one bit from an opening quote on, until its closing one
    for distance in (1, 2, 4, 8, 16, 32):
        np.left_shift(quoted, np.uint64(distance), out=shifted)
        quoted ^= shifted
    is_odd = np.bitwise_xor.accumulate(quoted >> np.uint64(63))
    quoted[1:] ^= np.negative(is_odd[:-1])
    if place.is_quoted:
        np.bitwise_not(quoted, out=quoted)
    # An opening quote has its mark behind it, a closing one before it.
    before, behind = _mask_before(marks), _mask_behind(marks, is_first=place.is_marked)
    behind ^= before
    behind &= quoted
    behind ^= before
    np.bitwise_not(behind, out=behind)
    behind &= quotes
    return None if behind.any() else np.bitwise_not(quoted, out=quoted)


def _mask_behind(marks: NDArray[Any], *, is_first: bool) -> NDArray[Any]:
    """Return the mask of the bytes right behind a mark; whether the first one is, the block does not show."""
    import numpy as np

    behind: NDArray[Any] = marks << np.uint64(1)
    behind[1:] |= marks[:-1] >> np.uint64(63)
    behind[0] |= np.uint64(is_first)
    return behind


def _mask_before(marks: NDArray[Any]) -> NDArray[Any]:
    """Return the mask of the bytes right before a mark; the last one may be."""
    import numpy as np

    before: NDArray[Any] = marks >> np.uint64(1)
    before[:-1] |= marks[1:] << np.uint64(63)
    before[-1] |= np.uint64(1 << 63)
    return before


def _find(block: NDArray[Any], byte: int) -> NDArray[Any]:
    """Return the mask of a byte."""
    import numpy as np

    return np.packbits(block == byte, bitorder="little").view("<u8")


def _find_bits(mask: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return each bit of a mask, in order: the number of its word, and the word with that bit alone."""
    import numpy as np

    words = np.flatnonzero(mask)
    bits = mask[words]
    if (bits & (bits - np.uint64(1))).any():  # a word holds several
        flags = np.unpackbits(bits.view(np.uint8), bitorder="little").view(bool)
        places = np.flatnonzero(flags)
        words, bits = words[places >> 6], np.uint64(1) << (places & 63).astype(np.uint64)
    return words, bits


def _count_bits(words: NDArray[Any]) -> NDArray[Any]:
    """Return how many bits of each word are set."""
    import numpy as np

    bits: NDArray[Any]
    if hasattr(np, "bitwise_count"):  # numpy 2
        bits = np.bitwise_count(words)
    else:
        bits = np.unpackbits(words.view(np.uint8)).reshape(-1, 64).sum(axis=1, dtype=np.int64)
    return bits
