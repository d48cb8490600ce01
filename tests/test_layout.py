"""Folders and names as people have them are read alike; what is left out is said."""

import os
import shutil
import tarfile
import zipfile

import cv2
import numpy as np
import pytest
from sources import ICML, mail, pack, picture, refused, tiny

import ferlib
from ferlib import cli, paths
from ferlib.data import demo, fer2013, layout, readers
from ferlib.labels import CLASSES, RESERVED, SPLITS, FerlibError
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


def renamed(folder, **names):
    """Rename the split folders, or take them apart as names of files tell: ``valid`` and ``test``."""
    for split, name in names.items():
        usage = {"valid": "PublicTest", "test": "PrivateTest"}[split]
        for path in [path for path in (folder / "test").rglob("*.jpg") if path.name.startswith(usage)]:
            target = folder / name / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    return folder


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
    assert found.fingerprint == whole
    told = [("0 angry" in note, "6 neutral" in note) for note in found.notes]
    assert told == [(True, True)] * (spelling == 2)


def test_two_words_for_a_class_are_one_class(folder, whole):
    (folder / "train" / "Happiness").mkdir()
    image = cv2.imread(str(folder / "train" / "happy" / "Training_00000003.jpg"), 0)
    cv2.imwrite(str(folder / "train" / "Happiness" / "Training_1.png"), 255 - image)
    found = fer2013.load(folder)
    assert np.bincount(found.train.labels).tolist() == [1, 1, 1, 2, 1, 1, 1] and found.notes == ()


@pytest.mark.parametrize("splits", [["train"], ["test", "train"]])
def test_an_eighth_class_is_named_with_how_to_leave_it_out(folder, whole, splits):
    for split in splits:
        shutil.copytree(folder / split / "happy", folder / split / "Contempt")
    folders = " and ".join(f"{split}/Contempt/" for split in splits)
    refused_anew(folder, f"holds {folders} beside", f"move {folders} elsewhere")
    for split in splits:
        shutil.move(folder / split / "Contempt", folder.parent / f"{split} contempt")
    assert fer2013.load(folder).fingerprint == whole


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
    found = fer2013.load(own, own_classes=True)
    assert {split.classes for split in found.splits} == {("Bored", "happiness", "sleepy")}
    assert [np.bincount(split.labels).tolist() for split in found.splits] == [[4, 4, 4]] * 3
    assert any("Bored, happiness and sleepy" in note for note in found.notes)
    assert "FER-2013" not in found.source
    assert list(fer2013.counts(found).index) == ["Bored", "happiness", "sleepy"]
    blue, red = (found.valid.images[found.valid.labels == code].mean() for code in (0, 2))
    assert blue < red - 15, "grey values of blue and of red: 11 % and 30 %"
    again = fer2013.load(own, own_classes=True)
    assert again.train.classes == found.train.classes and again.fingerprint == found.fingerprint
    for split in ("train", "validation", "test"):
        (own / split / "sleepy").rename(own / split / "tired")
    assert fer2013.load(own, own_classes=True).fingerprint != found.fingerprint, "names are part of it"


def test_a_network_of_its_own_classes_is_trained_and_used(own, tmp_path, monkeypatch, capsys):
    assert cli.main(["train", "prior", "--profile", "quick", "--data", str(own)]) == 0
    (run,) = record.runs(fer2013.load(own, own_classes=True))
    assert run.valid.classes == ("Bored", "happiness", "sleepy") and len(run.valid.labels) == 12
    monkeypatch.delenv("FERLIB_WEIGHTS", raising=False)
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
    assert cli.main(["data", "--data", str(own)]) == 0
    assert "sleepy" in capsys.readouterr().out


UNFIT = [b"bad\xff", b"a\nnote         all is well", b"x", b"unsure", b"total", "a\u202eb".encode()]


