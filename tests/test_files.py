import csv
import io
import json
import os

import cv2
import leftovers
import numpy as np
import pytest
import scenes

from ferlib import cli, faces, paths
from ferlib.evaluate import live_chain
from ferlib.faces import overlap
from ferlib.labels import CLASSES, FerlibError
from ferlib.live import files, media, naming, video
from ferlib.live.network import load_model

PLACED = [("happy", (60, 90, 150, 150)), ("surprise", (330, 200, 120, 120))]
BLANK = np.full((120, 160, 3), 200, np.uint8)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return load_model(scenes.write_network(tmp_path_factory.mktemp("network")))


@pytest.fixture(scope="module")
def couple():
    return scenes.scene([(scenes.face(emotion), box) for emotion, box in PLACED])


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """A face that walks to the right through forty frames, happy first, then angry; and where it is."""
    boxes = [(40 + 8 * n, 150, 140, 140) for n in range(40)]
    emotions = ["happy"] * 20 + ["angry"] * 20
    frames = [
        scenes.scene([(scenes.face(emotion), box)]) for emotion, box in zip(emotions, boxes, strict=True)
    ]
    return scenes.video(tmp_path_factory.mktemp("walk") / "walk.mp4", frames), emotions, boxes


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_no_name_gives_orders_to_the_terminal(tmp_path, network, couple, monkeypatch, capsys):
    monkeypatch.setenv("FERLIB_WEIGHTS", str(scenes.write_network(tmp_path / "network")))
    name = tmp_path / "a\x1b[31mred\x07\nferlib: all is well.png"
    cv2.imwrite(str(name), couple)
    damaged = tmp_path / "\x1b]0;title\x07.png"
    damaged.write_bytes(b"no picture")
    (tmp_path / "data" / "train" / "\x1b[2Jhappy").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data" / "train" / "\x1b[2Jhappy" / "1.png"), couple[:48, :48])
    assert cli.main(["predict", str(name), str(damaged)]) == 1
    assert cli.main(["predict", str(tmp_path / "\x1b[31mnobody.png")]) == 1
    assert cli.main(["data", "--data", str(tmp_path / "data")]) in (0, 1)
    for told in capsys.readouterr():
        assert told and not {"\x1b", "\x07"} & set(told)
        assert not any(line.startswith("ferlib: all is well") for line in told.splitlines())


def test_faces_in_a_photo_are_found_named_and_written_down(tmp_path, network, couple, capsys):
    photo = tmp_path / "couple.png"
    cv2.imwrite(str(photo), couple)
    summary = files.predict_files(
        [photo],
        out=tmp_path / "out",
        json_file=tmp_path / "a.jsonl",
        csv_file=tmp_path / "a.csv",
        model=network,
    )
    assert summary == files.Summary(files=1, faces=2, failed=0)
    (line,) = lines(tmp_path / "a.jsonl")
    assert (line["file"], line["frame"], line["seconds"]) == (str(photo), 0, 0)
    for face, (emotion, box) in zip(line["faces"], PLACED, strict=True):
        assert face["emotion"] == emotion and overlap(face["box"], box) > 0.55
        assert list(face["probabilities"]) == list(CLASSES)
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert face["confidence"] == max(face["probabilities"].values())
    first, second = rows(tmp_path / "a.csv")
    assert (first["emotion"], second["emotion"]) == ("happy", "surprise")
    assert [int(first[side]) for side in ("x", "y", "width", "height")] == line["faces"][0]["box"]
    assert [float(first[name]) for name in CLASSES] == pytest.approx(
        list(line["faces"][0]["probabilities"].values())
    )
    table = capsys.readouterr().out
    assert "happy" in table and "surprise" in table
    assert max(len(line) for line in table.splitlines()) <= 80


def test_the_annotated_copy_has_blue_boxes_and_is_otherwise_the_photo(tmp_path, network, couple):
    photo = tmp_path / "couple.png"
    cv2.imwrite(str(photo), couple)
    files.predict_files([photo], out=tmp_path / "out", model=network)
    copy = cv2.imread(str(tmp_path / "out" / "couple.png")).astype(int)
    changed = np.abs(copy - couple).sum(axis=2) > 0
    blue = (copy[..., 0] - copy[..., 2]) > 60
    assert copy.shape == couple.shape and blue.sum() > 1000
    assert not changed[300:, :300].any() and not changed[110:220, 90:180].any()  # beside a box, and inside
    (left, top, *_), edge = PLACED[0][1], 25
    assert blue[top + 40 : top + 100, left - edge : left + edge].any(axis=1).all()


def test_a_moving_face_is_followed_through_a_video(tmp_path, network, walk):
    path, emotions, boxes = walk
    summary = files.predict_files([path], out=tmp_path / "out", json_file=tmp_path / "w.jsonl", model=network)
    found = lines(tmp_path / "w.jsonl")
    assert [line["frame"] for line in found] == list(range(40))
    assert found[25]["seconds"] == pytest.approx(1.0)
    assert [len(line["faces"]) for line in found] == [1] * 40 and summary.faces == summary.frames == 40
    people = [line["faces"][0] for line in found]
    assert {face["face"] for face in people} == {1}, "one person"
    assert all(overlap(face["box"], box) > 0.5 for face, box in zip(people, boxes, strict=True))
    told = [face["emotion"] for face in people]
    assert told[:20] == emotions[:20] and told[30:] == emotions[30:], "a change shows within 0.4 s"
    assert sum(before != after for before, after in zip(told, told[1:], strict=False)) == 1
    copy = video.Video(tmp_path / "out" / "walk.mp4")
    assert (copy.frames, copy.rate) == (40, 25)
    picture = next(copy.read()).image.astype(int)
    assert (picture[..., 0] - picture[..., 2] > 60).sum() > 500


def test_the_table_of_a_film_has_a_line_when_a_face_comes_changes_or_leaves(tmp_path, network, capsys):
    happy, angry, empty = (
        *(scenes.scene([(scenes.face(emotion), (200, 100, 150, 150))]) for emotion in ("happy", "angry")),
        np.full((480, 640, 3), scenes.GREY, np.uint8),
    )
    film = scenes.video(tmp_path / "a.avi", [happy] * 20 + [angry] * 30 + [empty] * 20, codec="MJPG")
    for _ in range(2):  # another call, another table
        files.predict_files([film], csv_file=tmp_path / "a.csv", model=network)
        told = [line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]]
        assert [(line[1], line[-2]) for line in told] == [("1", "happy"), ("1", "angry"), ("no", "no")]
        assert told[0][0] == "0:00.0" and told[1][0] > "0:00.8" and told[2][0] >= "0:02.0"
    assert len(rows(tmp_path / "a.csv")) == 70, "the file has every frame"


