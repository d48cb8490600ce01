"""Every unsound source is refused in one sentence that says what, where and what to do."""

import os
import re
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from sources import HAPPY, ICML, mail, pack, picture, refused, tiny, tiny_table

from ferlib import cli
from ferlib.data import demo, fer2013, readers
from ferlib.labels import CLASSES, KAGGLE_SPLITS


@pytest.fixture
def folder(tmp_path):
    return demo.write_folders(tiny(), tmp_path / "unpacked")


@pytest.fixture
def archive(tmp_path):
    return demo.write_zip(tiny(), tmp_path / "archive.zip")


@pytest.fixture
def table(tmp_path):
    return tiny_table(tmp_path / "fer2013.csv")


# --- finding the source -----------------------------------------------------------------------------


def test_what_is_not_there_is_named(tmp_path):
    refused(tmp_path / "nowhere.zip", "no such file", "give archive.zip")
    refused(tmp_path / ("x" * 300), "no such file or folder")
    refused(tmp_path, "neither train/ and test/ nor archive.zip", "put one there")
    assert readers.locate(tmp_path, missing_ok=True) is None


def test_the_source_is_found_in_a_folder_and_one_folder_below(folder, archive, table, tmp_path):
    inside = tmp_path / "data"
    assert readers.locate(folder) == folder
    shutil.copytree(folder, inside / "deeper")
    assert readers.locate(inside) == inside / "deeper"
    shutil.rmtree(inside / "deeper")
    (inside / "fer").mkdir()
    shutil.copy(table, inside / "fer")
    (inside / "fer" / "ferplus.csv").write_text("votes\n")
    assert readers.locate(inside) == inside / "fer" / "fer2013.csv"
    shutil.copy(archive, inside)
    assert readers.locate(inside) == inside / "archive.zip", "the nearest one"


def test_files_of_unknown_names_are_taken_only_where_there_is_no_choice(archive, tmp_path):
    inside = tmp_path / "data"
    inside.mkdir()
    (inside / "FERPlus.csv").write_text("votes\n")
    assert readers.locate(inside, missing_ok=True) is None
    shutil.copy(archive, inside / "mine.zip")
    assert readers.locate(inside) == inside / "mine.zip"
    shutil.copy(archive, inside / "yours.zip")
    refused(inside, "mine.zip, yours.zip", "name the file itself")
    shutil.copy(archive, inside / "archive.zip")
    assert readers.locate(inside) == inside / "archive.zip"


def test_a_folder_that_may_not_be_opened_matters_only_where_it_is_named(tmp_path, table, monkeypatch):
    for name in ("lost+found", "z"):
        (tmp_path / "data" / name).mkdir(parents=True)
    shutil.copy(table, tmp_path / "data" / "z")
    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, denied(getattr(os, name), lambda path: path.name == "lost+found"))
    assert readers.locate(tmp_path / "data") == tmp_path / "data" / "z" / "fer2013.csv"
    with pytest.raises(PermissionError):
        readers.locate(tmp_path / "data" / "lost+found")


# --- archives ---------------------------------------------------------------------------------------


def test_a_truncated_archive(archive, table, tmp_path):
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused(archive, "cut off", "download it again")
    packed = pack(tmp_path / "fer2013.tar.gz", {"fer2013/fer2013.csv": table.read_bytes()})
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    refused(packed, "cannot be read to its end", "download it again")


def test_archives_that_are_none(tmp_path):
    for name, said in (
        ("archive.zip", "not a zip file"),
        ("fer2013.tar.gz", "cannot be read to its end (file could not be opened successfully)"),
    ):
        (tmp_path / name).write_text("<html>please log in</html>")
        refused(tmp_path / name, said, "download it again")
    without = pack(tmp_path / "fer2013.tar.gz", {"a.txt": b""})
    refused(without, "holds no fer2013.csv", "give the competition's")


@pytest.mark.parametrize("members", [{"notes.txt": b"hello"}, {"cats/a.jpg": picture(48, 48)}, {}])
def test_a_zip_that_holds_other_things(tmp_path, members):
    refused(mail(tmp_path / "cats.zip", members), "holds no train/<class>/", "give FER-2013's archive.zip")


