"""Folders and names as people have them are read alike; what is left out is said."""

import os
import shutil
import tarfile
import zipfile

import cv2
import numpy as np
import pytest
from sources import mail, pack, picture, refused, tiny, tiny_table

import ferlib
from ferlib import cli, paths
from ferlib.data import demo, fer2013, layout, readers
from ferlib.labels import CLASSES, KAGGLE_SPLITS, RESERVED, SPLITS, FerlibError
from ferlib.live import answers
from ferlib.train import record

WORDS = {
    "angry": ("Angry", "ANGER", "0", "0_angry"),
    "disgust": ("disgusted", "Disgust", "1", "1 - Disgust"),
    "fear": ("Fearful", "fear", "2", "02.fear"),
    "happy": ("happiness", "Happy", "3", "3_Happiness"),
    "sad": ("Sadness", "sad", "4", "4 sad"),
    "surprise": ("surprised", "Surprise", "5", "5-surprised"),
    "neutral": ("Neutral", "NEUTRAL", "6", "6_neutral"),
}
"""Four spellings of each class."""


def three_folders(folder, *splits):
    """Take the split folders apart, as names of files tell, under new names."""
    for path in [*folder.rglob("*.jpg")]:
        split = dict(zip(KAGGLE_SPLITS, splits, strict=True))[path.name.split("_")[0]]
        target = folder.parent / "three" / split / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    shutil.rmtree(folder)
    (folder.parent / "three").rename(folder)


def numbered(folder):
    """Give the files names that tell no split."""
    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        path.rename(path.with_name(f"im{number}.jpg"))
    return folder


@pytest.fixture
def folder(tmp_path):
    return demo.write_folders(tiny(), tmp_path / "unpacked")


@pytest.fixture
def whole(folder, tmp_path):
    """Return the fingerprint of the usual folders."""
    return fer2013.load(shutil.copytree(folder, tmp_path / "as it is")).fingerprint


# --- classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", range(4))
def test_classes_under_their_usual_words(folder, whole, spelling):
    for split in ("train", "test"):
        for emotion, words in WORDS.items():
            (folder / split / emotion).rename(folder / split / words[spelling])
    found = fer2013.load(folder)
    assert found.fingerprint == whole and len(found.notes) == (spelling == 2)
    assert all("0 angry" in note and "6 neutral" in note for note in found.notes)


def test_an_eighth_class_is_named_with_how_to_leave_it_out(folder):
    shutil.copytree(folder / "train" / "happy", folder / "train" / "Contempt")
    shutil.copytree(folder / "train" / "happy", folder / "test" / "Contempt")
    refused(folder, "holds test/Contempt/ and train/Contempt/ beside", "move that elsewhere")


def refused_anew(path, *words):
    """Check a refusal where other sources have left their cache."""
    shutil.rmtree(paths.cache(), ignore_errors=True)
    refused(path, *words)


# --- a user's own classes ---------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """Return a folder of three classes with colour pictures of another size, red in one, blue in another."""
    generator = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for name, channel in (("Bored", 0), ("happiness", 1), ("sleepy", 2)):
            (tmp_path / "mine" / split / name).mkdir(parents=True)
            for number in range(4):
                image = generator.integers(0, 60, (64, 80, 3), np.uint8)
                image[..., channel] += 120
                cv2.imwrite(str(tmp_path / "mine" / split / name / f"{split}{number}.png"), image)
    return tmp_path / "mine"


def test_classes_of_its_own_keep_their_names_and_any_size(own):
    found, names = fer2013.load(own, own_classes=True), ("Bored", "happiness", "sleepy")
    assert {split.classes for split in found.splits} == {names}
    assert [np.bincount(split.labels).tolist() for split in found.splits] == [[4, 4, 4]] * 3
    assert any("Bored, happiness and sleepy" in note for note in found.notes)
    assert "FER-2013" not in found.source and tuple(fer2013.counts(found).index) == names
    blue, red = (found.valid.images[found.valid.labels == code].mean() for code in (0, 2))
    assert blue < red - 15, "grey values of blue and of red: 11 % and 30 %"
    again = fer2013.load(own, own_classes=True)
    assert again.train.classes == found.train.classes and again.fingerprint == found.fingerprint
    for split in own.iterdir():
        (split / "sleepy").rename(split / "tired")
    assert fer2013.load(own, own_classes=True).fingerprint != found.fingerprint


def test_a_network_of_its_own_classes_is_trained_and_used(own, tmp_path, monkeypatch, capsys):
    assert cli.main(["train", "prior", "--profile", "quick", "--data", str(own)]) == 0
    (run,) = record.runs(fer2013.load(own, own_classes=True))
    assert run.valid.classes == ("Bored", "happiness", "sleepy") and len(run.valid.labels) == 12
    assert cli.main(["export", "prior", "--data", str(own)]) == 1
    assert "Bored, happiness and sleepy, not FER-2013's" in capsys.readouterr().err
    monkeypatch.setenv("FERLIB_WEIGHTS", str(tmp_path / "network"))
    assert cli.main(["export", "prior", "--data", str(own)]) == 0
    assert ferlib.load_model().classes == run.valid.classes
    assert not (tmp_path / "network" / "MODEL_CARD.md").exists()