def test_the_command_tells_the_rate_of_films_and_that_copies_are_silent(tmp_path, walk, monkeypatch, capsys):
    monkeypatch.setenv("FERLIB_WEIGHTS", str(scenes.write_network(tmp_path / "network")))
    for words, told in (([], "a second"), (["--out", str(tmp_path / "out")], "videos have no sound")):
        assert cli.main(["predict", str(walk[0]), *words]) == 0
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("40 frames analysed, ") and line.endswith(told)


def test_people_of_fer2013_are_found_and_read_in_a_video(tmp_path, real_dataset, monkeypatch):
    monkeypatch.delenv("FERLIB_WEIGHTS", raising=False)
    some = real_dataset.valid.take(np.arange(12))
    images = some.images[live_chain.find_boxes(some)["index"]][:8]  # in some, no face is found
    frames, boxes = [], []
    for number, image in enumerate(images):
        left, top = (10, 340)[number % 2], 20 + 10 * number  # one after the other, far apart
        picture = np.full((480, 640, 3), 120, np.uint8)
        picture[top : top + 288, left : left + 288] = live_chain.in_a_picture(image)[..., None]
        frames += [picture] * 12
        boxes.append((left + 72, top + 72, 144, 144))  # the image fills the middle half
    film = scenes.video(tmp_path / "people.avi", frames, codec="MJPG")
    files.predict_files([film], json_file=tmp_path / "p.jsonl")
    shipped = load_model()
    alone = [shipped.classes[answer] for answer in shipped.probabilities(images).argmax(axis=1)]
    found = [
        [face for face in line["faces"] if overlap(face["box"], box) > 0.4]
        for line, box in zip(lines(tmp_path / "p.jsonl")[11::12], boxes, strict=True)
    ]
    agree = [one[0]["emotion"] == emotion for one, emotion in zip(found, alone, strict=True) if one]
    assert len(images) == 8 and len(agree) >= 6 and np.mean(agree) > 0.7
    numbers = [one[0]["face"] for one in found if one]
    assert len(set(numbers)) == len(numbers), "everybody has a number of their own"


