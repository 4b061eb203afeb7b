"""Every kind of mistake gets a sentence with file, key path, what was given and the choices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detbench.errors import RecipeError
from detbench.recipe import load

HEAD = """
id = "mine"
title = "Mine"
paper = "own"
columns = ["AP", "gflops"]
"""
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def to_file(text: str, name: str = "mine.toml") -> str:
        (tmp_path / name).write_text(text)
        return name

    return to_file


def mistakes(name: str, function: Callable[[str], object] = load.table) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        function(name)
    assert all("\n" not in line for line in caught.value.mistakes)
    return caught.value.mistakes


def row(text: str = "", label: str = "A") -> str:
    return f'[[rows]]\nlabel = "{label}"\ndetector = "fcos-r50"\n{text}\n'


def test_a_sound_file_has_none(write: Write) -> None:
    table = load.table(write(HEAD + row('features.both = { kind = "sce" }')))
    assert [one.label for one in table.rows] == ["A"]


def test_all_mistakes_at_once(write: Write) -> None:
    text = HEAD.replace("title", "titel") + row('fidelity = "good"') + row(label="A")
    assert mistakes(write(text)) == [
        "mine.toml: title: required, but not given",
        'mine.toml: rows[0].fidelity: given the string "good" '
        "(choices: official-config, official-code, text-only)",
        "mine.toml: titel: unknown key 'titel', did you mean 'title'? (choices: id, title, paper, "
        "columns, schedule, input, published_on, notes, breaks, baseline, rows, claims)",
        'mine.toml: rows[1] "A": label: another row has it too',
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'features = { cls = { kind = "see" }, loc = { kind = "level" } }',
            "features.cls: unknown kind 'see', did you mean 'sce'? "
            "(choices: level, sce, dpe, ssh, custom)",
        ),
        (
            'features.both = { kind = "sce", kernal = 3 }',
            "features.both.kernal: unknown key 'kernal', did you mean 'kernel'? "
            "(choices: kind, down, kernel, next_level, norm, conv_bias, init)",
        ),
        (
            'features.both = { kind = "sce", kernel = 4 }',
            "features.both.kernel: given 4 (choices: 3, 5, 7)",
        ),
        (
            'features.both = { down = "avg" }',
            "features.both: needs 'kind', one of: level, sce, dpe, ssh, custom",
        ),
        ('features.cls = { kind = "sce" }', "features: give either 'both', or 'cls' and 'loc'"),
        (
            'heads = { kind = "tower" }',
            "heads.kind: unknown key 'kind': give either 'both', or 'cls' and 'loc'",
        ),
        (
            'heads.both = { kind = "tower", depth = "four" }',
            'heads.both.depth: given the string "four", expected an integer',
        ),
        (
            'heads.both = { kind = "tower", depth = 1.5 }',
            "heads.both.depth: given 1.5, expected an integer",
        ),
        (
            'heads.both = { kind = "tower", depth = -1 }',
            "heads.both.depth: given -1, must be at least 0",
        ),
        (
            'heads.both = { kind = "tower", conv_bias = 1 }',
            "heads.both.conv_bias: given 1, expected true or false",
        ),
        (
            'heads.both = { kind = "custom", target = "mymodule" }',
            "heads.both.target: given the string \"mymodule\", expected 'package.module:Class'",
        ),
        (
            'candidates = { kind = "anchors", scales = 3, multiples = [1.5] }',
            "candidates: give 'multiples', or 'scales' and 'octaves'",
        ),
        (
            'heads.both = "tower"',
            'heads.both: given the string "tower", expected a table',
        ),
        (
            'features.both = { kind = "dpe", levels = [0, 0] }',
            "features.both.levels: a level is given twice",
        ),
        (
            'features.both = { kind = "dpe", levels = [3] }',
            "features.both.levels[0]: given 3 (choices: -1, 0, 1, 2)",
        ),
        (
            'backbone = { kind = "resnet", depth = 51 }',
            "backbone.depth: given 51 (choices: 10, 18, 34, 50, 101, 152)",
        ),
        (
            "candidates = { kind = 'anchors', size = inf }",
            "candidates.size: given inf, expected a finite number",
        ),
        (
            "supervision = { cls = { kind = 'focal' }, loc = { kind = 'giuo' } }",
            "supervision.loc: unknown kind 'giuo', did you mean 'giou'? "
            "(choices: l1, giou, diou, ciou, custom)",
        ),
    ],
)
def test_a_mistake_in_a_rows_stage(write: Write, text: str, said: str) -> None:
    assert mistakes(write(HEAD + row(text))) == [f'mine.toml: rows[0] "A": {said}']


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            row('schedule = "coco-2x"'),
            "mine.toml: rows[0] \"A\": schedule: unknown schedule 'coco-2x', did you mean "
            "'coco-1x'? (the nearest of 26: coco-1x, coco-2x-ms, coco-2x-frcnn, coco-tsd, "
            "coco-3x-tsd); a file of your own ends in .toml",
        ),
        (
            row('detectr = "x"'),
            "mine.toml: rows[0].detectr: unknown key 'detectr', did you mean 'detector'? (the "
            "nearest of 32: detector, predictor, fidelity, features, neck)",
        ),
        (
            '[[rows]]\nlabel = "A"',
            "mine.toml: rows[0] \"A\": detector: required, or 'cited' with the reason why not",
        ),
        (
            row("misprints = { AP = 'no' }"),
            'mine.toml: rows[0] "A": misprints.AP: there is no published number of this name',
        ),
        ("rows = []", "mine.toml: rows: given 0, needs at least 1"),
        ("rows = 3", "mine.toml: rows: given 3, expected an array"),
    ],
)
def test_a_mistake_in_a_row(write: Write, text: str, said: str) -> None:
    assert mistakes(write(HEAD + text)) == [said]


FOCAL = "supervision.cls = { kind = 'focal' }\nsupervision."


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (f"{FOCAL}loc = {{ kind = 'l1' }}", "supervision.loc: 'l1' needs boxes.kind 'delta'"),
        (
            f"{FOCAL}loc = {{ kind = 'giou', distribution_weight = 0.25 }}",
            "supervision.loc.distribution_weight: needs boxes.kind 'distribution'",
        ),
        (
            "inference = { views = { scales = [1e-9] } }",
            "inference.views.scales[0]: given 1e-09, must be at least 0.1",
        ),
        (
            "backbone = { kind = 'timm', name = 'resnet18', deformable_stages = [] }",
            "backbone.deformable_stages: given 0, needs at least 1",
        ),
        ("neck = { kind = 'fpn', levels = 2 }", "levels = 2 are fewer than the backbone's 3 maps"),
        ("neck = { kind = 'fpn', first = 2, levels = 3 }", "than the backbone's 4 maps from C2"),
        ("assignment.both = { kind = 'center-prior' }", "assignment.both: only supervision.joint"),
        (
            "assignment.cls = { kind = 'fcos' }\nassignment.loc = { kind = 'atss' }\n"
            "supervision = { joint = { kind = 'autoassign' } }",
            "'autoassign' has one for both tasks; give assignment.both",
        ),
        (
            "predictor = { kind = 'refined' }\nboxes = { kind = 'distance', activation = 'exp' }",
            "'refined' needs candidates of kind 'points' and boxes of kind 'distance' with",
        ),
    ],
)
def test_options_that_do_not_go_together(write: Write, settings: str, said: str) -> None:
    (found,) = mistakes(write(HEAD + row(settings)))
    assert said in found


def test_a_value_of_its_type_but_for_a_bound_is_no_other_kinds(write: Write) -> None:
    mixed = "assignment.both = { kind = 'transport', loc_weight = nan }"
    (found,) = mistakes(write(HEAD + row(mixed)))
    assert found.endswith("assignment.both.loc_weight: given nan, expected a finite number")


def test_of_very_many_choices_the_nearest_are_named(write: Write) -> None:
    [said] = mistakes(write(HEAD + '[[rows]]\nlabel = "A"\ndetector = "fcs-r50"'))
    count = len(load.detectors())
    assert said.startswith(
        "mine.toml: rows[0] \"A\": detector: unknown detector 'fcs-r50', did you mean 'fcos-r50'? "
        f"(the nearest of {count}: fcos-r50, "
    )
    assert said.endswith("); a file of your own ends in .toml")
    assert said.count(",") == 5


def test_unknown_metric(write: Write) -> None:
    found = mistakes(write(HEAD.replace('"AP"', '"mAP"') + row("published = { AP5 = 1.0 }")))
    assert len(found) == 2
    assert found[0].startswith("mine.toml: columns: unknown metric 'mAP', did you mean 'AP")
    assert found[1].startswith("mine.toml: rows[0] \"A\": published: unknown metric 'AP5', did")


def test_a_date_where_a_number_belongs(write: Write) -> None:
    found = mistakes(write(HEAD + row("published = { AP = 2020-01-01 }")))
    assert found == [
        'mine.toml: rows[0].published.AP: given the string "2020-01-01", expected a number'
    ]


def test_broken_toml_names_the_line(write: Write) -> None:
    (found,) = mistakes(write('id = "x"\ntitle = \n'))
    assert found == "mine.toml:2:9: not valid TOML: Invalid value"


def test_toml_that_breaks_off_names_its_last_line(write: Write) -> None:
    (found,) = mistakes(write('id = "x"\nrows = [\n'))
    assert found == "mine.toml:2: not valid TOML: Invalid value (at end of document)"


def test_files_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    assert mistakes("none.toml") == ["none.toml: no such file"]
    (tmp_path / "latin.toml").write_bytes(b'id = "\xff"')
    assert mistakes("latin.toml") == ["latin.toml: not a text file in UTF-8"]


@pytest.mark.parametrize(
    ("function", "name", "said"),
    [
        (
            load.table,
            "tscode-tabel1",
            "unknown table 'tscode-tabel1', did you mean 'tscode-table1'?",
        ),
        (load.detector, "fcos", "unknown detector 'fcos', did you mean 'fcos-r50'?"),
        (load.schedule, "coco1x", "unknown schedule 'coco1x', did you mean 'coco-1x'?"),
        (load.profile, "smoek", "unknown profile 'smoek', did you mean 'smoke'?"),
        (load.profile, "zzz", "unknown profile 'zzz' (choices: paper, small, smoke)"),
    ],
)
def test_unknown_ids(function: Callable[[str], object], name: str, said: str) -> None:
    (found,) = mistakes(name, function)
    assert found.startswith(said)


def test_a_mistake_in_the_users_detector_is_told_once_with_its_file(
    write: Callable[..., str],
) -> None:
    write('extends = "fcos-r50"\nid = "d"\n[detector.heads]\nboth = { kind = "towr" }', "d.toml")
    rows = "".join(f'[[rows]]\nlabel = "{label}"\ndetector = "d.toml"\n' for label in "AB")
    found = mistakes(write(HEAD + rows))
    assert found[-1] == (
        "d.toml: detector.heads.both: unknown kind 'towr', did you mean 'tower'? "
        "(choices: tower, interactive, custom)"
    )
    assert len([line for line in found if "towr" in line]) == 1


def test_extends_in_a_circle(write: Callable[..., str]) -> None:
    write('extends = "b.toml"', "a.toml")
    write('extends = "a.toml"', "b.toml")
    assert mistakes("a.toml", load.detector) == [
        "a.toml: extends: the files extend each other in a circle"
    ]
    assert mistakes(write("extends = 3"), load.detector) == [
        "mine.toml: extends: give one id or path, as in extends = 'x'"
    ]
