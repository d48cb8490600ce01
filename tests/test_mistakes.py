import made_up
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ferlib import compare, data, demo, mistakes
from ferlib.labels import CLASSES, FerlibError


@pytest.fixture(scope="module")
def predictions():
    return made_up.predictions(0.7, images=400)


def facts(predictions, **columns):
    """A table of audit flags or votes for the images of some predictions, in another order."""
    table = pd.DataFrame(
        {"name": predictions.names, "label": predictions.labels, "split": "valid", **columns}
    )
    return table.sample(frac=1, random_state=0)


def test_answers_name_what_was_asked_and_told(predictions):
    table = mistakes.answers(predictions)
    assert table["true"].map(CLASSES.index).tolist() == predictions.labels.tolist()
    assert (table["true"] == table["predicted"]).tolist() == predictions.correct.tolist()


def test_accuracy_is_split_by_flag(predictions):
    flagged = ~predictions.correct & (np.arange(400) % 2 == 0)
    audit = facts(predictions, **dict.fromkeys(mistakes.FLAGS, False) | {"faceless": flagged})
    table = mistakes.by_flag(predictions, audit).set_index("flag")
    assert len(table) == len(mistakes.FLAGS)
    row = table.loc["no face found"]
    assert row["images"] == flagged.sum() and row["accuracy"] == 0
    assert row["accuracy_without"] == pytest.approx(predictions.correct[~flagged].mean())
    assert row["p"] < 1e-6 and 0 <= row["low"] < row["high"] < 0.2
    nothing = table.loc["blank"]
    assert nothing["images"] == 0 and np.isnan(nothing["accuracy"]) and nothing["p"] == 1


def test_p_is_fishers(predictions):
    flagged = np.arange(400) < 60
    audit = facts(predictions, **dict.fromkeys(mistakes.FLAGS, flagged))
    row = mistakes.by_flag(predictions, audit).iloc[0]
    right, wrong = predictions.correct, ~predictions.correct
    counts = [[sum(right & flagged), sum(wrong & flagged)], [sum(right & ~flagged), sum(wrong & ~flagged)]]
    assert row["p"] == pytest.approx(stats.fisher_exact(counts).pvalue)


def test_flags_are_corrected_for_their_number_and_told(predictions):
    flagged = ~predictions.correct & (np.arange(400) % 2 == 0)
    some = dict.fromkeys(mistakes.FLAGS, False)
    columns = some | {"faceless": flagged, "leaked": predictions.correct, "low_contrast": np.arange(400) < 50}
    table = mistakes.by_flag(predictions, facts(predictions, **columns)).set_index("flag", drop=False)
    tested = table[table["images"] > 0]
    assert len(tested) == 3 and table["p_holm"].notna().sum() == 3
    assert tested["p_holm"].tolist() == pytest.approx(compare.holm(tested["p"]).tolist())
    assert mistakes.told_of_flags(table) == (
        "After Holm's correction for 3 tests accuracy is higher on images flagged “exact copy in training” "
        "and lower on images flagged “no face found” (p < 0.05)."
    )
    chance = table.assign(p_holm=0.06)
    assert mistakes.told_of_flags(chance).endswith("no flag goes with another accuracy.")
    nothing = mistakes.by_flag(predictions, facts(predictions, **some))
    assert nothing["p_holm"].isna().all() and "for 0 tests" in mistakes.told_of_flags(nothing)


def test_doubted_labels_are_told_with_the_mistakes_behind_them(predictions):
    wrong = np.flatnonzero(~predictions.correct)
    told = mistakes.told_of_doubts(predictions, wrong[:10])
    assert told.startswith("10 labels are doubted (2.5 % of the images). All of them belong to misread")
    assert told.endswith(f"that is {1000 / len(wrong):.1f} % of the {len(wrong)} mistakes.")
    right = np.flatnonzero(predictions.correct)
    assert "10 of them belong" in mistakes.told_of_doubts(predictions, np.append(wrong[:10], right[:1]))