def test_every_nth_frame_is_analysed_and_the_copy_keeps_all(tmp_path, network, walk):
    files.predict_files(
        [walk[0]], out=tmp_path / "out", json_file=tmp_path / "w.jsonl", every=15, model=network
    )
    assert [line["frame"] for line in lines(tmp_path / "w.jsonl")] == [0, 15, 30]
    assert video.Video(tmp_path / "out" / "walk.mp4").frames == 40


def test_only_the_region_is_searched_and_boxes_count_from_the_corner_of_the_picture(
    tmp_path, network, couple
):
    cv2.imwrite(str(tmp_path / "a.png"), couple)
    files.predict_files(
        [tmp_path / "a.png"], roi=(300, 150, 340, 330), json_file=tmp_path / "a.jsonl", model=network
    )
    (face,) = lines(tmp_path / "a.jsonl")[0]["faces"]
    assert face["emotion"] == "surprise" and overlap(face["box"], PLACED[1][1]) > 0.55


def test_boxes_of_a_photo_read_small_are_in_its_own_pixels(tmp_path, network, couple, monkeypatch):
    cv2.imwrite(str(tmp_path / "large.jpg"), cv2.resize(couple, None, fx=3, fy=3))
    monkeypatch.setattr(media, "MOST_PIXELS", couple.shape[0] * couple.shape[1] * 9 // 4)
    files.predict_files([tmp_path / "large.jpg"], json_file=tmp_path / "a.jsonl", model=network)
    found = lines(tmp_path / "a.jsonl")[0]["faces"]
    assert overlap(found[0]["box"], [3 * side for side in PLACED[0][1]]) > 0.55


def test_no_face_is_a_result(tmp_path, network, capsys):
    cv2.imwrite(str(tmp_path / "wall.png"), BLANK)
    summary = files.predict_files(
        [tmp_path / "wall.png"], csv_file=tmp_path / "a.csv", json_file=tmp_path / "a.jsonl", model=network
    )
    assert summary == files.Summary(files=1, faces=0, failed=0)
    assert lines(tmp_path / "a.jsonl")[0]["faces"] == []
    (row,) = rows(tmp_path / "a.csv")
    assert (row["emotion"], row["x"], row["happy"]) == ("", "", "")
    assert "no face" in capsys.readouterr().out


@pytest.mark.parametrize("progress", [True, False])
def test_a_terminal_shows_the_remaining_time_unless_told_not_to(
    tmp_path, network, walk, progress, monkeypatch
):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    files.predict_files([walk[0]], every=10, progress=progress, model=network)
    shown = terminal.getvalue()
    assert ("0/40" in shown and "<" in shown and "frame/s" in shown) if progress else shown == ""


# --- bad files --------------------------------------------------------------------------------------


def test_bad_files_among_good_ones_cost_one_line_each(tmp_path, network, capsys):
    folder = tmp_path / "holiday"
    (folder / "day 2").mkdir(parents=True)
    good = cv2.imencode(".jpg", BLANK)[1].tobytes()
    for number in range(95):
        (folder / f"{number:03}.jpg").write_bytes(good)
    bad = {
        "010.jpg": b"",
        "020.jpg": good[: len(good) // 2],
        "030.jpg": b"a text file",
        "day 2/film.mp4": b"no film",
        "day 2/scan.tif": b"II*\0",
    }
    for name, contents in bad.items():
        (folder / name).write_bytes(contents)
    (folder / "notes.txt").write_text("not meant")
    (folder / ".hidden.jpg").write_text("not meant")
    summary = files.predict_files(
        [folder], out=tmp_path / "out", json_file=tmp_path / "a.jsonl", model=network
    )
    assert summary == files.Summary(files=92, faces=0, failed=5)
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 5
    for name, line in zip(sorted(bad), sorted(errors), strict=True):
        assert line.startswith("ferlib: ") and name.split("/")[-1] in line
    assert len(lines(tmp_path / "a.jsonl")) == 92
    assert sum(path.is_file() for path in (tmp_path / "out").rglob("*")) == 92


def test_a_video_that_stops_keeps_its_rows_and_leaves_no_copy(tmp_path, network, capsys):
    frames = [scenes.scene([(scenes.face("happy"), (200, 100, 150, 150))])] * 40
    cut = scenes.video(tmp_path / "cut.avi", frames, codec="MJPG")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    summary = files.predict_files([cut], out=tmp_path / "out", json_file=tmp_path / "a.jsonl", model=network)
    assert (summary.files, summary.failed) == (0, 1)
    assert "stops after frame" in capsys.readouterr().err
    assert 15 <= len(lines(tmp_path / "a.jsonl")) < 40
    assert not list((tmp_path / "out").iterdir())


def test_a_region_outside_of_the_picture_is_said_with_its_name(tmp_path, network, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), BLANK)
    assert files.predict_files([tmp_path / "a.png"], roi=(500, 0, 50, 50), model=network).failed == 1
    assert "a.png: the region 500,0,50,50 lies outside of the picture of 160x120" in capsys.readouterr().err


def test_names_that_stand_for_nothing_are_said(tmp_path, network, capsys):
    (tmp_path / "empty").mkdir()
    summary = files.predict_files(
        [tmp_path / "gone.jpg", tmp_path / "empty", str(tmp_path / "*.mp4")], model=network
    )
    assert summary == files.Summary(files=0, faces=0, failed=3)
    errors = capsys.readouterr().err
    assert "gone.jpg: there is no such file" in errors and "empty: no photo or video in it" in errors


def test_an_empty_name_is_not_the_current_folder(tmp_path, network, capsys, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), BLANK)
    monkeypatch.chdir(tmp_path)
    assert files.predict_files([""], model=network) == files.Summary(files=0, faces=0, failed=1)
    assert "'': an empty name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ({"csv_file": "file/a.csv"}, r"file/a.csv: cannot be written \("),
        ({"json_file": "folder"}, "folder: cannot be written, it is a folder"),
        ({"csv_file": "a.png"}, "a.png would be written over"),
        ({"summary_file": "a.csv"}, "a.png would be written over"),
        ({"summary_file": "b.csv", "json_file": "b.png"}, "b.png would be written over"),
        ({"summary_file": "b.PNG"}, "b.PNG: a summary is a table"),
        ({"csv_file": "a.txt", "json_file": "a.txt"}, "a.txt would be written over"),
        ({"out": "folder", "json_file": "folder/a.png"}, "folder/a.png would be written over"),
        ({"out": "file"}, "file: annotated copies cannot be written there"),
        ({"out": "file/deeper"}, "deeper: annotated copies cannot be written there"),
    ],
)
def test_results_that_cannot_be_written_stop_everything_at_once(
    tmp_path, network, monkeypatch, where, sentence
):
    cv2.imwrite(str(tmp_path / "a.png"), BLANK)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(files, "search", lambda *_: pytest.fail("should have stopped before"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FerlibError, match=sentence):
        files.predict_files(["a.png"], model=network, **where)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "file", "folder"]
    assert cv2.imread("a.png") is not None


