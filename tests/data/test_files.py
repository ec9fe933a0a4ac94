"""From a folder or CSV file to a source: parts, labels, sizes, and every file accounted for."""

import subprocess
import sys

import numpy
import pytest
import torch
from PIL import Image

from convsmith.api.data import verify_data
from convsmith.data import load_source
from convsmith.data.decode import decode
from convsmith.data.files import Reading
from convsmith.errors import DataError


def picture(path, size=(12, 10), mode="RGB", value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = numpy.random.default_rng(len(str(path)))
    array = draw.integers(0, 256, (*size, 3), dtype=numpy.uint8)
    image = Image.fromarray(array if value is None else numpy.full_like(array, value))
    image.convert(mode).save(path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    """Two classes of three images."""
    for label in ("cat", "dog"):
        for number in range(3):
            picture(tmp_path / "pets" / label / f"{number}.png")
    return tmp_path / "pets"


def load(root, **reading):
    return load_source(f"folder:{root}", None, Reading(**reading))


def test_a_folder_becomes_images_with_their_labels(root):
    source = load(root)
    assert source.classes == ("cat", "dog")
    assert source.test is source.validation is source.groups is None
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    pixels, _ = source.train.take(torch.tensor([4]))
    assert torch.equal(pixels[0], decode(root / "dog" / "1.png", 3, (12, 10)))
    assert source.notes == ()
    assert source.mirrored


def test_parts_are_kept(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png"):
        picture(tmp_path / "parts" / name)
    source = load(tmp_path / "parts")
    parts = (source.train, source.validation, source.test)
    assert [part.labels.tolist() for part in parts] == [[0, 1], [1], [0, 1]]


def test_one_small_size_is_kept_many_are_said_and_resized(root):
    assert load(root).train.image_size == (12, 10)
    picture(root / "cat" / "wide.png", (40, 80))
    source = load(root)
    assert source.train.image_size == (128, 128)
    assert "many sizes; they are resized to 128x128" in source.notes[0]
    assert load(root, image_size=(9, 7)).train.image_size == (9, 7)
    assert load(root, image_size=(9, 7)).notes == ()


def test_grey_images_have_one_channel_unless_one_has_colour(tmp_path):
    for label in ("a", "b"):
        picture(tmp_path / "grey" / label / "1.png", mode="L")
    assert load(tmp_path / "grey").train.channels == 1
    assert load(tmp_path / "grey", channels=3).train.channels == 3
    picture(tmp_path / "grey" / "a" / "2.png")
    assert load(tmp_path / "grey").train.channels == 3


def test_all_bad_files_are_listed_not_the_first(root):
    for number in range(3):
        (root / "cat" / f"bad{number}.jpg").write_bytes(b"no" * number)
    with pytest.raises(DataError) as error:
        load(root)
    assert str(error.value).splitlines() == [
        f"folder:{root}: 3 files or folders cannot be used; mend or remove them, or leave them out "
        "with --set data.on_bad_image=skip:",
        "  cat/bad0.jpg: is empty",
        "  cat/bad1.jpg: is not an image that can be read",
        "  cat/bad2.jpg: is not an image that can be read",
    ]


def test_skipping_leaves_them_out_and_says_so(root):
    (root / "cat" / "bad.jpg").write_bytes(b"no")
    (root / "notes.txt").write_text("x")
    source = load(root, on_bad_image="skip")
    assert len(source.train) == 6
    assert source.notes == (
        f"folder:{root}: 1 file left out:\n  cat/bad.jpg: is not an image that can be read\n"
        "  1 other file is no image or lies in no class: notes.txt",
    )


def test_what_is_kept_is_not_said_to_be_left_out(root):
    picture(root / "Cat" / "1.png")
    with pytest.raises(DataError, match=r"1 problem; mend it, or train all the same with .*=skip:"):
        load(root)
    source = load(root, on_bad_image="skip")
    assert {"Cat", "cat"} <= set(source.classes)
    assert "left out" not in source.notes[0]
    assert "Cat and cat: are classes whose names differ only in case" in source.notes[0]


def test_a_class_whose_images_are_all_broken_is_no_class(root):
    picture(root / "bird" / "1.png").write_bytes(b"no")
    source = load(root, on_bad_image="skip")
    assert source.classes == ("cat", "dog")
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_groups_are_numbered_and_lone_images_are_their_own(root):
    rows = [
        f"{label}/{n}.png,{label},{'p1' if n < 2 else ''}"
        for label in ("cat", "dog")
        for n in range(3)
    ]
    (root / "list.csv").write_text("\n".join(["path,label,group", *rows]))
    source = load_source(f"csv:{root / 'list.csv'}", None)
    groups = source.groups.tolist()
    assert groups[0] == groups[1] == groups[3] == groups[4]
    assert len(set(groups)) == 3


BOMB = """
import sys
import torch
from convsmith.api.data import verify_data
from convsmith.data import load_source
from convsmith.data.files import Reading
from convsmith.training.memory import peak_bytes
source = load_source(f"folder:{sys.argv[1]}", None, Reading(on_bad_image="skip"))
print(len(source.train), peak_bytes(torch.device("cpu")) // 2**20)
print(source.notes[0])
"""


def test_forty_kinds_of_files_are_trained_on_or_listed_within_a_gibibyte(tmp_path):
    sound, broken = zoo(tmp_path / "zoo")
    assert len(sound) + len(broken) >= 40
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(tmp_path / "zoo")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    used, mebibytes = map(int, first.split())
    assert used == len(sound)
    listed = "\n".join(rest)
    for name in broken:
        assert name in listed, name
    assert mebibytes < 1024
    assert done.stderr == ""


def zoo(root):
    """Write sound and broken files of every kind; return the names of both."""
    draw = numpy.random.default_rng(0)
    colour = Image.fromarray(draw.integers(0, 256, (30, 40, 3), dtype=numpy.uint8))
    (root / "a").mkdir(parents=True)
    (root / "b").mkdir()
    sound = []

    def put(name, image, **options):
        sound.append(name)
        image.save(root / "a" / name, **options)

    for mode in ("1", "L", "P", "RGB", "RGBA", "LA"):
        put(f"{mode}.png", colour.convert("RGBA" if mode == "LA" else mode).convert(mode))
    for name in ("x.jpg", "x.jpeg", "x.bmp", "x.gif", "x.tif", "x.tiff", "x.webp", "x.ppm"):
        put(name, colour)
    for name in ("x.jp2", "x.tga", "x.ico", "x.pcx", "x.sgi", "x.dib", "x.pnm", "x.jfif"):
        put(name, colour)
    put("grey.pgm", colour.convert("L"))
    put("bits.pbm", colour.convert("1"))
    put("cmyk.jpg", colour.convert("CMYK"))
    put("cmyk.tif", colour.convert("CMYK"))
    put("progressive.jpg", colour, progressive=True)
    put("sixteen.png", Image.fromarray(draw.integers(0, 65536, (9, 9), dtype=numpy.uint16)))
    put("float.tif", Image.fromarray(draw.random((9, 9), dtype=numpy.float32)))
    put("int.tif", Image.fromarray(draw.integers(0, 255, (9, 9), dtype=numpy.int32)))
    put("transparent.png", colour.convert("P"), transparency=3)
    put("animated.gif", colour, save_all=True, append_images=[colour.rotate(90)] * 3)
    put("animated.webp", colour, save_all=True, append_images=[colour.rotate(90)] * 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    put("turned.jpg", colour, exif=exif)
    put("one.png", Image.new("RGB", (1, 1)))
    put("thin.png", Image.new("RGB", (3000, 1)))
    put("large.png", Image.new("P", (8000, 7000)))
    put("UPPER.PNG", colour, format="PNG")
    put("ümläut ✓.png", colour)
    put("wrong-kind.jpg", colour, format="PNG")
    colour.save(root / "b" / "x.png")
    broken = {}

    def spoil(name, content):
        broken[name] = None
        (root / "a" / name).write_bytes(content)

    png, jpeg = ((root / "a" / name).read_bytes() for name in ("RGB.png", "x.jpg"))
    spoil("empty.png", b"")
    spoil("text.png", b"not an image")
    spoil("cut.png", png[:200])
    spoil("cut.jpg", jpeg[: len(jpeg) // 2])
    spoil("head.jpg", jpeg[:4])
    spoil("flipped.png", png[:60] + bytes([png[60] ^ 255]) + png[61:])
    spoil("zeros.png", bytes(1000))
    spoil("page.png", b"<html><body>404</body></html>")
    spoil("size.bmp", (root / "a" / "x.bmp").read_bytes()[:60])
    spoil("half.tif", (root / "a" / "x.tif").read_bytes()[:100])
    spoil("half.webp", (root / "a" / "x.webp").read_bytes()[:100])
    spoil("half.gif", (root / "a" / "x.gif").read_bytes()[:30])
    Image.new("1", (20000, 20000)).save(root / "a" / "bomb.png")
    broken["bomb.png"] = None
    with (root / "a" / "huge.png").open("wb") as file:
        file.truncate(2**31)  # a hole, which takes no room on the disk
    broken["huge.png"] = None
    (root / "a" / "lost.png").symlink_to("nowhere")
    broken["lost.png"] = None
    (root / "a" / "folder.png").mkdir()
    spoil("notes.txt", b"x")
    return [*sound, "x.png"], list(broken)


def test_a_class_that_can_only_be_tested_is_listed(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png", "test/c/2.png"):
        picture(tmp_path / "parts" / name)
    (tmp_path / "parts" / "train" / "c").mkdir()
    (tmp_path / "parts" / "train" / "c" / "1.png").write_bytes(b"broken")
    source = load(tmp_path / "parts", on_bad_image="skip")
    assert source.classes == ("a", "b")
    assert len(source.test) == 1
    assert [str(problem) for problem in source.problems] == [
        "train/c/1.png: is not an image that can be read",
        "c: has no image to train on; its 2 others cannot be used",
    ]


def test_what_a_message_leaves_out_is_listed_elsewhere(root):
    for number in range(50):
        (root / "cat" / f"bad{number}.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="and 10 more, which `convsmith data verify` lists"):
        load(root)
    assert len(verify_data(f"folder:{root}").problems) == 50