@pytest.mark.parametrize("name", UNFIT)
def test_names_that_would_be_mistaken_are_refused(own, capsys, name):
    for split in ("train", "validation", "test"):
        os.rename(own / split / "sleepy", os.path.join(os.fsencode(own / split), name))
    refused(own, repr(os.fsdecode(name)), "cannot name a class", "rename that folder")
    assert cli.main(["data", "--data", str(own)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_all_columns_of_answers_are_reserved(own):
    known = {*answers.COLUMNS, *answers.Photos([], []).to_frame()}
    assert known | set(fer2013.counts(fer2013.load(own, own_classes=True)).columns) - set(SPLITS) <= set(
        RESERVED
    )


def test_no_file_name_forges_a_line(own, capsys):
    (own / "a\nnote         all is well.jpg").write_bytes(picture(48, 48))
    forged = own.rename(own.with_name("b\nnote         all is well"))
    assert cli.main(["data", "--data", str(forged)]) == 0
    assert "\nnote         all is well" not in capsys.readouterr().out


def test_a_class_of_its_own_in_one_split_only_and_one_class_alone(own):
    shutil.rmtree(own / "test" / "sleepy")
    with pytest.raises(FerlibError, match="test/sleepy/ holds no images"):
        fer2013.load(own, own_classes=True)
    for path in [*own.glob("*/Bored"), *own.glob("*/sleepy")]:
        shutil.rmtree(path)
    with pytest.raises(FerlibError, match="the class happy alone"):
        fer2013.load(own, own_classes=True)


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


@pytest.mark.parametrize("names", [("Validation", "Test"), ("val", "testing"), ("valid", "test")])
@pytest.mark.parametrize("train", ["train", "Training"])
def test_three_folders_keep_every_image(folder, whole, names, train):
    renamed(folder, valid=names[0]), renamed(folder, test="x")
    shutil.rmtree(folder / "test")
    (folder / "x").rename(folder / names[1]), (folder / "train").rename(folder / train)
    assert fer2013.load(folder).fingerprint == whole and fer2013.load(folder).notes == ()
    found = fer2013.load(numbered(folder))
    assert found.fingerprint == whole and len(found.notes) == 1
    for name in names:
        assert f"{name}/ as " in found.notes[0]


def test_folders_named_as_the_usage_column(folder, whole):
    (folder / "train").rename(folder / "Training")
    renamed(folder, valid="PublicTest", test="PrivateTest")
    shutil.rmtree(folder / "test")
    assert fer2013.load(numbered(folder)).fingerprint == whole


@pytest.mark.parametrize("name", ["validation", "val", "test"])
def test_two_folders_are_halved_whatever_the_second_is_called(folder, name):
    (folder / "test").rename(folder / name)
    found = fer2013.load(numbered(folder))
    assert [len(split) for split in found.splits] == [7, 7, 7]
    assert found.notes == (layout.renumbered(name),)


def test_a_name_that_contradicts_one_of_three_folders_and_two_folders_for_one_split(folder):
    renamed(folder, valid="val")
    shutil.copy(next((folder / "val" / "sad").iterdir()), folder / "test" / "sad")
    refused(folder, "stands in test/ but its name says PublicTest", "move it")
    shutil.copytree(folder / "val", folder / "validation")
    refused_anew(folder, "val/ and validation/", "the same split", "keep one")


@pytest.mark.parametrize("above", ["images", "fer2013/fer2013", "a/b/c"])
def test_folders_around_everything(folder, whole, above, tmp_path):
    """Kaggle's copies have images/train, and unpackers put a folder around."""
    outer = tmp_path / "outer"
    (outer / above).parent.mkdir(parents=True)
    shutil.move(folder, outer / above)
    found = fer2013.load(outer)
    assert found.fingerprint == whole and found.location == outer / above
    assert fer2013.load(mail(tmp_path / "outer.zip", members_of(outer))).fingerprint == whole


def members_of(folder):
    """The files below a folder, by their names in an archive of it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_search_ends(folder, tmp_path):
    (tmp_path / "far" / "a" / "b" / "c").mkdir(parents=True)
    shutil.move(folder, tmp_path / "far" / "a" / "b" / "c" / "d")
    refused(tmp_path / "far", "holds neither")


def test_two_data_sets_side_by_side(folder, tmp_path):
    (tmp_path / "both").mkdir()
    shutil.copytree(folder, tmp_path / "both" / "one"), shutil.move(folder, tmp_path / "both" / "two")
    refused(tmp_path / "both", "which of one, two", "name the folder itself")


def test_the_same_files_once_more_are_left_out_with_a_note(folder, whole, tmp_path):
    """As in a public copy with images/train and images/images/train."""
    shutil.copytree(folder, tmp_path / "copy" / "images" / "images")
    shutil.copytree(folder, tmp_path / "copy" / "images", dirs_exist_ok=True)
    found = fer2013.load(tmp_path / "copy")
    assert found.fingerprint == whole
    assert len(found.notes) == 1 and "21 images (images/test/" in found.notes[0]
    (tmp_path / "copy" / "images" / "images" / "train" / "sad" / "Training_00000004.jpg").unlink()
    refused_anew(tmp_path / "copy", "more than one data set")


def test_images_outside_the_splits_are_counted(folder, whole, tmp_path):
    (folder / "samples").mkdir()
    for name in ("a.jpg", "b.PNG", "readme.txt"):
        (folder / "samples" / name).write_bytes(picture(48, 48))
    found = fer2013.load(folder)
    assert found.fingerprint == whole
    assert len(found.notes) == 1 and "2 images (samples/a.jpg" in found.notes[0]
    assert found.notes[0] in fer2013.describe(found)


# --- clutter ----------------------------------------------------------------------------------------


CLUTTER = (
    *(".ipynb_checkpoints/x-checkpoint.jpg", "train/.ipynb_checkpoints/x.jpg"),
    *("train/happy/.ipynb_checkpoints/x-checkpoint.jpg", "train/.ipynb_checkpoints/happy/x.jpg"),
    *("__MACOSX/train/happy/._x.jpg", "__macosx/x.csv", "train/happy/Thumbs.db", "train/happy/thumbs.DB"),
    *("test/Desktop.ini", "test/happy/.ds_store", "train/.DS_Store", "@eaDir/train/happy/x.jpg"),
)


def test_clutter_is_passed_over_in_any_spelling(folder, whole, tmp_path):
    for member in CLUTTER:
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_bytes(b"clutter")
    found = fer2013.load(folder)
    assert found.fingerprint == whole and found.notes == ()
    members = members_of(folder)
    assert set(CLUTTER) <= set(members)
    zipped = fer2013.load(mail(tmp_path / "cluttered.zip", members))
    assert zipped.fingerprint == whole and zipped.notes == ()


def test_clutter_around_a_table(tmp_path):
    table = demo.write_csv(tiny(), tmp_path / "fer2013.csv")
    members = {"__MACOSX/._fer2013.csv": b"clutter", "x/fer2013.csv": table.read_bytes()}
    outer = tmp_path / "outer"
    with zipfile.ZipFile(mail(tmp_path / "a.zip", members)) as archive:
        archive.extractall(outer)
    (outer / "._fer2013.csv").write_bytes(b"clutter")
    assert readers.locate(outer) == outer / "x" / "fer2013.csv"
    assert fer2013.load(outer).fingerprint == fer2013.load(tmp_path / "a.zip").fingerprint


def test_the_folder_that_holds_it_all_may_be_called_as_it_likes(folder, whole, tmp_path):
    (tmp_path / ".hidden" / "__MACOSX").mkdir(parents=True)
    moved = shutil.move(folder, tmp_path / ".hidden" / "__MACOSX" / "data")
    assert fer2013.load(moved).fingerprint == whole


# --- links ------------------------------------------------------------------------------------------


def test_links_are_followed_but_not_round_and_round(folder, whole, tmp_path):
    shutil.move(folder / "train", tmp_path / "train elsewhere")
    (folder / "train").symlink_to(tmp_path / "train elsewhere")
    shutil.move(tmp_path / "train elsewhere" / "sad", tmp_path / "sad elsewhere")
    (folder / "train" / "sad").symlink_to(tmp_path / "sad elsewhere")
    (folder / "back").symlink_to(folder)
    found = fer2013.load(folder)
    assert found.fingerprint == whole and found.notes == (), "no image twice"


# --- tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Emotion,Pixels", " EMOTION , PIXELS ,USAGE", "pixels,Usage,Emotion"])
def test_headers_in_any_spelling(tmp_path, header):
    header = header if "sage" in header.lower() else header + ",Usage"
    plain = demo.write_csv(tiny(), tmp_path / "plain.csv", header.lower().replace("usage", "Usage"))
    other = tmp_path / "other.csv"
    other.write_text(plain.read_text().replace(plain.read_text().splitlines()[0], header, 1))
    assert fer2013.load(other).fingerprint == fer2013.load(plain).fingerprint


def test_usages_in_any_spelling_and_two_columns_of_one_name(tmp_path):
    table = demo.write_csv(tiny(), tmp_path / "fer2013.csv", ICML)
    before = fer2013.load(table).fingerprint
    table.write_text(table.read_text().replace("PublicTest", "publictest").replace("Training", " TRAINING"))
    assert fer2013.load(table).fingerprint == before
    table = demo.write_csv(tiny(), tmp_path / "fer2013.csv")
    table.write_text(table.read_text().replace("emotion,pixels,Usage", "emotion,pixels,Usage,Emotion", 1))
    refused_anew(table, "two columns 'emotion'")


@pytest.mark.parametrize(
    "name", ["fer2013.csv/fer2013.csv", "fer2013/fer2013/FER2013.CSV", "fer2013/fer2013"]
)
def test_tables_where_unpackers_leave_them(tmp_path, name):
    table = demo.write_csv(tiny(), tmp_path / "plain.csv")
    place = tmp_path / "data" / name
    place.parent.mkdir(parents=True)
    shutil.copy(table, place)
    (place.parent / "README").write_text("about emotion")
    (place.parent / "fer2013.bib").write_text("@article{}")
    found = fer2013.load(tmp_path / "data")
    assert found.fingerprint == fer2013.load(table).fingerprint and found.location == place
    assert fer2013.load(place).fingerprint == found.fingerprint


@pytest.mark.parametrize(
    "mode, name", [("w", "fer2013"), ("w:gz", "fer2013"), ("w", "fer2013.tar"), ("w:gz", "mine.TGZ")]
)
def test_a_tar_that_an_unpacker_has_renamed(tmp_path, mode, name):
    table = demo.write_csv(tiny(), tmp_path / "plain.csv")
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / name, mode) as archive:
        archive.add(table, "fer2013/fer2013")
    assert fer2013.load(tmp_path / "data").fingerprint == fer2013.load(table).fingerprint


def test_an_archive_with_several_tables(tmp_path):
    table = demo.write_csv(tiny(), tmp_path / "fer2013.csv").read_bytes()
    for write, name in ((mail, "a.zip"), (pack, "a.tar.gz")):
        refused(write(tmp_path / name, {"x.csv": table, "y.csv": table}), "which of x.csv and y.csv")
    for name, members in {
        "known": {"test.csv": b"", "ICML_face_data.csv": table, "train.csv": b""},
        "folder of that name": {"fer2013.csv/": b"", "fer2013.csv/fer2013.csv": table},
        "beside votes": {"mine.csv": table, "FERPlus.csv": b""},
    }.items():
        found = fer2013.load(mail(tmp_path / f"{name}.zip", members))
        assert found.notes == () and len(found.train) == 7
