from dataclasses import replace
from pathlib import Path

import pytest

from ferlib.labels import CLASSES, FerlibError
from ferlib.train import experiments, models
from ferlib.train.augmentation import POLICIES
from ferlib.train.experiments import EXPERIMENTS, TABLE, Experiment

REPORTED = {
    "shallow_plain": 0.5631,
    "shallow_tuned": 0.611,
    "four_block": 0.60,
    "deep_plain": 0.6555,
    "deep_both": 0.6862,
    "mobilenet_frozen": 0.5819,
    "mobilenet_top4": 0.6736,
    "mini_xception": 0.66,
}


def test_every_row_names_things_that_exist_and_what_others_report():
    for id, row in EXPERIMENTS.items():
        assert row.id == id
        assert row.model in models.MODELS
        assert row.policy in POLICIES
        assert row.optimizer in ("adam", "sgd")
        assert row.schedule in ("constant", "cosine", "plateau")
        assert set(row.classes or ()) <= set(CLASSES)
    assert {id: row.reported for id, row in EXPERIMENTS.items() if row.reported} == REPORTED
    with pytest.raises(FerlibError, match="deep_plain"):
        experiments.find("deep_plane")
    with pytest.raises(FerlibError, match="quick"):
        experiments.at(EXPERIMENTS["prior"], "slow")


def test_recorded_runs_are_of_rows_as_they_stand():
    """A row that is trained otherwise needs another name, or its runs are shown no more."""
    files = sorted((Path(__file__).parent.parent / "reports" / "record").glob("*.npz"))
    for file in files:
        id, profile, key = file.name.split("-")[:3]
        assert experiments.key(experiments.at(EXPERIMENTS[id], profile)) == key, id
    assert len(files) > 40


def test_rows_with_teachers_are_those_that_teach_them_otherwise():
    for id in ("lean", "lean_crowd"):
        row = experiments.find(f"{id}_distilled")
        assert row.teachers == (id, 3, 0.5, experiments.key(EXPERIMENTS[id]))
        assert experiments.key(replace(row, teachers=None)) == experiments.key(EXPERIMENTS[id])


def test_pretrained_rows_have_a_variant_without_weights():
    for id in TABLE:
        if EXPERIMENTS[id].model in ("mobilenet", "resnet50"):
            substitute = EXPERIMENTS[experiments.WITHOUT_WEIGHTS[id]]
            assert substitute.model == f"{EXPERIMENTS[id].model}_scratch"
            assert substitute.classes == EXPERIMENTS[id].classes
            assert substitute.id not in TABLE


def test_full_is_the_row_itself_and_quick_is_small_and_keeps_the_recipe():
    for row in EXPERIMENTS.values():
        assert experiments.at(row, "full") == row
        quick = experiments.at(row, "quick")
        assert quick.images <= 4096 and quick.epochs <= 15
        assert (quick.valid_images, quick.precision) == (256, "float32")
        assert (quick.patience is None) == (row.patience is None)
        for name in ("policy", "switches", "optimizer", "schedule"):
            assert getattr(quick, name) == getattr(row, name)
        assert quick.learning_rate / quick.batch_size == pytest.approx(row.learning_rate / row.batch_size)
        if quick.schedule == "constant":
            assert quick.batch_size == row.batch_size, "the batch size is what some rows are about"
        if quick.schedule == "cosine" and not row.model.startswith("res"):
            assert quick.epochs * quick.images / quick.batch_size >= 32, "a schedule needs steps"


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ({}, {}),
        ({"patience": 10}, {"patience": 3}),
        ({"patience": None}, {"patience": None}),
        ({"patience": 2, "epochs": 3}, {"patience": 2}),
        ({"batch_size": 16}, {"batch_size": 16, "learning_rate": 0.5}),
        ({"schedule": "constant"}, {"batch_size": 128, "learning_rate": 0.5}),
        ({"images": 192, "valid_images": 3}, {"images": 192, "valid_images": 3}),
        ({"model": "new"}, {"images": 256, "epochs": 2, "patience": 3, "batch_size": 16}),
        (
            {"switches": (("trainable", "head"),)},
            {"images": 512, "epochs": 15, "patience": 8, "batch_size": 128},
        ),
    ],
)
def test_a_quick_row_is_smaller_and_its_steps_in_proportion(asked, got):
    recipe = {"epochs": 40, "patience": 20, "batch_size": 128, "learning_rate": 0.5, "schedule": "cosine"}
    row = Experiment("id", "group", "title", **{"model": "lean_cnn"} | recipe | asked)
    small = {"images": 384, "valid_images": 256, "epochs": 3, "patience": 3, "batch_size": 24} | got
    small = {"learning_rate": 0.5 * small["batch_size"] / 128, "precision": "float32"} | small
    assert experiments.at(row, "quick") == replace(row, **small)


def test_key_changes_with_the_recipe_and_not_with_names_or_fields_at_their_default():
    """Whoever adds a field to the table must not make finished runs strangers."""
    row = EXPERIMENTS["deep_plain"]
    names = {"title": "x", "group": "y", "reported": 0.9, "reported_note": "w", "id": "z"}
    assert experiments.key(row) == experiments.key(replace(row, **names))
    changes = {"epochs": 61, "switches": (("width", 0.5),), "learning_rate": 2e-3, "classes": CLASSES[:4]}
    keys = {experiments.key(replace(row, **{name: value})) for name, value in changes.items()}
    assert len(keys | {experiments.key(row)}) == 1 + len(changes)
    plain = Experiment("a", "b", "c", "prior")
    assert experiments.key(plain) == "48b0d083"
    assert experiments.key(replace(plain, epochs=3, batch_size=2)) == "6e455653"


def test_description_lists_every_row():
    lines = experiments.describe().splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    told = {line.split()[0]: line for line in lines}
    assert "65.55" in told["deep_plain"] and told["deep_augmented"].endswith("deep CNN: augmented")