def test_one_copy_that_cannot_be_written_costs_one_line(tmp_path, network, walk, capsys):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), BLANK)
    for name in ("a.png", "walk.mp4"):
        (tmp_path / "out" / name).mkdir(parents=True)
    summary = files.predict_files(
        [tmp_path / "a.png", walk[0], tmp_path / "b.png"], out=tmp_path / "out", every=20, model=network
    )
    assert (summary.files, summary.failed) == (1, 2)
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and "out/a.png: cannot be" in errors[0] and "out/walk.mp4: cannot be" in errors[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png", "walk.mp4"]


# --- the command ------------------------------------------------------------------------------------


def test_the_command_says_by_its_exit_code_whether_all_went_well(tmp_path, couple, monkeypatch, capsys):
    monkeypatch.setenv("FERLIB_WEIGHTS", str(scenes.write_network(tmp_path / "network")))
    cv2.imwrite(str(tmp_path / "a.png"), couple)
    (tmp_path / "bad.jpg").write_text("text")
    good, bad = str(tmp_path / "a.png"), str(tmp_path / "bad.jpg")
    assert cli.main(["predict", good, "--roi", "300,150,340,330", "--no-progress"]) == 0
    told = capsys.readouterr().out
    assert "surprise" in told.splitlines()[1] and len(told.splitlines()) == 2
    assert cli.main(["predict", bad, good]) == 1
    told = capsys.readouterr()
    assert "bad.jpg: not an image" in told.err and len(told.out.splitlines()) == 3
    assert cli.main(["predict", good, "--csv", good]) == 1

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "search", interrupt)
    assert cli.main(["predict", good]) == 130
    assert capsys.readouterr().err.endswith("ferlib: stopped\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the following arguments are required: PATH"),
        (["a.png", "--roi", "1,2,3"], "argument --roi: '1,2,3' is not left,top,width,height in pixels"),
        (["a.png", "--every", "0"], "argument --every: '0' is not a number from 1"),
        (["a.png", "--detector", "eyes"], "invalid choice: 'eyes'"),
        (["a.png", "--min-confidence", "70"], "'70' is not a number from 0 to 1"),
    ],
)
def test_wrong_usage_is_told(words, sentence, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["predict", *words])
    assert sentence in capsys.readouterr().err


