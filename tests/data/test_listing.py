"""Which files of a folder or CSV file are images of which class, and what is said of the others."""

import os
import sys
import tempfile
from pathlib import Path

import numpy
import pytest
from PIL import Image

from convsmith.data.listing import Problem, list_csv, list_folder
from convsmith.errors import DataError


def picture(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.full((6, 8, 3), value, dtype=numpy.uint8)).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """Two classes with two images each."""
    for name in ("cat/1.png", "cat/2.jpg", "dog/1.png", "dog/deeper/2.webp"):
        picture(tmp_path / "pets" / name)
    return tmp_path / "pets"


def listed(listing):
    return {(entry.path, entry.label, entry.part) for entry in listing.entries}


def problems(listing):
    return [str(problem) for problem in listing.problems]


def test_folders_are_classes(root):
    listing = list_folder(root)
    assert listing.classes == ("cat", "dog")
    assert listed(listing) == {
        ("cat/1.png", "cat", ""),
        ("cat/2.jpg", "cat", ""),
        ("dog/1.png", "dog", ""),
        ("dog/deeper/2.webp", "dog", ""),
    }
    assert problems(listing) == []


@pytest.mark.parametrize("names", [("train", "val", "test"), ("training", "Validation", "TEST")])
def test_parts_are_folders_too(tmp_path, names):
    for name in names:
        for path in ("cat/1.png", "dog/1.png"):
            picture(tmp_path / "parts" / name / path)
    found = {(entry.path, entry.part) for entry in list_folder(tmp_path / "parts").entries}
    parts = ("train", "validation", "test")
    assert found == {
        (f"{name}/{path}", part)
        for name, part in zip(names, parts, strict=True)
        for path in ("cat/1.png", "dog/1.png")
    }


def test_what_is_no_image_is_counted_apart(root):
    (root / "cat" / "notes.txt").write_text("x")
    (root / "README.md").write_text("x")
    (root / "cat" / ".DS_Store").write_text("x")
    (root / "lost.png").symlink_to("nowhere")
    (root / ".git").mkdir()
    listing = list_folder(root)
    assert sorted(listing.others) == ["README.md", "cat/notes.txt", "lost.png"]
    assert problems(listing) == []


def test_everything_that_cannot_be_used_is_listed(root):
    (root / "cat" / "empty.png").touch()
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "cat" / "lost.png").symlink_to("nowhere.png")
    (root / "cat" / "round").symlink_to("..")
    (root / "dog" / "self").symlink_to(root / "dog")
    (root / "bird").mkdir()
    assert sorted(problems(list_folder(root))) == [
        "bird: is a class with no image",
        "cat/empty.png: is empty",
        "cat/lost.png: is a link that leads nowhere",
        "cat/pipe.png: is no regular file",
        "cat/round: is a link that leads round in a circle",
        "dog/self: is a link that leads round in a circle",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_file_and_a_folder_that_may_not_be_read_are_listed():
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name in ("cat/1.png", "cat/2.png", "dog/1.png", "owl/1.png"):
            picture(root / name)
        root.chmod(0o755)
        (root / "cat" / "1.png").chmod(0)
        (root / "owl").chmod(0)
        user = os.geteuid()
        if user == 0:  # root may read anything
            os.seteuid(65534)
        try:
            found = problems(list_folder(root))
        finally:
            os.seteuid(user)
            (root / "owl").chmod(0o755)
    assert found == [
        "cat/1.png: may not be read",
        "owl: permission denied",
        "owl: is a class with no image",
    ]


def test_links_to_files_and_folders_elsewhere_are_followed(root, tmp_path):
    picture(tmp_path / "elsewhere" / "3.png")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "dog" / "3.png").symlink_to(tmp_path / "elsewhere" / "3.png")
    found = {path for path, _, _ in listed(list_folder(root))}
    assert {"cat/more/3.png", "dog/3.png"} <= found


def test_classes_that_differ_only_in_case_are_a_problem(root):
    picture(root / "Cat" / "1.png")
    listing = list_folder(root)
    assert problems(listing) == ["Cat and cat: are classes whose names differ only in case"]
    assert listing.classes == ("Cat", "cat", "dog")


def test_a_class_only_in_the_test_part_is_a_problem_and_left_out(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png", "test/c/2.png"):
        picture(tmp_path / name)
    listing = list_folder(tmp_path)
    assert problems(listing) == ["c: is a class only in test; its 2 images cannot be used"]
    assert listing.classes == ("a", "b")
    assert not any(entry.label == "c" for entry in listing.entries)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (picture, "is a file; folder: takes a folder"),
        (lambda place: None, "there is no folder"),
        (lambda place: place.mkdir(), "has 0 classes with images, two are needed"),
        (lambda place: picture(place / "a" / "1.png"), "has 1 class with images"),
        (lambda place: picture(place / "1.png"), "(1 images lie in no class's folder)"),
    ],
)
def test_a_folder_of_no_use_is_said(tmp_path, make, said):
    make(tmp_path / "x.png")
    with pytest.raises(DataError) as error:
        list_folder(tmp_path / "x.png")
    assert said in str(error.value)


def test_a_mistyped_folder_names_the_nearest(root):
    with pytest.raises(DataError, match=r"there is no folder .*petz \(did you mean `pets`\?\)"):
        list_folder(root.parent / "petz")


