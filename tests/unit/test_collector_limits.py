"""Bodies that are larger than they look."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
import zstandard

from everyspan.collector.limits import Limits, decompressed
from everyspan.errors import CollectorError

LIMITS = Limits(body_bytes=1 << 20, ratio=50, ratio_from_bytes=256 << 10)
TEXT = b"the quick brown fox " * 1000


def squeezed(content: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(content)
    return zlib.compress(content) if encoding == "deflate" else zstandard.compress(content)


def bare_deflate(content: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezer.compress(content) + squeezer.flush()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_what_was_compressed_comes_out_as_it_was(encoding: str) -> None:
    assert decompressed(squeezed(TEXT, encoding), encoding, LIMITS) == TEXT


def test_members_of_gzip_frames_of_zstd_and_bare_deflate_are_understood() -> None:
    assert decompressed(gzip.compress(TEXT) + gzip.compress(b"end"), "gzip", LIMITS) == TEXT + b"end"
    assert (
        decompressed(zstandard.compress(TEXT) + zstandard.compress(b"end"), "zstd", LIMITS) == TEXT + b"end"
    )
    assert decompressed(bare_deflate(TEXT), "deflate", LIMITS) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_refused_before_it_has_gone_off(encoding: str) -> None:
    bomb = squeezed(bytes(200 << 20), encoding)
    tracemalloc.start()

    with pytest.raises(CollectorError) as refused:
        decompressed(bomb, encoding, LIMITS)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status == 413
    assert peak < 8 << 20


def test_a_small_text_that_repeats_itself_is_no_bomb() -> None:
    assert len(decompressed(gzip.compress(bytes(200 << 10)), "gzip", LIMITS)) == 200 << 10


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_body_that_is_cut_short_anywhere_is_refused_and_not_taken_for_less(encoding: str) -> None:
    whole = squeezed(TEXT, encoding)

    for end in range(1, len(whole)):
        with pytest.raises(CollectorError) as refused:
            decompressed(whole[:end], encoding, LIMITS)
        assert refused.value.status == 400


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "snappy"])
def test_encodings_that_we_do_not_speak_are_called_by_name(encoding: str) -> None:
    with pytest.raises(CollectorError, match=encoding) as refused:
        decompressed(TEXT, encoding, LIMITS)

    assert refused.value.status == 415


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_noise_is_refused(encoding: str) -> None:
    with pytest.raises(CollectorError) as refused:
        decompressed(b"\x28\xb5 this is not compressed at all", encoding, LIMITS)

    assert refused.value.status == 400