def test_an_interrupted_call_keeps_its_finished_lines(tmp_path, network, walk, monkeypatch, capsys):
    original, left = files.follow, iter(range(25))

    def interrupted(*given):
        for pair in original(*given):
            if next(left, None) is None:
                raise KeyboardInterrupt
            yield pair

    monkeypatch.setattr(files, "follow", interrupted)
    results = {"csv_file": tmp_path / "a.csv", "json_file": tmp_path / "a.jsonl"}
    (tmp_path / "a.csv").write_text("of an earlier call")
    with pytest.raises(KeyboardInterrupt):
        files.predict_files([walk[0]], out=tmp_path / "out", model=network, **results)
    assert len(rows(tmp_path / "a.csv.partial")) == len(lines(tmp_path / "a.jsonl.partial")) == 25
    assert "a.csv.partial" in capsys.readouterr().err
    assert (tmp_path / "a.csv").read_text() == "of an earlier call" and not (tmp_path / "a.jsonl").exists()
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.setattr(files, "follow", original)
    files.predict_files([walk[0]], model=network, **results)
    assert len(rows(tmp_path / "a.csv")) == 40
    assert not list(tmp_path.glob("*.partial*")), "every line of them stands in the whole files, too"


def test_what_interrupted_calls_left_goes_once_a_whole_file_has_it(tmp_path, network, couple):
    photo, result = tmp_path / "a.png", tmp_path / "a.csv"
    cv2.imwrite(str(photo), couple)
    files.predict_files([photo], csv_file=result, model=network)
    whole = result.read_bytes()
    left = {"": whole[:-20], ".2": whole[: whole.index(b"\n") + 1], ".3": b"", ".4": whole + b"more\n"}
    left |= {".5": whole, "_copy": whole}
    for number, lines in left.items():
        (tmp_path / f"a.csv.partial{number}").write_bytes(lines)
    other = naming.open_unfinished(result)  # of a call at the same time
    assert other.name.endswith(".partial.6")
    files.predict_files([photo], csv_file=result, model=network)
    kept = {path.name.removeprefix("a.csv.partial") for path in tmp_path.glob("*.partial*")}
    assert kept == {".4", ".6", "_copy"}
    other.close()
    assert result.read_bytes() == whole and (tmp_path / "a.csv.partial.4").read_bytes() == whole + b"more\n"