def test_swapped_labels_are_doubted():
    good = made_up.predictions(1.0, images=300)
    labels = good.labels.copy()
    labels[:12] = (labels[:12] + 3) % 7
    doubted = mistakes.label_doubts(type(good)(labels, good.probabilities, good.names, good.classes))
    assert set(doubted) == set(range(12))


def test_crowd_sides_with_label_prediction_or_neither(predictions):
    votes = np.zeros((400, len(CLASSES) + 3))
    wrong = np.flatnonzero(~predictions.correct)
    votes[np.arange(400), predictions.labels] = 8
    for_model, no_face, tied = wrong[:10], wrong[10:15], wrong[15:17]
    votes[for_model, predictions.predicted[for_model]] = 9
    votes[no_face, -1] = 10
    votes[tied, predictions.predicted[tied]] = 8
    columns = dict(zip([*CLASSES, *mistakes.NO_VOTE], votes.T, strict=True))
    ballots = facts(predictions, **columns)
    groups = {"mistakes": ~predictions.correct, "right": predictions.correct}
    table = mistakes.crowd(predictions, ballots, groups).set_index("group")
    assert table.loc["mistakes", "images"] == len(wrong)
    assert table.loc["mistakes", "prediction"] == pytest.approx(10 / len(wrong))
    assert table.loc["mistakes", "no emotion"] == pytest.approx(5 / len(wrong))
    assert table.loc["mistakes", "tied"] == pytest.approx(2 / len(wrong))
    assert table.loc["right", "label"] == 1
    some = ballots[ballots["name"].isin(predictions.names[:100])]
    assert mistakes.crowd(predictions, some, groups)["images"].sum() == 100


def sided(doubted, other):
    """Sides of the crowd as `crowd` counts them: shares of label and prediction among 1,000 images each."""
    shares = {"doubted labels": doubted, "other mistakes": other}
    shares["mistakes"] = np.mean([doubted, other], axis=0)
    table = pd.DataFrame.from_dict(shares, orient="index", columns=["label", "prediction"])
    return table.assign(tied=1 - table.sum(axis=1), images=[1000, 1000, 2000])


def test_the_crowd_is_told_with_and_without_doubt():
    told = mistakes.told_of_crowd(sided((0.2, 0.5), (0.3, 0.4)))
    assert told.startswith(
        "On 2,000 misread faces the crowd sides with the label in 25.0 %, with the network"
    )
    assert "in 45.0 %, and with neither, ties included, in 30.0 %." in told
    assert (
        "doubted labels these three shares are 20.0 %, 50.0 % and 30.0 %, for the other mistakes 30" in told
    )
    assert told.endswith("($\\chi^2$ test, p < 0.001): the two differ.")
    same = mistakes.told_of_crowd(sided((0.25, 0.45), (0.26, 0.45)))
    assert same.endswith("no difference between the two can be shown.") and "p = 0." in same
    few = sided((0.2, 0.5), (0.3, 0.4)).assign(images=[0, 1000, 1000])
    assert mistakes.told_of_crowd(few).endswith("ties included, in 30.0 %.")


def test_top_four_predictions_are_joined_by_class_name():
    four = made_up.predictions(0.6, images=80, classes=("happy", "neutral", "sad", "fear"))
    codes = np.array([CLASSES.index(name) for name in four.classes])[four.labels]
    audit = pd.DataFrame({"name": four.names, "label": codes, "split": "valid"})
    audit = audit.assign(**dict.fromkeys(mistakes.FLAGS, True))
    assert (mistakes.by_flag(four, audit)["images"] == 80).all()


# --- the crowd's votes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn():
    return demo.faces((100, 70, 70))


