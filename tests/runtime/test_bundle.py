"""Reading bundles, above all those that somebody made to do harm."""

import io
import json
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from tests.runtime.builders import CLASSES, SIZE, contents, manifest, network, pack

from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.errors import BundleError
from convsmith_runtime.manifest import FORMAT, parse_manifest, to_json


@pytest.fixture(scope="module")
def files():
    return contents()


def refused(path, match):
    with pytest.raises(BundleError, match=match) as caught:
        open_bundle(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_bundle_says_what_was_put_into_it(tmp_path, files):
    bundle = open_bundle(pack(tmp_path / "tiny.convsmith", files))
    assert bundle.name == "tiny"
    assert bundle.classes == CLASSES
    assert bundle.preprocessing.image_size == SIZE
    assert (bundle.graph.input, bundle.graph.output, bundle.graph.maps) == (
        "input",
        "output",
        "maps",
    )
    assert bundle.metrics["test"]["top1"] == 0.5
    assert bundle.model == files["model.onnx"]
    assert [golden.data for golden in bundle.golden] == [
        files["golden/000.png"],
        files["golden/001.png"],
    ]
    assert [golden.label for golden in bundle.golden] == [0, 1]
    assert {member.name for member in bundle.members} == set(files)


def test_a_manifest_reads_back_as_it_was_written(files):
    text = json.dumps(manifest(files, licence="MIT", network="tiny", name="Füchse")).encode()
    read = parse_manifest(text)
    assert parse_manifest(to_json(read).encode()) == read
    assert json.loads(to_json(read)) == json.loads(text)
    assert FORMAT == 1


NAMES = [
    "../evil.json",
    "/etc/passwd",
    "golden/../../evil.png",
    "golden/sub/evil.png",
    "other/evil.png",
    "..\\evil.json",
    "C:evil.json",
    ".hidden",
    "golden/.hidden",
    "golden/",
    "a" * 200,
    "nul\0.json",
    "ümlaut.json",
    "line\nbreak.json",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path, files, name):
    about = manifest(files)
    about["members"][name] = {"sha256": "0" * 64, "bytes": 1}
    with zipfile.ZipFile(pack(tmp_path / "b", files, about), "a") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = info.orig_filename = name  # the constructor would clean it
        archive.writestr(info, b"x")
    refused(tmp_path / "b", "may be called|no bundle|damaged")
    assert os.listdir(tmp_path) == ["b"]  # noqa: PTH208


def test_a_name_that_is_there_twice_is_refused(tmp_path, files):
    path = pack(tmp_path / "b", files)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("card.md", files["card.md"])
    refused(path, "card.md is in it twice")


def test_links_and_encrypted_members_are_refused(tmp_path, files):
    link = zipfile.ZipInfo("card.md")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link", "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest({"card.md": b"/etc/passwd"})))
        archive.writestr(link, b"/etc/passwd")
    refused(tmp_path / "link", "no regular file")
    data = bytearray(pack(tmp_path / "b", files).read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + 8] |= 1
    (tmp_path / "b").write_bytes(data)
    refused(tmp_path / "b", "encrypted")


def test_unusual_packing_is_refused(tmp_path, files):
    refused(pack(tmp_path / "b", files, kind=zipfile.ZIP_LZMA), "packed in an unusual way")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, files):
    bomb = files | {"golden/009.png": b"\0" * 20_000_000}
    path = pack(tmp_path / "b", bomb)
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    refused(path, "would unpack to 20,000,000 bytes")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(tmp_path, files):
    """The table of contents says 1,000 bytes, the packed data makes 10 million."""
    packed = zlib.compress(b"\0" * 10_000_000, 9)[2:-4]
    plain = b"\0" * 1000
    about = json.dumps(manifest(files | {"golden.json": plain})).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", about)
        for name, data in files.items():
            if name != "golden.json":
                archive.writestr(name, data)
        archive.writestr("golden.json", packed, zipfile.ZIP_STORED)
        info = archive.getinfo("golden.json")
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, len(plain)
        info.CRC = zlib.crc32(plain)
    data = bytearray(buffer.getvalue())
    place = info.header_offset
    data[place + 8 : place + 10] = struct.pack("<H", zipfile.ZIP_DEFLATED)
    (tmp_path / "b").write_bytes(data)
    tracemalloc.start()
    refused(tmp_path / "b", "golden.json")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_too_many_members_are_refused_unread(tmp_path, files):
    many = files | {f"m{number}": b"" for number in range(300)}
    refused(pack(tmp_path / "b", many), "too many files")


def test_a_zip64_that_hides_its_table_of_contents_is_refused(tmp_path, files):
    data = pack(tmp_path / "b", files).read_bytes()
    locator = b"PK\6\7" + struct.pack("<LQL", 0, 0, 1)
    (tmp_path / "b").write_bytes(data[:-22] + locator + data[-22:])
    refused(tmp_path / "b", "too many files")


@pytest.mark.parametrize("change", ["added", "gone", "resized", "altered"])
def test_members_that_are_not_those_of_the_manifest_are_refused(tmp_path, files, change):
    about, there = manifest(files), dict(files)
    if change == "added":
        there["extra.bin"] = b"x"
    elif change == "gone":
        del there["card.md"]
    elif change == "resized":
        there["card.md"] += b"x"
    else:
        there["golden.json"] = there["golden.json"].replace(b"1", b"2", 1)
    refused(pack(tmp_path / "b", there, about), "not as manifest|does not match its checksum")


