"""Counts the CSV records of a block at once, a hundred times faster than byte by byte, or says that it cannot.

Each of the four bytes that matter becomes a mask, one bit for a byte of the block, 64 to a word. What is counted is
proven: every quote opens or closes a cell, and every record is as wide as it should be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LF, _CR, _QUOTE, _COMMA = b'\n\r",'


def count_records(block: memoryview, width: int) -> tuple[int, int] | None:
    """
    Count the records that end within a block.

    :param block: begins where a record does.
    :param width: cells of a record.
    :return: how many, and where the last one ends; None where only a look at every byte can tell.
    """
    import numpy as np

    if width < 2:  # a blank line is no record, and here it would look like one
        return None
    data = np.frombuffer(block, np.uint8)
    quotes, commas, feeds, returns = (_pack(data == mark) for mark in (_QUOTE, _COMMA, _LF, _CR))
    if quotes.any():
        quoted = _find_quoted(quotes, quotes | commas | feeds | returns, len(data))
        if quoted is None:
            return None
        commas, feeds, returns = commas & ~quoted, feeds & ~quoted, returns & ~quoted
    if (returns & ~_mask_before(feeds, len(data))).any():
        return None
    ends = np.flatnonzero(np.unpackbits(feeds.view(np.uint8), bitorder="little").view(bool))
    if not len(ends):
        return None
    words, bits = ends >> 6, (ends & 63).astype(np.uint64)
    commas_before = np.cumsum(_count_bits(commas))[words] - _count_bits(commas[words] >> bits)
    if (np.diff(commas_before, prepend=0) != width - 1).any():
        return None
    return len(ends), int(ends[-1]) + 1


def _find_quoted(quotes: NDArray[Any], marks: NDArray[Any], size: int) -> NDArray[Any] | None:
    """Return the mask of what is within quotes; None if a quote has no mark beside it on the side where it must."""
    import numpy as np

    quoted = quotes.copy()  # one bit from an opening quote on, until its closing one
    for distance in (1, 2, 4, 8, 16, 32):
        quoted ^= quoted << np.uint64(distance)
    is_odd = np.bitwise_xor.accumulate(quoted >> np.uint64(63))
    quoted[1:] ^= np.negative(is_odd[:-1])
    is_misplaced = (quotes & quoted & ~_mask_behind(marks)) | (quotes & ~quoted & ~_mask_before(marks, size))
    return None if is_misplaced.any() else quoted


def _mask_behind(marks: NDArray[Any]) -> NDArray[Any]:
    """Return the mask of the bytes right behind a mark; the first one is, as a record begins there."""
    import numpy as np

    behind = marks << np.uint64(1)
    behind[1:] |= marks[:-1] >> np.uint64(63)
    behind[0] |= np.uint64(1)
    return behind


def _mask_before(marks: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the mask of the bytes right before a mark; the last one may be."""
    import numpy as np

    before = marks >> np.uint64(1)
    before[:-1] |= marks[1:] << np.uint64(63)
    before[(size - 1) // 64] |= np.uint64(1 << (size - 1) % 64)
    return before


def _pack(flags: NDArray[Any]) -> NDArray[Any]:
    """Make a mask of a flag for each byte."""
    import numpy as np

    packed = np.packbits(flags, bitorder="little")
    return np.pad(packed, (0, -len(packed) % 8)).view("<u8") if len(packed) % 8 else packed.view("<u8")


def _count_bits(words: NDArray[Any]) -> NDArray[Any]:
    """Return how many bits of each word are set."""
    import numpy as np

    bits: NDArray[Any]
    if hasattr(np, "bitwise_count"):  # numpy 2
        bits = np.bitwise_count(words).astype(np.int64)
    else:
        bits = np.unpackbits(words.view(np.uint8)).reshape(-1, 64).sum(axis=1, dtype=np.int64)
    return bits