def test_only_training_takes_classes_of_its_own(own, capsys):
    with pytest.raises(FerlibError, match="Bored, happiness and sleepy instead of FER-2013's seven"):
        fer2013.load(own)
    assert cli.main(["audit", "--data", str(own)]) == 1
    (own / "a\nnote         all is well.jpg").write_bytes(picture(48, 48))
    forged = own.rename(own.with_name("b\nnote         all is well"))
    assert cli.main(["data", "--data", str(forged)]) == 0
    said = capsys.readouterr().out
    assert "sleepy" in said and "\nnote         all is well" not in said, "no file name forges a line"


UNFIT = [b"bad\xff", b"a\nnote         all is well", b"x", b"unsure", b"total", "a\u202eb".encode()]


@pytest.mark.parametrize("name", UNFIT)
def test_names_that_would_be_mistaken_are_refused(own, capsys, name):
    known = {*answers.COLUMNS, *answers.Photos([], []).to_frame()}
    known |= set(fer2013.counts(fer2013.load(own, own_classes=True)).columns) - set(SPLITS)
    assert known <= set(RESERVED), "all columns of answers"
    for split in own.iterdir():
        os.rename(split / "sleepy", os.path.join(os.fsencode(split), name))
    refused_anew(own, repr(os.fsdecode(name)), "cannot name a class", "rename that folder")
    assert cli.main(["data", "--data", str(own)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_classes_of_its_own_that_are_not_in_every_split(own):
    shutil.rmtree(own / "test" / "sleepy")
    refused(own, "no test (PrivateTest) images of sleepy")


def test_some_of_the_seven_are_classes_of_its_own(folder):
    for path in folder.glob("*/disgust"):
        shutil.rmtree(path)
    with pytest.raises(FerlibError, match="instead of FER-2013's seven"):
        fer2013.load(folder)
    found = fer2013.load(folder, own_classes=True)
    assert found.train.classes == tuple(name for name in CLASSES if name != "disgust")
    with pytest.raises(FerlibError, match="no class disgust"):
        found.train.only(("happy", "disgust"))


# --- splits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("train", "Validation", "Test"),
        ("Training", "val", "testing"),
        ("train", "valid", "test"),
        ("Training", "PublicTest", "PrivateTest"),
    ],
)
def test_three_folders_keep_every_image(folder, whole, names):
    three_folders(folder, *names)
    assert fer2013.load(folder).fingerprint == whole and fer2013.load(folder).notes == ()
    found = fer2013.load(numbered(folder))
    assert found.fingerprint == whole and len(found.notes) == 1
    assert all(f"{name}/ as " in found.notes[0] for name in names[1:])


def test_folders_that_contradict_each_other_or_names(folder):
    three_folders(folder, "train", "val", "test")
    shutil.copytree(folder / "val", folder / "validation")
    refused(folder, "val/ and validation/", "the same split", "keep one")
    shutil.rmtree(folder / "validation")
    shutil.copy(next((folder / "val" / "sad").iterdir()), folder / "test" / "sad")
    refused(folder, "stands in test/ but its name says PublicTest", "move it")


@pytest.mark.parametrize("name", ["validation", "val", "test"])
def test_two_folders_are_halved_whatever_the_second_is_called(folder, name):
    (folder / "test").rename(folder / name)
    found = fer2013.load(numbered(folder))
    assert [len(split) for split in found.splits] == [7, 7, 7]
    assert found.notes == (layout.HALVED.format(name),)


@pytest.mark.parametrize("above", ["images", "fer2013/fer2013", "a/b/c"])
def test_folders_around_everything(folder, whole, above, tmp_path):
    """As in Kaggle's copies and by unpackers."""
    outer = tmp_path / "outer"
    (outer / above).parent.mkdir(parents=True)
    shutil.move(folder, outer / above)
    found = fer2013.load(outer)
    assert found.fingerprint == whole and found.location == outer / above
    members = {path.relative_to(outer).as_posix(): path.read_bytes() for path in outer.rglob("*.jpg")}
    assert fer2013.load(mail(tmp_path / "outer.zip", members)).fingerprint == whole


def test_a_search_ends_and_the_folder_named_may_be_called_as_it_likes(folder, whole, tmp_path):
    hidden = tmp_path / "outer" / ".a" / "__MACOSX" / "c" / "d"
    hidden.parent.mkdir(parents=True)
    shutil.move(folder, hidden)
    assert fer2013.load(hidden).fingerprint == whole
    (tmp_path / "outer" / ".a").rename(tmp_path / "outer" / "a")
    (tmp_path / "outer" / "a" / "__MACOSX").rename(tmp_path / "outer" / "a" / "b")
    refused_anew(tmp_path / "outer", "holds neither")