def test_a_call_that_is_interrupted_at_once_leaves_nothing(tmp_path, network, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), BLANK)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "search", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.predict_files([tmp_path / "a.png"], csv_file=tmp_path / "a.csv", model=network)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_what_a_dead_process_left_is_removed(tmp_path, network):
    cv2.imwrite(str(tmp_path / "a.png"), BLANK)
    left = leftovers.of_a_dead_process(tmp_path / "out" / "deep" / "film.mp4")
    mine = paths.beside(tmp_path / "out" / "b.png")
    mine.write_text("half")
    files.predict_files([tmp_path / "a.png"], out=tmp_path / "out", model=network)
    assert not left.exists() and mine.exists()


# --- people, crops and summaries --------------------------------------------------------------------


def test_the_summary_adds_up_the_seconds_of_each_face(tmp_path, network, walk):
    files.predict_files(
        [walk[0]], summary_file=tmp_path / "s.csv", csv_file=tmp_path / "a.csv", every=2, model=network
    )
    (row,) = rows(tmp_path / "s.csv")
    assert (row["face"], float(row["from"]), float(row["seen"])) == ("1", 0, pytest.approx(1.6))
    assert float(row["happy"]) + float(row["angry"]) == pytest.approx(1.6) and float(row["angry"]) > 0.4
    assert {line["face"] for line in rows(tmp_path / "a.csv")} == {"1"}
    assert (tmp_path / "s.png").is_file()


def test_pictures_that_are_faces_are_read_whole(tmp_path, network, capsys):
    for emotion in ("happy", "sad"):
        cv2.imwrite(str(tmp_path / f"{emotion}.png"), scenes.face(emotion))
    summary = files.predict_files([tmp_path], crops=True, csv_file=tmp_path / "a.csv", model=network)
    assert summary.faces == 2 and [row["emotion"] for row in rows(tmp_path / "a.csv")] == ["happy", "sad"]
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((48, 48), 128, np.uint8))
    files.predict_files([tmp_path / "grey.png"], model=network)
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.endswith("--crops") and len(told) <= 80


def test_uncertain_faces_are_called_unsure(tmp_path, network, couple):
    cv2.imwrite(str(tmp_path / "a.png"), couple)
    results = {"csv_file": tmp_path / "a.csv", "json_file": tmp_path / "a.jsonl"}
    files.predict_files([tmp_path / "a.png"], min_confidence=1.0, model=network, **results)
    assert [row["emotion"] for row in rows(tmp_path / "a.csv")] == ["unsure"] * 2
    assert [face["emotion"] for face in lines(tmp_path / "a.jsonl")[0]["faces"]] == ["unsure"] * 2


def test_a_photo_without_faces_says_how_small_was_searched(tmp_path, network, capsys):
    cv2.imwrite(str(tmp_path / "wall.jpg"), np.full((3000, 4000, 3), 200, np.uint8))
    files.predict_files([tmp_path / "wall.jpg"], model=network)
    assert f"no face from {faces.smallest_searched(4000, 3000)} pixels on" in capsys.readouterr().out


def test_photos_that_nobody_can_read_here_are_counted(tmp_path, network, capsys, monkeypatch):
    monkeypatch.setattr(media, "reads_heif", lambda: False)
    for name in ("a.heic", "b.HEIC", "c.nef"):
        (tmp_path / name).write_bytes(b"x")
    assert files.predict_files([tmp_path], model=network).failed == 1
    told = capsys.readouterr().err
    assert "2 HEIC photos skipped: run pip install pillow-heif" in told and "1 raw photo skipped" in told
    cv2.imwrite(str(tmp_path / "d.png"), BLANK)
    assert files.predict_files([tmp_path], model=network) == files.Summary(files=1, faces=0, failed=1)