def votes_for(drawn, n) -> str:
    """Return a ferplus.csv in which the n-th image has n % 10 votes for happiness."""
    usages = ("Training", "PublicTest", "PrivateTest")
    lines = ["file,csv_row," + ",".join(mistakes.VOTES)]
    for row in range(n):
        place = "test" if drawn.splits[row] else "train"
        emotion = CLASSES[drawn.labels[row]]
        number = drawn.names[row].split("_")[1]
        file = f"{place}/{emotion}/{usages[drawn.splits[row]]}_{number}"
        lines.append(f"{file},{row},0,{row % 10}" + ",0" * 8)
    return "\n".join(lines)


def test_votes_are_joined_by_name_and_by_row(drawn, tmp_path):
    table = demo.write_csv(drawn, tmp_path / "fer2013.csv")
    assert mistakes.ferplus(data.load(table)) is None, "no votes yet"
    (tmp_path / "ferplus.csv").write_text(votes_for(drawn, 120))
    archive = demo.write_zip(drawn, tmp_path / "archive.zip")
    for path in (archive, table):
        loaded = data.load(path)
        votes = mistakes.ferplus(loaded)
        assert len(votes) == 120
        assert votes["split"].value_counts().to_dict() == {"train": 100, "valid": 20}
        for vote in votes.itertuples():
            split = getattr(loaded, vote.split)
            assert split.labels[vote.index] == vote.label and split.names[vote.index] == vote.name
            number = int(vote.name.split("_")[1].split(".")[0])
            row = number if path is table or vote.split == "train" else 100 + number
            assert vote.happy == row % 10


def test_votes_are_also_found_inside_a_folder_but_do_not_fit_a_renumbered_copy(drawn, tmp_path):
    folder = demo.write_folders(drawn, tmp_path / "folders")
    (folder / "ferplus.csv").write_text(votes_for(drawn, 50))
    assert len(mistakes.ferplus(data.load(folder))) == 50
    names = np.array([f"im{number:05d}.jpg" for number in range(len(drawn.names))])
    renumbered = drawn._replace(names=names)
    other = demo.write_folders(renumbered, tmp_path / "other")
    (other / "ferplus.csv").write_text(votes_for(drawn, 50))
    assert mistakes.ferplus(data.load(other)) is None


def test_demo_faces_have_no_votes(demo_dataset):
    assert mistakes.ferplus(demo_dataset) is None


def test_votes_for_the_real_images(real_dataset):
    votes = mistakes.ferplus(real_dataset)
    if votes is None:
        pytest.skip("ferplus.csv does not stand beside FER-2013")
    assert len(votes) == 35706 and not votes.duplicated(["split", "index"]).any()
    counted = votes[list(mistakes.VOTES.values())].sum(axis=1)
    assert counted.median() == 10
    agreed = votes[list(mistakes.VOTES.values())].idxmax(axis=1) == votes["label"].map(
        dict(enumerate(CLASSES))
    )
    assert agreed.mean() > 0.6


@pytest.mark.parametrize(
    "text",
    ["", "Usage,Image name\nTraining,fer0.png\n", "file,csv_row\na,1\n", "\x00\x01\x02", "a,b\n1,2,3\n"],
)
def test_a_file_that_is_no_table_of_votes_is_refused_in_a_sentence(drawn, tmp_path, text):
    table = demo.write_csv(drawn, tmp_path / "fer2013.csv")
    (tmp_path / "ferplus.csv").write_text(text)
    with pytest.raises(FerlibError, match=r"ferplus.csv is no table of FER\+ votes .*needs the columns file"):
        mistakes.ferplus(data.load(table))


def test_a_vote_that_is_no_number_is_refused_in_a_sentence(drawn, tmp_path):
    table = demo.write_csv(drawn, tmp_path / "fer2013.csv")
    (tmp_path / "ferplus.csv").write_text(votes_for(drawn, 3).replace(",0", ",many", 1))
    with pytest.raises(FerlibError, match="many.*whole numbers"):
        mistakes.ferplus(data.load(table))
