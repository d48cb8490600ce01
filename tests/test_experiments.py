from dataclasses import fields, replace

import pytest

from ferlib.labels import CLASSES, FerlibError
from ferlib.train import experiments, models
from ferlib.train.augmentation import POLICIES
from ferlib.train.experiments import EXPERIMENTS, PROFILES, TABLE, Experiment, Profile

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


def differing(first, second) -> set[str]:
    """Return the fields, beside those that describe a row, in which two rows differ."""
    names = {field.name for field in fields(Experiment)} - {"id", "group", "title"}
    return {name for name in names if getattr(first, name) != getattr(second, name)}


def test_every_row_names_things_that_exist_and_what_others_report():
    for id, row in EXPERIMENTS.items():
        assert row.id == id
        assert row.model in models.MODELS
        assert row.policy in POLICIES
        assert row.optimizer in ("adam", "sgd")
        assert row.schedule in ("constant", "cosine", "plateau")
        assert set(row.classes or ()) <= set(CLASSES)
        if row.teachers:
            assert row.teachers[3] == experiments.key(EXPERIMENTS[row.teachers[0]])
    assert {id: row.reported for id, row in EXPERIMENTS.items() if row.reported} == REPORTED
    with pytest.raises(FerlibError, match="deep_plain"):
        experiments.find("deep_plane")
    with pytest.raises(FerlibError, match="quick"):
        experiments.at(EXPERIMENTS["prior"], "slow")


def test_a_row_is_its_recipe_and_what_it_changes():
    recipe = {"epochs": 3, "batch_size": 16, "precision": "float16"}
    row = experiments._row("id", ("group", "prior"), "title", recipe, 0.5, "note", epochs=4)
    plain = experiments._row("id", ("group", "prior"), "title")
    assert plain == Experiment("id", "group", "title", "prior", precision="auto")
    changes = {"reported": 0.5, "reported_note": "note", "epochs": 4, "batch_size": 16}
    assert row == replace(plain, precision="float16", **changes)


def test_rows_differ_in_what_they_are_called_for():
    rows = EXPERIMENTS
    for id in ("no_batch_norm", "no_dropout", "class_weights", "fixed_epochs"):
        assert len(differing(rows[f"deep_{id}"], rows["deep_augmented"])) == 1, id
    assert rows["deep_both"].policy != "none" and rows["deep_tuned"].policy == "none"
    assert rows["four_block"].epochs == 20 and rows["four_block"].patience is None


def test_each_row_of_the_search_changes_one_thing():
    best = replace(EXPERIMENTS["best"], epochs=100)
    tried = [row for id, row in EXPERIMENTS.items() if id.startswith("search_")]
    assert [len(differing(row, best)) for row in tried] == [0] + [1] * 7
    assert not {row.id for row in tried} & set(TABLE)
    assert models.build(best.model, **dict(best.switches)).count_params() <= 5_000_000


def test_rows_of_the_small_network_differ_in_length_augmentation_and_what_is_taught_alone():
    crowd = experiments.find("lean_crowd")
    wanted = {f"lean_{name}": replace(crowd, target=name) for name in ("label", "majority", "cleaned")}
    wanted["lean_crowd_distilled"] = replace(crowd, teachers=("lean_crowd", 3, 0.5, experiments.key(crowd)))
    for base in (experiments.find("lean"), crowd):
        wanted[f"{base.id}_long"] = replace(base, epochs=200)
        wanted[f"{base.id}_strong"] = replace(base, epochs=200, policy="strong")
    for id, row in wanted.items():
        assert experiments.key(experiments.find(id)) == experiments.key(row), id


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
        assert quick.valid_images == PROFILES["quick"].valid_images
        assert quick.precision == "float32"
        assert (quick.patience is None) == (row.patience is None)
        for name in ("policy", "switches", "optimizer", "schedule"):
            assert getattr(quick, name) == getattr(row, name)
        assert quick.learning_rate / quick.batch_size == pytest.approx(row.learning_rate / row.batch_size)
        if quick.schedule == "constant":
            assert quick.batch_size == row.batch_size, "the batch size is what some rows are about"
        if quick.schedule == "cosine" and not row.model.startswith("res"):
            assert quick.epochs * quick.images / quick.batch_size >= 32, "a schedule needs steps"


@pytest.mark.parametrize(
    "asked, got",
    [
        ({}, {}),
        ({"patience": 10}, {"patience": 3}),
        ({"patience": None}, {"patience": None}),
        ({"patience": 2, "epochs": 8}, {"patience": 2}),
        ({"batch_size": 64}, {"batch_size": 64, "learning_rate": 0.5}),
        ({"schedule": "constant"}, {"batch_size": 128, "learning_rate": 0.5}),
        ({"images": 5, "valid_images": 3}, {"images": 5, "valid_images": 3}),
        (
            {"switches": (("trainable", "head"),)},
            {"images": 30, "epochs": 7, "batch_size": 16, "learning_rate": 0.0625},
        ),
        (
            {"model": "logistic"},
            {"images": None, "epochs": 40, "patience": 20, "batch_size": 128, "learning_rate": 0.5},
        ),
    ],
)
def test_a_profile_makes_rows_smaller(monkeypatch, asked, got):
    monkeypatch.setitem(PROFILES, "tiny", Profile({"prior": 500}, {"prior": 8}, (30, 7), 11, "float16"))
    recipe = {"epochs": 40, "patience": 20, "batch_size": 128, "learning_rate": 0.5, "schedule": "cosine"}
    row = Experiment("id", "group", "title", **{"model": "prior"} | recipe | asked)
    small = {"images": 500, "valid_images": 11, "epochs": 8, "patience": 4, "batch_size": 83}
    small |= {"learning_rate": 0.5 * 83 / 128, "precision": "float16"}
    assert experiments.at(row, "tiny") == replace(row, **small | got)


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
