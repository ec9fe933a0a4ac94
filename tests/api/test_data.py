"""Looking at data sets, and finding files that changed."""

import os

import numpy
import pytest
from PIL import Image

from convsmith.api.data import show_data, verify_data
from convsmith.errors import DataError, UserError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two classes of photographs of two sizes, one of them broken."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    draw = numpy.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(4):
            array = draw.integers(0, 256, (20 + number, 30, 3), dtype=numpy.uint8)
            Image.fromarray(array).save(tmp_path / "pets" / label / f"{number}.jpg")
    (tmp_path / "pets" / "cat" / "0.jpg").write_bytes(b"no")
    return tmp_path / "pets"


def test_a_folder_is_shown_at_every_level_and_what_is_broken_is_said(root, tmp_path):
    found = show_data("folder:pets", tmp_path / "out.png")
    assert (found.images, found.classes, found.image_size) == (7, 2, (128, 128))
    assert "cat/0.jpg: is not an image" in found.notes[0]
    with Image.open(found.path) as picture:
        assert picture.width > 7 * 112
        assert picture.height > 4 * 112


def test_the_picture_is_named_after_the_data(root, tmp_path):
    assert show_data("folder:pets").path.name == "pets.png"
    assert show_data("digits").path.name == "digits.png"
    assert (tmp_path / "digits.png").stat().st_size > 1000


def test_a_recipe_shows_its_own_augmentation(root, tmp_path):
    recipe = tmp_path / "my.yaml"
    recipe.write_text("base: digits\ndata: {augment: none}\n")
    picture = numpy.asarray(Image.open(show_data(str(recipe)).path))
    rows = [picture[30 + n * 118 : 30 + n * 118 + 112, 70:] for n in range(4)]
    for row in rows[1:]:  # nothing is changed, so all rows are the original
        assert numpy.array_equal(row, rows[0])


def test_points_and_wrong_names_and_places_are_said(root, tmp_path):
    with pytest.raises(UserError, match="holds points"):
        show_data("moons")
    with pytest.raises(UserError, match="did you mean `digits`"):
        show_data("digist")
    with pytest.raises(UserError, match="cannot be written"):
        show_data("digits", tmp_path / "no" / "x.png")
    with pytest.raises(DataError, match="there is no folder"):
        verify_data("folder:nowhere")


def test_verifying_counts_and_lists_what_changed_unseen(root):
    found = verify_data("folder:pets")
    assert found.images == 7
    assert [problem.path for problem in found.problems] == ["cat/0.jpg"]
    path = root / "dog" / "2.jpg"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    found = verify_data("folder:pets")
    assert [str(problem) for problem in found.problems][1:] == [
        "dog/2.jpg: has changed since it was decoded"
    ]


def test_official_files_are_verified_by_reading(root):
    assert verify_data("digits").images == 1797


def test_what_was_trained_on_is_verified_whatever_its_size(root, tmp_path):
    """Decoded as a recipe says, then spoilt: seen before anything is decoded anew."""
    (root / "cat" / "0.jpg").unlink()
    recipe = tmp_path / "my.yaml"
    recipe.write_text("base: folder\ndata: {source: 'folder:pets', image_size: 24, test: 0.3}")
    show_data(str(recipe))
    assert verify_data("folder:pets").problems == ()
    path = root / "dog" / "2.jpg"
    path.write_bytes(path.read_bytes()[:-9])  # another size and time too
    (root / "dog" / "3.jpg").write_bytes(b"")
    (root / "cat" / "gone.jpg").symlink_to(root / "nowhere")
    for name in ("folder:pets", str(recipe)):
        assert sorted(map(str, verify_data(name).problems)) == [
            "cat/gone.jpg: is a link that leads nowhere",
            "dog/2.jpg: cannot be read: image file is truncated (86 bytes not processed)",
            "dog/2.jpg: has changed since it was decoded",
            "dog/3.jpg: has changed since it was decoded",
            "dog/3.jpg: is empty",
        ]


def test_what_was_decoded_at_another_size_before_it_was_edited_is_no_alarm(root):
    (root / "cat" / "0.jpg").unlink()
    show_data("folder", data="folder:pets", sets=["data.image_size=24", "data.test=0.3"])
    Image.new("RGB", (30, 20)).save(root / "dog" / "2.jpg")
    show_data("folder", data="folder:pets", sets=["data.image_size=28", "data.test=0.3"])
    assert verify_data("folder:pets").problems == ()


def test_a_broken_file_that_came_later_is_found_and_stays_found(root):
    (root / "cat" / "0.jpg").unlink()
    assert verify_data("folder:pets").problems == ()
    (root / "cat" / "new.jpg").write_bytes(b"no")
    for _ in range(2):
        assert list(map(str, verify_data("folder:pets").problems)) == [
            "cat/new.jpg: is not an image that can be read"
        ]


@pytest.mark.parametrize("orientation", [1, 6])
def test_what_is_made_smaller_is_said_and_sizes_are_those_of_upright_images(root, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for path in root.rglob("*.jpg"):
        Image.new("RGB", (640, 400)).save(path, exif=exif)
    found = show_data("folder:pets")
    assert found.image_size == (128, 128)
    size = "400x640" if orientation == 1 else "640x400"
    assert found.notes[0].startswith(f"the images are of {size}; they are resized to 128x128")


def test_a_preset_is_shown_on_ones_own_photographs_as_its_weights_expect_them(root, tmp_path):
    (root / "cat" / "0.jpg").unlink()
    found = show_data("finetune", data="folder:pets", sets=["data.test=0.3"])
    assert found.image_size == (224, 224)
    with pytest.raises(UserError, match="--data and --set change a preset"):
        show_data("digits", data="folder:pets")