def test_other_members_are_listed_and_never_opened(tmp_path, files):
    """A pickle beside the network, whose packed bytes are broken: nobody notices."""
    evil = pickle.dumps(print)
    path = pack(tmp_path / "b", files | {"model.pt2": evil}, kind=zipfile.ZIP_STORED)
    data = path.read_bytes()
    assert data.count(evil) == 1
    path.write_bytes(data.replace(evil, b"\xff" * len(evil)))
    bundle = open_bundle(path)
    assert "model.pt2" in {member.name for member in bundle.members}
    assert not hasattr(bundle, "pt2")


WRONG = [
    ({"format": 2}, "format 2; this version reads 1"),
    ({"format": "1"}, "format '1'"),
    ({"classes": []}, "classes"),
    ({"classes": ["a", "a", "b", "c"]}, "same name"),
    ({"classes": ["a", 1]}, "classes"),
    ({"classes": ["a", "b"]}, "logits must be one number a class"),
    ({"tolerance": True}, "tolerance is of a wrong type"),
    ({"tolerance": 10**400}, "the number 1.* is too large"),
    ({"tolerance": -1}, "tolerance must be 0 or more"),
    ({"preprocessing": {"channels": 2, "image_size": [1, 1], "resize": "pad"}}, "channels"),
    ({"preprocessing": {"channels": 3, "image_size": [1], "resize": "pad"}}, "image_size"),
    ({"preprocessing": {"channels": 3, "image_size": [9**9, 9**9], "resize": "pad"}}, "large"),
    ({"preprocessing": {"channels": 3, "image_size": [8, 8], "resize": "melt"}}, "resize"),
    ({"model": {}}, "does not say 'file'"),
    ({"members": []}, "members is of a wrong type"),
    ({"name": None}, "name is of a wrong type"),
]


@pytest.mark.parametrize(("change", "match"), WRONG)
def test_a_manifest_that_means_nothing_is_refused(tmp_path, files, change, match):
    refused(pack(tmp_path / "b", files, manifest(files, **change)), match)


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, '{"format": NaN}', '{"format": 1e999}', "\xff"]
)
def test_a_manifest_that_is_no_json_is_refused(tmp_path, text):
    with zipfile.ZipFile(tmp_path / "b", "w") as archive:
        archive.writestr("manifest.json", text.encode("latin-1"))
    refused(tmp_path / "b", "manifest.json")


GOLDEN = [
    ({}, "must be a list"),
    ([{"image": "golden/000.png", "label": 9, "logits": [0, 0, 0, 0]}], "no class 9"),
    ([{"image": "golden/000.png", "label": None, "logits": [0, 0, 0, True]}], "one number"),
    ([{"image": "golden/000.png", "label": 0, "logits": [0, 0, 0, 10**400]}], "is too large"),
    ([{"image": "model.onnx", "label": None, "logits": [0, 0, 0, 0]}], "lie in golden/"),
    ([{"image": "golden/777.png", "label": None, "logits": [0, 0, 0, 0]}], "no golden/777.png"),
    ([{"image": "golden/000.png", "label": 0, "logits": [0, 0, 0, 0]}] * 65, "at most 64"),
]


@pytest.mark.parametrize(("golden", "match"), GOLDEN)
def test_golden_samples_that_mean_nothing_are_refused(tmp_path, files, golden, match):
    changed = files | {"golden.json": json.dumps(golden).encode()}
    refused(pack(tmp_path / "b", changed), match)


def test_golden_images_are_png_or_jpeg(tmp_path, files):
    """PostScript would be handed to another program."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    refused(pack(tmp_path / "b", files | {"golden/000.png": eps}), "neither a PNG nor a JPEG")


def test_a_network_that_refers_to_other_files_is_refused(tmp_path):
    from tests.runtime.builders import external

    model = network(change=lambda graph: graph.initializer.append(external()))
    refused(pack(tmp_path / "b", contents(model)), "weights in other files")


def test_what_is_no_bundle_is_said_in_a_line(tmp_path, files):
    refused(tmp_path / "gone", "is not there")
    refused(tmp_path, "is a folder")
    (tmp_path / "text").write_text("hello " * 100)
    refused(tmp_path / "text", "no bundle, or cut off")
    (tmp_path / "empty").touch()
    refused(tmp_path / "empty", "no bundle, or cut off")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    refused(tmp_path / "zip", "holds no manifest.json")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "no regular file")


def test_damage_is_found_wherever_it_is(tmp_path, files):
    """A cut or flipped bits: an error, or, where nothing is read, the very same bundle."""
    path = pack(tmp_path / "b", files)
    whole, data = open_bundle(path), path.read_bytes()
    draw = random.Random(0)
    caught = 0
    for _ in range(200):
        broken = bytearray(data)
        if draw.random() < 0.2:
            broken = broken[: draw.randrange(len(broken))]
        else:
            for _ in range(draw.choice([1, 1, 8])):
                broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        try:
            found = open_bundle(path)
        except BundleError:
            caught += 1
        else:
            assert (found.model, found.golden) == (whole.model, whole.golden)
    assert caught > 120