@pytest.mark.parametrize(
    "member",
    ["../train/happy/x.jpg", "train/happy/../../x.jpg", "/etc/x.jpg", "C:/x.jpg", "..\\x.jpg", "\\x.jpg"],
)
def test_path_traversal(archive, tmp_path, member):
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(member, picture(48, 48))
    packed = pack(tmp_path / "fer2013.tar.gz", {"fer2013.csv": b"", member: b""})
    for path in (archive, packed):
        refused(path, member.split("\\")[-1], "points outside the archive", "do not trust")


def test_a_bad_row_inside_an_archive_names_archive_member_and_line(table, tmp_path):
    content = table.read_bytes() + b"7,0 0,Training\n"
    line = f"line {len(content.splitlines())}"
    refused(mail(tmp_path / "a.zip", {"x/fer2013.csv": content}), "x/fer2013.csv", line, "'7'")
    refused(pack(tmp_path / "b.tar.gz", {"x/fer2013.csv": content}), "x/fer2013.csv", line, "'7'")


# --- folders ----------------------------------------------------------------------------------------


def removed(folder, pattern):
    for path in folder.rglob(pattern):
        path.unlink()


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda f: removed(f / "train" / "disgust", "*"), ["no train (Training) images of disgust"]),
        (lambda f: (f / "train" / "x.jpg").write_bytes(picture(48, 48)), ["train/x.jpg", "name it"]),
        (lambda f: shutil.rmtree(f / "train"), ["the split train/ is missing", "unpack the archive again"]),
        (lambda f: shutil.rmtree(f / "test"), ["the split test/ is missing", "unpack the archive again"]),
        (lambda f: removed(f, "PublicTest_*"), ["no valid (PublicTest) images;", "download it again"]),
        (lambda f: removed(f / "test" / "disgust", "Pri*"), ["no test (PrivateTest) images of disgust"]),
        (
            lambda f: (f / "test" / "happy" / "Training_1.jpg").write_bytes(picture(48, 48)),
            ["test/happy/Training_1.jpg stands in test/", "move it"],
        ),
        (
            lambda f: (f / "test" / "happy" / "17.jpg").write_bytes(picture(48, 48)),
            ["test/happy/17.jpg", "neither PublicTest_ nor PrivateTest_", "rename or remove"],
        ),
        # Its images would be in both.
        (lambda f: (f / "validation").symlink_to("test"), ["validation: leads to", "remove one of them"]),
    ],
)
def test_an_unsound_folder_is_named(folder, change, words):
    change(folder)
    refused(folder, *words)


def test_a_link_that_leads_nowhere(folder):
    (folder / "train" / ".#x.jpg").symlink_to("what an editor leaves behind")
    (folder / HAPPY).unlink()
    (folder / HAPPY).symlink_to("elsewhere.jpg")
    refused(folder, HAPPY, "is a link that leads nowhere", "mend or remove it")


def denied(really, is_shut):
    """Return a function of a path that is refused the shut ones."""

    def maybe(path, *args, **options):
        if is_shut(Path(path)):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, *args, **options)

    return maybe


def test_a_folder_or_an_image_in_it_that_cannot_be_opened(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", denied(os.scandir, lambda path: path.name == "sad"))
        refused(folder, "Permission denied", "allow reading it")
    monkeypatch.setattr(Path, "read_bytes", denied(Path.read_bytes, Path.exists))
    refused(folder, "Permission denied", "test/angry/PrivateTest_00000014.jpg", "allow reading it")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["cannot be read as an image", "replace or remove"]),
        (b"not an image", ["cannot be read as an image", "replace or remove"]),
        (picture(48, 48)[:-100], ["the JPEG is cut off", "replace the file"]),
        (picture(48, 48, 3), ["8-bit colour image of 48x48 pixels", "convert it"]),
        (picture(64, 64), ["8-bit grey image of 64x64 pixels", "convert it"]),
        (picture(48, 40), ["8-bit grey image of 40x48 pixels", "convert it"]),
        (picture(48, 48, dtype=np.uint16, kind=".png"), ["16-bit grey image", "convert it"]),
    ],
    ids=["empty", "text", "cut off", "colour", "64x64", "narrow", "16 bits"],
)
def test_an_unsound_image_is_named_in_folder_and_zip(folder, tmp_path, content, words):
    (folder / HAPPY).write_bytes(content)
    refused(folder, HAPPY, *words)
    members = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.jpg")}
    refused(mail(tmp_path / "bad.zip", members), HAPPY, *words)