def test_two_data_sets_side_by_side_or_the_same_files_once_more(folder, whole, tmp_path):
    """Noted where one is a copy of the other, as a public one has images/train and images/images/train."""
    for name in ("one", "two"):
        shutil.copytree(folder, tmp_path / "both" / name)
    refused_anew(tmp_path / "both", "which of one, two", "name the folder itself")
    shutil.copytree(folder, tmp_path / "copy" / "images" / "images")
    shutil.copytree(folder, tmp_path / "copy" / "images", dirs_exist_ok=True)
    found = fer2013.load(tmp_path / "copy")
    (note,) = found.notes
    assert found.fingerprint == whole and "21 images (images/test/" in note
    (tmp_path / "copy" / "images" / "images" / "train" / "sad" / "Training_00000004.jpg").unlink()
    refused_anew(tmp_path / "copy", "more than one data set")


def test_images_outside_the_splits_are_counted(folder, whole, tmp_path):
    (folder / "samples").mkdir()
    for name in ("a.jpg", "b.PNG", "readme.txt"):
        (folder / "samples" / name).write_bytes(picture(48, 48))
    found = fer2013.load(folder)
    assert found.fingerprint == whole
    (note,) = found.notes
    assert "2 images (samples/a.jpg" in note and note in fer2013.describe(found)


# --- clutter ----------------------------------------------------------------------------------------


CLUTTER = (
    *(".ipynb_checkpoints/x-checkpoint.jpg", "train/.ipynb_checkpoints/x.jpg"),
    *("train/happy/.ipynb_checkpoints/x-checkpoint.jpg", "train/.ipynb_checkpoints/happy/x.jpg"),
    *("__MACOSX/train/happy/._x.jpg", "__macosx/x.csv", "@eaDir/train/happy/x.jpg"),
    *("train/happy/Thumbs.db", "train/happy/thumbs.DB", "test/Desktop.ini"),
    *("test/happy/.ds_store", "train/.DS_Store"),
)


def test_clutter_is_passed_over_in_any_spelling(folder, whole, tmp_path):
    for member in CLUTTER:
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_bytes(b"clutter")
    files = [path for path in folder.rglob("*.*") if path.is_file()]
    members = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    assert set(CLUTTER) <= set(members)
    for source in (folder, mail(tmp_path / "cluttered.zip", members)):
        found = fer2013.load(source)
        assert found.fingerprint == whole and found.notes == ()


def test_clutter_around_a_table(tmp_path):
    table = tiny_table(tmp_path / "fer2013.csv")
    members = {"__MACOSX/._fer2013.csv": b"clutter", "x/fer2013.csv": table.read_bytes()}
    outer = tmp_path / "outer"
    with zipfile.ZipFile(mail(tmp_path / "a.zip", members)) as archive:
        archive.extractall(outer)
    (outer / "._fer2013.csv").write_bytes(b"clutter")
    assert readers.locate(outer) == outer / "x" / "fer2013.csv"
    assert fer2013.load(outer).fingerprint == fer2013.load(tmp_path / "a.zip").fingerprint


# --- links ------------------------------------------------------------------------------------------


def test_links_are_followed_but_not_round_and_round(folder, whole, tmp_path):
    for member in ("train", "test/sad", "test/happy/PublicTest_00000010.jpg"):
        elsewhere = tmp_path / f"{member.replace('/', ' ')} elsewhere"
        shutil.move((folder / member).resolve(), elsewhere)
        (folder / member).symlink_to(elsewhere)
    found = fer2013.load(folder)
    assert found.fingerprint == whole and found.notes == ()
    (folder / "back").symlink_to(folder)
    refused_anew(folder, "back: leads to", "by another name, too", "remove one of them")


# --- tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["fer2013.csv/fer2013.csv", "fer2013/fer2013/FER2013.CSV", "fer2013.tar", "mine.TGZ"]
)
def test_tables_as_unpackers_leave_them(tmp_path, name):
    table, place = tiny_table(tmp_path / "plain.csv"), tmp_path / "data" / name
    place.parent.mkdir(parents=True)
    (place.parent / "README").write_text("about emotion")
    if name.casefold().endswith("csv"):
        shutil.copy(table, place)
    else:
        with tarfile.open(place, "w" if name.endswith("tar") else "w:gz") as archive:
            archive.add(table, "fer2013/fer2013.csv")
    found = fer2013.load(tmp_path / "data")
    assert found.fingerprint == fer2013.load(table).fingerprint and found.location == place


def test_an_archive_with_several_tables(tmp_path):
    table = tiny_table(tmp_path / "fer2013.csv").read_bytes()
    for write, name in ((mail, "a.zip"), (pack, "a.tar.gz")):
        refused(write(tmp_path / name, {"x.csv": table, "y.csv": table}), "which of x.csv and y.csv")
    for name, members in {
        "known": {"test.csv": b"", "ICML_face_data.csv": table, "train.csv": b""},
        "folder of that name": {"fer2013.csv/": b"", "fer2013.csv/fer2013.csv": table},
        "beside votes": {"mine.csv": table, "FERPlus.csv": b""},
    }.items():
        found = fer2013.load(mail(tmp_path / f"{name}.zip", members))
        assert found.notes == () and len(found.train) == 7
