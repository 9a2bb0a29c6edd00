"""Bodies: encodings are undone exactly, within the bound, and anything else is refused by name."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from array import array

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.intake.body import decompress, encoding_name, media_type
from pilothouse.records import BadRequest, PilothouseError, TooLarge

MIB = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd_stream(data: bytes) -> bytes:
    """A frame that does not say how long its content is, as a streaming sender writes it."""
    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return (
        packer.compress(data[: len(data) // 2])
        + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        + packer.compress(data[len(data) // 2 :])
        + packer.flush()
    )


PACKERS = [
    ("identity", bytes),
    ("gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstandard.ZstdCompressor().compress),
    ("zstd", zstd_stream),
]
COMPRESSED = PACKERS[1:]
IDS = ["identity", "gzip", "deflate", "raw deflate", "zstd", "zstd stream"]


@pytest.mark.parametrize(("encoding", "pack"), PACKERS, ids=IDS)
@settings(deadline=None)
@given(data=st.binary(max_size=2000))
def test_every_encoding_gives_back_what_was_sent(encoding, pack, data):
    assert decompress(encoding, pack(data), 1 << 20) == data


@pytest.mark.parametrize(("encoding", "pack"), PACKERS, ids=IDS)
def test_a_body_of_several_chunks_comes_back_whole(encoding, pack):
    data = array("I", range(1_000_000)).tobytes()
    assert decompress(encoding, pack(data), len(data)) == data


@pytest.mark.parametrize(("encoding", "pack"), PACKERS, ids=IDS)
def test_the_bound_is_exact(encoding, pack):
    assert len(decompress(encoding, pack(b"x" * 5000), 5000)) == 5000
    with pytest.raises(TooLarge):
        decompress(encoding, pack(b"x" * 5001), 5000)


@pytest.mark.parametrize(("encoding", "pack"), COMPRESSED, ids=IDS[1:])
def test_a_decompression_bomb_costs_no_more_memory_than_the_bound(encoding, pack):
    bomb = pack(bytes(96 * MIB))
    assert len(bomb) < MIB
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decompress(encoding, bomb, 8 * MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * MIB


@pytest.mark.parametrize(("encoding", "pack"), COMPRESSED, ids=IDS[1:])
def test_a_body_that_is_cut_off_is_refused_wherever_the_cut_is(encoding, pack):
    whole = pack(b"the agent reads a file " * 40)
    for length in range(len(whole)):
        with pytest.raises(BadRequest, match=encoding):
            decompress(encoding, whole[:length], MIB)


def test_gzip_in_several_members_is_one_body():
    assert decompress("gzip", gzip.compress(b"one ") + gzip.compress(b"two") + bytes(8), MIB) == b"one two"


def test_gzip_of_very_many_members_is_refused_before_it_costs_time():
    with pytest.raises(BadRequest, match="members"):
        decompress("gzip", gzip.compress(b"") * 100_000, MIB)


def test_zstd_in_several_frames_is_one_body():
    pack = zstandard.ZstdCompressor().compress
    assert decompress("zstd", pack(b"one ") + pack(b"two"), MIB) == b"one two"


def test_zstd_with_a_huge_window_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = packer.compress(b"x" * 1000) + packer.flush()
    with pytest.raises(BadRequest, match="window"):
        decompress("zstd", body, MIB)


@settings(deadline=None)
@given(encoding=st.sampled_from(["gzip", "deflate", "zstd"]), data=st.binary(max_size=300))
def test_random_bytes_never_raise_anything_but_our_errors(encoding, data):
    with contextlib.suppress(PilothouseError):
        decompress(encoding, data, 10_000)


@settings(deadline=None)
@given(pick=st.integers(0, len(COMPRESSED) - 1), at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_never_raises_anything_but_our_errors(pick, at, byte):
    encoding, pack = COMPRESSED[pick]
    body = bytearray(pack(b"the agent reads a file " * 40))
    body[at % len(body)] = byte
    with contextlib.suppress(PilothouseError):
        decompress(encoding, bytes(body), 10_000)


@pytest.mark.parametrize("name", ["", "identity", "GZIP", " gzip ", "x-gzip", "deflate", "zstd"])
def test_known_encodings_are_accepted_in_any_case(name):
    encoding_name(name)


@pytest.mark.parametrize("name", ["br", "gzip, gzip", "snappy", "gzip;q=1"])
def test_an_unknown_encoding_is_refused_by_name(name):
    with pytest.raises(BadRequest, match=name) as caught:
        encoding_name(name)
    assert "zstd" in caught.value.allowed


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/x-protobuf", "protobuf"),
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/x-protobuf;messageType=x", "protobuf"),
    ],
)
def test_media_types_are_read_without_their_parameters(header, expected):
    assert media_type(header) == expected


@pytest.mark.parametrize("header", ["", "text/plain", "application/grpc", "application/vnd.apache.arrow.stream"])
def test_other_media_types_are_refused_with_415(header):
    with pytest.raises(BadRequest) as caught:
        media_type(header)
    assert caught.value.http_status == 415