def test_a_png_of_the_right_kind_is_as_good_as_a_jpeg(folder):
    before = fer2013.load(folder).fingerprint
    image = cv2.imread(str(folder / HAPPY), cv2.IMREAD_UNCHANGED)
    (folder / HAPPY).unlink()
    cv2.imwrite(str((folder / HAPPY).with_suffix(".png")), image)
    assert fer2013.load(folder).fingerprint == before


# --- csv --------------------------------------------------------------------------------------------


def with_row(table, change) -> None:
    """Change the fields of line 3 of a csv."""
    lines = table.read_text().splitlines()
    lines[2] = ",".join(change(*lines[2].split(",")))
    table.write_text("\n".join(lines) + "\n")


def pixels(change):
    """Return a change of the list of pixels alone."""
    return lambda emotion, text, usage: (emotion, " ".join(change(text.split())), usage)


@pytest.mark.parametrize(
    "change, words",
    [
        (pixels(lambda p: p[:-1]), ["2303 pixels instead of 2304"]),
        (pixels(lambda p: [*p, "0"]), ["2305 pixels instead of 2304"]),
        (pixels(lambda p: [*p[:5], "256", *p[6:]]), ["a pixel is 256", "from 0 to 255"]),
        (pixels(lambda p: [*p[:5], "-1", *p[6:]]), ["a pixel is '-1'", "from 0 to 255"]),
        (pixels(lambda p: [*p[:5], "0", "+", *p[6:]]), ["a pixel is '+'", "from 0 to 255"]),
        (pixels(lambda p: [*p[:5], "x", *p[6:]]), ["a pixel is 'x'", "from 0 to 255"]),
        (pixels(lambda p: [*p[:5], "1.5", *p[6:]]), ["a pixel is '1.5'", "from 0 to 255"]),
        (lambda e, p, u: ("7", p, u), ["emotion is '7'", "from 0 to 6"]),
        (lambda e, p, u: ("happy", p, u), ["emotion is 'happy'", "from 0 to 6"]),
        (lambda e, p, u: (e, p, "Testing"), ["Usage is 'Testing'", "Training, PublicTest, PrivateTest"]),
        (lambda e, p, u: (e, p), ["2 fields instead of 3"]),
    ],
)
def test_an_unsound_row_is_named(table, change, words, capsys):
    with_row(table, change)
    refused(table, "line 3", *words)
    assert cli.main(["data", "--data", str(table)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and f"{table}: line 3" in said.err


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["no header at all", "give fer2013.csv"]),
        (b"emotion,pixels,Usage\n", ["no rows below its header", "download it again"]),
        (b"PK\x03\x04" + bytes(range(256)), ["not a csv of text", "give fer2013.csv"]),
        (b"emotion,pixels,other", ["no column 'Usage'", "other", "give fer2013.csv"]),
        (b"emotion,pixels,Usage,emotion", ["two columns 'emotion'", "give fer2013.csv"]),
    ],
)
def test_a_csv_that_is_none(tmp_path, content, words):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(content)
    refused(path, *words)


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (r"\d,.*,PrivateTest", ["no test (PrivateTest) images;", "download it again"]),
        *((f"1,.*,{usage}", [f"({usage}) images of disgust", "download"]) for usage in KAGGLE_SPLITS),
    ],
)
def test_a_csv_without_a_split_or_a_class(table, gone, words):
    table.write_text(re.sub(f"^{gone}\n", "", table.read_text(), flags=re.MULTILINE))
    refused(table, *words)


@pytest.mark.parametrize(
    ("header", "write"),
    [
        ("pixels,emotion,Usage", str),
        (ICML, lambda text: text.replace("\n", "\r\n")),
        ("EMOTION , Pixels ,usage", lambda text: "\ufeff" + text),
        ("emotion,pixels,Usage", lambda text: text.replace("Training", " TRAINING") + "\n\n"),
    ],
    ids=["order", "carriage returns", "byte order mark", "blanks"],
)
def test_spellings_of_a_csv_agree(tmp_path, header, write):
    path = tiny_table(tmp_path / "any.csv", header)
    path.write_text(write(path.read_text()), newline="")
    read, notes, classes = readers.read(path)
    assert notes == () and classes == CLASSES
    assert read.names.tolist() == [f"row_{n:06d}" for n in range(21)]
    assert np.array_equal(read.labels, tiny().labels) and np.array_equal(read.splits, tiny().splits)
    assert abs(read.images.astype(int) - tiny().images).max() < 40 and read.images.dtype == np.uint8