def test_faces_of_several_photos_are_classified_together(tmp_path, network, couple, monkeypatch):
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), couple)
    (tmp_path / "3.png").write_text("no photo")
    batches, original = [], type(network).probabilities

    def counted(self, crops):
        batches.append(len(crops))
        return original(self, crops)

    monkeypatch.setattr(type(network), "probabilities", counted)
    summary = files.predict_files([tmp_path], csv_file=tmp_path / "a.csv", model=network)
    assert (summary.files, summary.failed, summary.faces) == (4, 1, 8) and batches[0] == 8
    assert [row["file"][-5:] for row in rows(tmp_path / "a.csv")][::2] == ["0.png", "1.png", "2.png", "4.png"]


# --- which files, and where copies go ---------------------------------------------------------------


@pytest.fixture
def album(tmp_path):
    for name in ("a.jpg", "b.png", "sub/a.jpg", "sub/film.avi", "sub/film.mov", "odd[1].jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_folders_globs_and_names_are_expanded_once(album):
    found, problems = files.expand([album / "b.png", f"{album}/*.jpg", album, str(album / "odd[1].jpg")])
    assert [str(path.relative_to(album)) for path, _ in found] == [
        "b.png",
        "a.jpg",
        "odd[1].jpg",
        *(os.path.join("sub", name) for name in ("a.jpg", "film.avi", "film.mov")),
    ]
    assert problems == []


def test_annotated_copies_of_an_earlier_call_are_left_out(album):
    (album / "out").mkdir()
    (album / "out" / "a.jpg").write_bytes(b"")
    found, _ = files.expand([album], album / "out")
    assert len(found) == 6 and not any("out" in path.parts[-2] for path, _ in found)


def test_every_file_gets_a_copy_of_its_own(album):
    found, _ = files.expand([album / "a.jpg", album / "sub" / "a.jpg", album / "sub" / "film.avi", album])
    targets = naming.targets(found, album / "out")
    assert len({str(target).lower() for target in targets.values()}) == len(found) == 6
    assert targets[album / "sub" / "film.avi"].suffix == targets[album / "sub" / "film.mov"].suffix == ".mp4"


def test_originals_are_never_replaced(album, network):
    with pytest.raises(FerlibError, match="would replace .*a.jpg: choose another folder"):
        files.predict_files([album / "a.jpg"], out=album, model=network)


def test_links_that_lead_nowhere_or_up_again_stop_nothing(tmp_path, network, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b", ".hidden"):
        (tmp_path / "g" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "g" / folder / "1.png"), BLANK)
    links = {"a/u": "..", "a/v": "..", "b/w": "../a", "b/x.jpg": "x.jpg"}
    for name, to in links.items():
        (tmp_path / "g" / name).symlink_to(to)
    photos = [tmp_path / "g" / folder / "1.png" for folder in ("a", "b")]
    for pattern in ("g/**/*.png", "**/g/**/1.png", "./**/?/*.png", str(tmp_path / "**" / "1.png")):
        found, problems = files.expand([pattern])
        assert ([path.absolute() for path, _ in found], problems) == (photos, [])
    summary = files.predict_files(["g"], out="out", csv_file="a.csv", model=network)
    assert (summary.files, summary.failed) == (2, 1), "the endless link is told, the others are read"


def test_no_result_takes_the_place_of_what_is_no_file(tmp_path, network, couple):
    cv2.imwrite(str(tmp_path / "a.png"), couple)
    film = scenes.video(tmp_path / "f.mp4", [couple] * 3)
    pipe, loop = tmp_path / "pipe.csv", tmp_path / "loop.csv"
    os.mkfifo(pipe)
    loop.symlink_to("loop.csv")
    for result in ("csv_file", "json_file", "summary_file"):
        for target, told in (
            (pipe, "pipe"),
            (loop, "endless link"),
            ("/dev/null", "device"),
            (tmp_path, "folder"),
        ):
            with pytest.raises(FerlibError, match=f"{target}: cannot be written, it is a.*{told}"):
                files.predict_files([film], model=network, **{result: target})
    (tmp_path / "out").mkdir()
    pipe.rename(tmp_path / "out" / "a.png")
    loop.rename(tmp_path / "out" / "f.mp4")
    assert files.predict_files([tmp_path], out=tmp_path / "out", model=network).failed == 2
    assert (tmp_path / "out" / "a.png").is_fifo() and (tmp_path / "out" / "f.mp4").is_symlink()


def test_results_go_where_links_lead(tmp_path, network, couple):
    cv2.imwrite(str(tmp_path / "a.png"), couple)
    names = ("a.csv", "a.jsonl", "s.csv", "out/a.png")
    for folder in ("links/out", "real/out"):
        (tmp_path / folder).mkdir(parents=True)
    for name in names:
        (tmp_path / "links" / name).symlink_to(tmp_path / "real" / name)
    (tmp_path / "real" / "a.csv").write_text("of an earlier call")
    csv_file, json_file, summary_file, _ = (tmp_path / "links" / name for name in names)
    results = {"csv_file": csv_file, "json_file": json_file, "summary_file": summary_file}
    files.predict_files([tmp_path / "a.png"], out=tmp_path / "links" / "out", model=network, **results)
    assert all((tmp_path / "links" / name).is_symlink() for name in names)
    assert len(rows(tmp_path / "real" / "a.csv")) == 2 and len(lines(tmp_path / "real" / "a.jsonl")) == 1
    assert all((tmp_path / "real" / name).stat().st_size for name in names)


def test_no_unfinished_file_takes_the_place_of_another(tmp_path, network, couple):
    photo, kept = tmp_path / "a.png", tmp_path / "b.csv.partial"
    cv2.imwrite(str(photo), couple)
    kept.write_text("of an interrupted call")
    (tmp_path / "b.csv.partial.2").symlink_to(photo)
    files.predict_files([photo], csv_file=tmp_path / "b.csv", model=network)
    assert kept.read_text() == "of an interrupted call" and len(rows(tmp_path / "b.csv")) == 2
    assert cv2.imread(str(photo)) is not None
    photo = photo.rename(tmp_path / "c.partial")
    with pytest.raises(FerlibError, match="c.partial would be written over"):
        files.predict_files([photo], csv_file=tmp_path / "c", model=network)
    with pytest.raises(FerlibError, match="c.partial would be written over"):
        files.predict_files(["a"], json_file=tmp_path / "c", csv_file=tmp_path / "c.partial", model=network)


def test_tildes_in_names_are_homes_or_nothing_special(tmp_path, network, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("~tmp.jpg", BLANK)
    results = {"csv_file": "~/a.csv", "json_file": "~/a.jsonl", "summary_file": "~/s.csv", "out": "~/out"}
    assert files.predict_files(["~tmp.jpg", "~/~tmp.jpg"], model=network, **results).files == 1
    assert {"a.csv", "a.jsonl", "s.csv", "out"} < {path.name for path in tmp_path.iterdir()}
    with pytest.raises(FerlibError, match=r"~network.*network.onnx is missing"):
        load_model("~network")


# --- memory -----------------------------------------------------------------------------------------


def test_frames_are_let_go(tmp_path, network, monkeypatch):
    alive, most = set(), []

    class Counted(media.Frame):
        def __init__(self, *values, **named):
            super().__init__(*values, **named)
            alive.add(id(self))
            most.append(len(alive))

        def __del__(self):
            alive.discard(id(self))

    monkeypatch.setattr(video, "Frame", Counted)
    film = scenes.video(tmp_path / "film.mp4", [BLANK] * 200)
    files.predict_files([film], out=tmp_path / "out", csv_file=tmp_path / "a.csv", model=network)
    assert len(most) == 200 and max(most) <= 4
