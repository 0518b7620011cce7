"""Factors of a sparse matrix: a vector of each row and of each column, by a randomised singular value decomposition."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd

from twinvec.nn import row_blocks

FloatArray = npt.NDArray[np.float32]
# Of the decomposition. Each is two products with the matrix.
POWER_ITERATIONS = 3
# Columns beside those that are wanted, so that the last of these are as good as the first.
SPARE = 10
# Rows of the factors computed at once, and entries of the matrix, by the decomposition in blocks.
BLOCK, ENTRIES = 2**16, 2**24
# Squared singular values under this share of the largest are none.
NOTHING = 1e-10


def factorise(proximity: sp.csr_array, dimension: int, least: float, seed: int) -> FloatArray:
    """Return factors whose dot product reproduces log(1 + proximity / least).

    Args:
        proximity: float32 [n, m].
        dimension: Length of the factors.
        least: Proximity at which the logarithm starts to rise.
        seed: Seed of the decomposition.

    Returns:
        Factors of the rows, then of the columns, float32 [n + m, dimension]. Those beyond the rank are zero.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> near = sp.csr_array(np.array([[0, 0.2], [0.1, 0]], np.float32))
        >>> source, target = np.split(factorise(near, dimension=4, least=0.1, seed=0), 2)
        >>> np.allclose(source @ target.T, np.log1p(near.toarray() / 0.1), atol=1e-5)
        True
    """
    if max(proximity.shape) > row_blocks.ROWS:
        return factors_in_blocks(proximity, dimension, least, seed)
    rank = min(dimension, *proximity.shape)
    left, values, right = randomized_svd(
        _logarithm(proximity, least), rank, n_iter=POWER_ITERATIONS, random_state=seed
    )
    root = np.sqrt(values)
    factors = np.zeros((sum(proximity.shape), dimension), np.float32)
    factors[: len(left), :rank] = left * root
    factors[len(left) :, :rank] = right.T * root
    return factors


def factors_in_blocks(
    proximity: sp.csr_array, dimension: int, least: float, seed: int, entries: int = ENTRIES
) -> FloatArray:
    """Return what `factorise` does, in no more memory than the factors and a few blocks.

    The library's decomposition keeps several copies of the factors. This one has the same iteration (Halko, Martinsson
    & Tropp, SIAM Review 2011, algorithm 4.4): L is M R and R is Mᵀ L in turn, each made orthonormal in place. In the
    end M ≈ L Rᵀ, and RᵀR says how to turn both.

    Args:
        proximity, dimension, least, seed: As in `factorise`.
        entries: Entries of the matrix read at once by a thread.
    """
    rows, columns = proximity.shape
    factors = np.empty((rows + columns, dimension + SPARE), np.float32)
    left, right = factors[:rows], factors[rows:]
    np.random.default_rng(seed).standard_normal(out=right, dtype=np.float32)
    ends = np.asarray(proximity.indptr, np.int64)
    some_rows = _evenly(ends, entries)
    some_columns = _evenly(np.concatenate([[0], _entries_of_columns(proximity, entries).cumsum()]), entries)

    def times_right(first: int, last: int) -> None:
        left[first:last] = _logarithm(proximity[first:last], least) @ right

    def times_left(first: int, last: int) -> None:
        right[first:last] = _logarithm(proximity[:, first:last], least).T @ left

    for iteration in range(POWER_ITERATIONS + 1):
        _in_threads(times_right, some_rows)
        _orthonormalise(left)
        _in_threads(times_left, some_columns)
        if iteration < POWER_ITERATIONS:
            _orthonormalise(right)
    squares, basis = np.linalg.eigh(_gram(right))
    root = np.maximum(squares[::-1], 0) ** 0.25
    basis = basis[:, ::-1]
    _turn(left, basis * root)
    _turn(right, basis * _inverse(root, NOTHING**0.25))
    _keep_first_columns(factors, dimension)
    return factors


def _logarithm(proximity: sp.csr_array, least: float) -> sp.csr_array:
    """Return log(1 + proximity / least). The places of the entries are shared: they are half of the memory."""
    data = np.log1p(proximity.data / least)
    return sp.csr_array((data, proximity.indices, proximity.indptr), shape=proximity.shape)


def _entries_of_columns(matrix: sp.csr_array, entries: int) -> npt.NDArray[np.int64]:
    count = np.zeros(matrix.shape[1], np.int64)
    for first in range(0, matrix.nnz, entries):
        count += np.bincount(matrix.indices[first : first + entries], minlength=len(count))
    return count


def _evenly(ends: npt.NDArray[np.int64], entries: int) -> list[tuple[int, int]]:
    """Return first and last rows of blocks with about so many entries, by the entries up to the end of each row."""
    wanted = np.arange(entries, ends[-1], entries)
    bounds = np.unique(np.concatenate([[0], np.searchsorted(ends, wanted), [len(ends) - 1]])).tolist()
    return list(itertools.pairwise(bounds))


def _in_threads(work: Callable[[int, int], None], blocks: Iterable[tuple[int, int]]) -> None:
    # SciPy multiplies without holding the interpreter, so threads share the work.
    with ThreadPoolExecutor(torch.get_num_threads()) as executor:
        for _ in executor.map(lambda block: work(*block), blocks):
            pass


def _orthonormalise(vectors: FloatArray) -> None:
    """Make the columns orthonormal in place; those that depend on others become zero."""
    for _ in range(2):  # Once is not enough of columns of very different lengths.
        squares, basis = np.linalg.eigh(_gram(vectors))
        _turn(vectors, basis * _inverse(np.sqrt(np.maximum(squares, 0)), NOTHING**0.5))


def _inverse(values: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    kept = values > share * values.max()
    return np.divide(1, values, out=np.zeros_like(values), where=kept)


def _gram(vectors: FloatArray) -> npt.NDArray[np.float64]:
    """Return the dot products of all columns, float64 [d, d]."""
    total = np.zeros((vectors.shape[1],) * 2)
    for first in range(0, len(vectors), BLOCK):
        part = vectors[first : first + BLOCK]
        total += part.T @ part
    return total


def _turn(vectors: FloatArray, by: npt.NDArray[np.float64]) -> None:
    """Multiply the rows by a matrix [d, d], in place."""
    for first in range(0, len(vectors), BLOCK):
        vectors[first : first + BLOCK] = vectors[first : first + BLOCK] @ by.astype(np.float32)


def _keep_first_columns(factors: FloatArray, count: int) -> None:
    """Leave the first columns, moved together in place; the memory of the others is given back."""
    flat = factors.reshape(-1)
    for first in range(0, len(factors), BLOCK):
        part = factors[first : first + BLOCK, :count].copy()
        flat[first * count : (first + len(part)) * count] = part.reshape(-1)
    factors.resize((len(factors), count), refcheck=False)  # no view of it is used any more