def test_a_csv_file_gives_labels_parts_and_groups(root):
    (root / "list.csv").write_text(
        "path,label,split,group\ncat/1.png,cat,train,p1\ndog/1.png,dog,,p2\ncat/2.jpg,cat,test,p3\n"
    )
    listing = list_csv(root / "list.csv")
    assert listed(listing) == {
        ("cat/1.png", "cat", "train"),
        ("dog/1.png", "dog", "train"),  # what is not said is train where others are
        ("cat/2.jpg", "cat", "test"),
    }
    assert [entry.group for entry in listing.entries] == ["p1", "p2", "p3"]


def test_every_bad_row_is_listed_with_its_line(root):
    (root / "list.csv").write_text(
        "label,path,split\ncat,cat/1.png,\ndog,dog/1.png,\ndog,gone.png,\n,cat/2.jpg,\n"
        "cat,cat/2.jpg,tset\n"
    )
    assert problems(list_csv(root / "list.csv")) == [
        "list.csv:4: gone.png: no such file or directory",
        "list.csv:5: has no path or no label",
        "list.csv:6: split 'tset' is no train, val or test",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file,class\n", "has no column label and path; its columns are: file, class"),
        (b"", "has no column label and path; its columns are: none"),
        (b"path,label\n\xff\xfe,x\n", "is not a CSV file in UTF-8"),
        (b'path,label\n"cat/1.png,cat\n', "is not a CSV file in UTF-8"),
        (
            b'path,label\na,b\nc,d\n"cat/1.png,cat\n',
            "in UTF-8: after line 3, unexpected end of data",
        ),
        (b"path,label,label\n", "has more than one column label; rename the others"),
        (b"path,label\n", "list.csv has 0 classes with images, two are needed: the column label"),
        (b"path,label\ncat/1.png,cat\n" + b"x.png,y\n" * 30, "\n  and 10 more"),
    ],
)
def test_a_csv_file_of_no_use_is_said(root, content, said):
    (root / "list.csv").write_bytes(content)
    with pytest.raises(DataError) as error:
        list_csv(root / "list.csv")
    assert said in str(error.value)


def test_a_csv_file_of_one_class_is_named_itself(root):
    (root / "all.csv").write_text("path,label\ncat/1.png,cat\ncat/2.jpg,cat\n")
    with pytest.raises(
        DataError, match=r"all\.csv has 1 class with images, two are needed: the column label"
    ):
        list_csv(root / "all.csv")


def test_photographs_of_a_kind_that_is_not_read_are_named(tmp_path):
    for name in ("cat/1.heic", "cat/2.heic", "dog/1.heic"):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"3 files are no image by name: cat/1\.heic, "):
        list_folder(tmp_path / "pets")


def test_a_csv_file_that_leaks_is_said(root):
    (root / "list.csv").write_text(
        "Path,LABEL,Split,group\n"
        "cat/1.png,cat,train,\n"
        "cat/../cat/1.png,cat,test,\n"
        "cat/2.jpg,cat,train,ann\n"
        "dog/1.png,dog,train,\n"
        "dog/deeper/2.webp,dog,test,ann\n"
    )
    listing = list_csv(root / "list.csv")
    assert problems(listing) == [
        "list.csv:3: cat/../cat/1.png: is in line 2 already",
        "ann: is a group torn apart, into test and train; 1 of its images cannot be used",
    ]
    assert [entry.part for entry in listing.entries] == ["train", "train", "test"]


def test_a_row_that_is_no_image_or_is_named_in_another_way_again_is_listed(root):
    (root / "notes.txt").write_text("x")
    (root / "list.csv").write_text(
        f"path,label\ncat/1.png,cat\ndog/1.png,dog\nnotes.txt,cat\n{root / 'cat' / '1.png'},dog\n"
    )
    listing = list_csv(root / "list.csv")
    assert problems(listing) == [
        f"list.csv:5: {root / 'cat' / '1.png'}: is in line 2 already",
        "notes.txt: is no image by its name, which ends in none of .jpg, .png, .webp, …",
    ]
    assert listing.others == []
    assert len(listing.entries) == 2


def test_a_problem_is_one_line_whatever_the_name_of_the_file():
    assert str(Problem("a\nb \x1b[31m\u202ec é.png", "is empty")) == (
        "a\\nb \\x1b[31m\\u202ec é.png: is empty"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_not_utf8_is_listed(root):
    (root / "cat" / "2.jpg").rename(root / "cat" / os.fsdecode(b"\xff.jpg"))
    listing = list_folder(root)
    assert [problem.reason for problem in listing.problems] == ["has a name that is not UTF-8"]
    assert len(listing.entries) == 3


def test_parts_without_a_training_part_are_an_error(root):
    picture(root / "test" / "cat" / "9.png")
    picture(root / "Val" / "dog" / "9.png")
    with pytest.raises(DataError, match="pets has Val and test but no train: put the classes"):
        list_folder(root)


def test_a_class_that_is_the_root_or_another_class_again_is_listed(root):
    (root / "all").symlink_to(root, target_is_directory=True)
    (root / "kitten").symlink_to(root / "cat", target_is_directory=True)
    listing = list_folder(root)
    assert problems(listing) == [
        "all: is a link that leads round in a circle",
        "kitten: is a link that is cat again",
    ]
    assert len(listing.entries) == 4
    assert listing.classes == ("cat", "dog")
