"""Random numbers addressed by position, so that any part of the market can be made without the rest.

A generator that must be run from its start would make a bar depend on the request that asked for it.
Here the k-th number of a stream is a function of (stream key, k): splitmix64, whose state is a counter,
evaluated at that counter (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
No library generator is involved, so a new numpy cannot change the market either.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

__all__ = ["KeyArray", "bits_across", "bits_at", "keys_at", "keys_of", "mix", "mixed", "name_key", "normals",
           "normals_across", "normals_of", "uniforms", "uniforms_of"]  # fmt: skip

KeyArray = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_GAMMA = 0x9E3779B97F4A7C15
_M1, _M2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 0xFFFFFFFFFFFFFFFF
_GAMMA_U, _M1_U, _M2_U = np.uint64(_GAMMA), np.uint64(_M1), np.uint64(_M2)
_ONE, _BITS_11, _BITS_16 = np.uint64(1), np.uint64(11), np.uint64(16)
_BITS_27, _BITS_30, _BITS_31, _BITS_32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_TO_UNIT = 2.0**-53
_LANE_WIDTH = 1 << 20
# So many streams are mixed one by one before numpy has begun.
_FEW = 8
# Every other 16-bit word, and the lower half of the bits.
_WORDS, _LOWER = np.uint64(0x0000FFFF0000FFFF), np.uint64(0xFFFFFFFF)
# Four independent words, each uniform on 0..65535: mean 2 x 65535, variance 4 x (65536**2 - 1) / 12.
_WORDS_MEAN = 2.0 * 65535.0
_PER_WORDS_DEVIATION = 1.0 / ((65536.0**2 - 1.0) / 3.0) ** 0.5
# The sum of four uniforms has a kurtosis of 2.7; this cubic takes it to 3.0 and the deviation to 0.9951.
_TAIL = 0.0185
_STRETCHED_DEVIATION = 0.9951


def mix(*parts: int) -> int:
    """Return one 64-bit key for a tuple of integers."""
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * _M1) & _MASK
        state = ((state ^ (state >> 27)) * _M2) & _MASK
        state ^= state >> 31
    return state


def mixed(streams: Sequence[int] | KeyArray, *parts: int) -> KeyArray:
    """Return `mix(stream, *parts)` for each of S streams, uint64[S]."""
    if len(streams) < _FEW:
        return np.array([mix(int(stream), *parts) for stream in streams], dtype=np.uint64)
    state = _scramble(np.array(streams, dtype=np.uint64) + _GAMMA_U)
    for part in parts:
        state += np.uint64((part + _GAMMA) & _MASK)
        state = _scramble(state)
    return state


def name_key(name: str) -> int:
    """Return a number for a name, the same in every process (`hash` is not)."""
    return crc32(name.encode("utf-8"))


def _scramble(state: KeyArray) -> KeyArray:
    # In place wherever it can be, `state` included: most of the market is made here.
    mixed = state >> _BITS_30
    mixed ^= state
    mixed *= _M1_U
    shifted = np.right_shift(mixed, _BITS_27, out=state)
    mixed ^= shifted
    mixed *= _M2_U
    np.right_shift(mixed, _BITS_31, out=shifted)
    mixed ^= shifted
    return mixed


def keys_at(key: int, positions: IntArray) -> KeyArray:
    """Return one stream key for each position (a day number, a minute of the epoch)."""
    state = positions.astype(np.uint64)
    state += _ONE
    state *= _GAMMA_U
    state += np.uint64(key)
    return _scramble(state)


def keys_of(streams: Sequence[int] | KeyArray, positions: IntArray) -> KeyArray:
    """Return the keys of S streams, uint64[S, N], at the same positions, int64[N], or each at its own, int64[S, N]."""
    state = positions.astype(np.uint64)
    state += _ONE
    state *= _GAMMA_U
    return _scramble(state + np.asarray(streams, dtype=np.uint64)[:, None])


def bits_at(keys: KeyArray, lane: int, width: int) -> KeyArray:
    """Return uint64[len(keys), width] of random bits."""
    first = lane * _LANE_WIDTH + 1
    counter = np.arange(first, first + width, dtype=np.uint64)
    counter *= _GAMMA_U
    return _scramble(keys[:, None] + counter)


def bits_across(keys: KeyArray, lane: int, width: int) -> KeyArray:
    """Return the same bits the other way round, uint64[width, len(keys)]: for few numbers of many keys."""
    first = lane * _LANE_WIDTH + 1
    counter = np.arange(first, first + width, dtype=np.uint64)
    counter *= _GAMMA_U
    return _scramble(counter[:, None] + keys)


def uniforms(keys: KeyArray, lane: int, width: int) -> FloatArray:
    """Return float64[len(keys), width] in [0, 1); `lane` separates independent uses of the same keys."""
    return uniforms_of(bits_at(keys, lane, width))


def normals(keys: KeyArray, lane: int, width: int) -> FloatArray:
    """Return float64[len(keys), width], close to the standard normal distribution, within +-4.1."""
    return normals_of(bits_at(keys, lane, width))


def normals_across(keys: KeyArray, lane: int, width: int) -> FloatArray:
    """Return the same normals the other way round, float64[width, len(keys)]."""
    return normals_of(bits_across(keys, lane, width))


def uniforms_of(bits: KeyArray) -> FloatArray:
    """Return numbers in [0, 1) made of random bits."""
    units = (bits >> _BITS_11).view(np.int64).astype(np.float64)
    units *= _TO_UNIT
    return units


def normals_of(bits: KeyArray) -> FloatArray:
    """Return nearly normal numbers made of random bits.

    The four 16-bit words of a number are summed (which is nearly normal, its tails too thin) and stretched by
    the cubic that restores the fourth moment: arithmetic only, so the bits are the same on every processor.
    """
    total = bits >> _BITS_16
    total &= _WORDS
    other = bits & _WORDS
    total += other
    np.right_shift(total, _BITS_32, out=other)
    total &= _LOWER
    total += other
    # Processors turn numbers with a sign into fractions; those without take twice as long.
    x = other.view(np.float64)
    x[...] = total.view(np.int64)
    x -= _WORDS_MEAN
    x *= _PER_WORDS_DEVIATION
    stretch = np.multiply(x, x, out=total.view(np.float64))
    stretch -= 3.0
    stretch *= _TAIL
    stretch += 1.0
    x *= stretch
    x /= _STRETCHED_DEVIATION
    return x
