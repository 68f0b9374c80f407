"""Claims put to the test: each file is read, each figure recomputed, and the page is theirs."""

import json
import math
import re
from inspect import signature
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from benchmarks.claims import claims, claims_networks, claims_rerun
from benchmarks.claims.claims import Claim, Flag, Step
from spikeduel.engine.neurons import LIF
from spikeduel.features import FEATURES
from spikeduel.system.errors import InputError
from spikeduel.system.typed import converted

ROOT = Path(__file__).parent.parent.parent
ALL = claims.claims()


def claim(**changes):
    """Return a small claim of 90 of 100 test images, with `changes` of its protocol."""
    protocol = {"dataset": "d", "test_images": 100, "counted": ["accuracy"], **changes}
    return converted(
        {
            "title": "t",
            "claimed": "c",
            "claimed_value": "c",
            "found_value": "f",
            "verdict": "open",
            "sentence": "s",
            "source": {
                **{"by": "b", "kind": "paper", "title": "t", "authors": "a", "place": "p"},
                "read": "2026-11-29",
            },
            "protocol": protocol,
            "numbers": {"share": 90.0, "rows": [1.0, 2.0, 6.0]},
            "recomputed": [],
        },
        Claim,
    )


def stepped(*steps, **changes):
    """Return what is recomputed of that claim with these steps."""
    return claims.recompute(replace(claim(**changes), recomputed=list(steps)))


@pytest.mark.parametrize("name", ALL)
def test_every_figure_is_recomputed(name):
    steps = claims.recompute(ALL[name])
    assert steps
    assert [step.found for step in steps] == [step.step.gives for step in steps]


def test_the_pages_are_what_the_script_makes():
    rows = claims.tested()
    made = claims.pages(rows)
    assert {*claims.PAGES.glob("*.md"), claims.PAGE} == made.keys()
    assert {path: path.read_text(encoding="utf-8") for path in made} == made
    assert sum(not row.claim.ours for row in rows) >= 20
    assert any(row.claim.ours for row in rows)


def test_the_page_has_one_row_for_each_claim():
    text = claims.PAGE.read_text(encoding="utf-8")
    linked = re.findall(r"^\| \[[^\]]+\]\(claims/([\w-]+)\.md\) \|", text, re.MULTILINE)
    assert sorted(linked) == sorted(ALL)


@pytest.mark.parametrize("name", [name for name, claim in ALL.items() if claim.ours])
def test_our_figures_stand_where_the_claim_says(name):
    page = ALL[name].source.place.split(",")[0]
    text = (ROOT / page).read_text(encoding="utf-8")
    figures = [step.reported for step in ALL[name].recomputed if step.reported]
    assert all(figure in text for figure in figures)


@pytest.mark.parametrize("name", ALL)
def test_every_file_that_the_page_of_a_claim_opens_is_there(name):
    path = claims.PAGES / f"{name}.md"
    links = re.findall(r"\]\((\.\./[^)#]+)", path.read_text(encoding="utf-8"))
    assert f"../../claims/{name}.toml" in links
    assert all((path.parent / link).is_file() for link in links)


def test_every_run_has_a_script_that_makes_it():
    commands = [rerun.made_by.split() for claim in ALL.values() for rerun in claim.rerun]
    assert [command[:2] for command in commands] == [["python", "-m"]] * len(commands)
    scripts = [ROOT / command[2].replace(".", "/") for command in commands]
    assert all(script.with_suffix(".py").is_file() or script.is_dir() for script in scripts)


@pytest.mark.parametrize(
    ("step", "found", "agrees"),
    [
        (Step(what="w", expression="share / 4", gives="22.5"), "22.5", None),
        (Step(what="w", expression="share / 4", gives="22.5", reported="22"), "22.5", True),
        (Step(what="w", expression="share / 4", gives="22.5", reported="23.5"), "22.5", False),
        (Step(what="w", expression="rows", gives="3.0", take="mean"), "3.0", None),
        (Step(what="w", expression="share * 1000", gives="90,000"), "90,000", None),
        # Wilson's interval of 90 of 100, as tables have it.
        (
            Step(what="w", expression="share", gives="82.6 to 94.5", take="interval"),
            "82.6 to 94.5",
            None,
        ),
        # And of 3 of 100, the mean of the rows.
        (
            Step(what="w", expression="rows", gives="1.0 to 8.5", take="interval"),
            "1.0 to 8.5",
            None,
        ),
    ],
)
def test_a_step_is_written_with_the_digits_of_its_figure(step, found, agrees):
    (recomputed,) = stepped(step)
    assert (recomputed.found, recomputed.agrees, recomputed.is_right) == (found, agrees, True)


def test_a_later_step_takes_the_result_of_an_earlier_one():
    first = Step(what="w", expression="share - 10", gives="80", name="less")
    assert stepped(first, Step(what="w", expression="less / 2", gives="40"))[1].is_right


def test_a_wrong_figure_is_reported():
    row = claims.Tested(
        name="n",
        claim=claim(),
        recomputed=stepped(Step(what="w", expression="share", gives="91")),
        done=[],
        planned=[],
        flags=[],
    )
    assert claims.wrong([row]) == ["claims/n.toml, 'w': 90, not 91."]


def with_another_digit(text):
    """Yield the text with another digit in one of its figures, for every digit."""
    for figure in claims.FIGURE.finditer(text):
        for place in range(*figure.span()):
            for digit in set("0123456789") - {text[place]} if text[place].isdigit() else ():
                yield text[:place] + digit + text[place + 1 :]


def test_nearly_every_other_digit_in_a_sentence_of_a_claim_is_flagged():
    flagged = [
        bool(claims.without_source(replace(row.claim, **{name: text}), row.recomputed, row.done))
        for row in claims.tested()
        for name in claims.SENTENCES
        for text in with_another_digit(getattr(row.claim, name))
    ]
    assert len(flagged) > 5000
    # Some edits make another figure of the same claim.
    assert sum(flagged) / len(flagged) > 0.95


@pytest.mark.parametrize(
    ("sentence", "unknown"),
    [
        ("90 of 100 images, 22.5 % a quarter, CIFAR-10 in 8-bit", []),
        ("93 % of the images", ["93"]),
        ("22.6 and 1,000", ["22.6", "1,000"]),
        ("22 of them", ["22"]),
        ("in 64 epochs, 6.0 or 6", []),
    ],
)
def test_a_figure_of_a_sentence_is_a_number_a_step_or_declared(sentence, unknown):
    changed = replace(claim(), sentence=sentence, declared={"64": "epochs"})
    steps = stepped(Step(what="w", expression="share / 4", gives="22.5"))
    assert claims.without_source(changed, steps, []) == [f"sentence: {text}" for text in unknown]


def test_a_figure_without_a_source_is_reported_with_its_file():
    row = claims.Tested(
        name="n",
        claim=claim(),
        recomputed=[],
        done=[],
        planned=[],
        flags=[],
        without_source=["claimed: 93"],
    )
    (flagged,) = claims.wrong([row])
    assert flagged.startswith("claims/n.toml, claimed: 93 is no figure of the file")


@pytest.mark.parametrize("expression", ["0 / 0", "1 / 0", "log2(0 - 1)"])
def test_a_step_gives_a_finite_number(expression):
    for gives in ("nan", "inf", "1"):
        with pytest.raises(InputError, match="step 'w'"):
            stepped(Step(what="w", expression=expression, gives=gives))


@pytest.mark.parametrize("expression", ["__import__('os')", "other", "share ** 2", "share.real"])
def test_an_expression_is_arithmetic_over_the_claims_numbers(expression):
    with pytest.raises(InputError, match="step 'w'"):
        stepped(Step(what="w", expression=expression, gives="1"))


def test_an_interval_needs_the_number_of_test_images():
    with pytest.raises(InputError, match="test_images"):
        stepped(Step(what="w", expression="share", gives="1", take="interval"), test_images=None)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"selection": "validation", "seeds": 4}, []),
        ({"selection": "best test epoch", "seeds": 1}, [Flag.BEST_TEST_EPOCH, Flag.ONE_SEED]),
        ({}, [Flag.SELECTION_UNKNOWN, Flag.SEEDS_UNKNOWN]),
        ({"selection": "no training"}, []),
        ({"counted": ["energy"]}, [Flag.MEMORY_LEFT_OUT]),
        ({"counted": ["energy", "memory traffic"]}, []),
        ({"selection": "validation", "seeds": 3}, [Flag.TOO_FEW_SEEDS]),
        (
            {"selection": "best test epoch, with another choice beside it", "seeds": 4},
            [Flag.BEST_BESIDE_ANOTHER],
        ),
        ({"counted": ["time"]}, [Flag.RUNS_UNKNOWN]),
        ({"counted": ["time"], "runs": 1}, [Flag.ONE_RUN]),
        ({"counted": ["parameters"], "split": "leaks"}, [Flag.LEAKING_SPLIT]),
        ({"counted": ["parameters"], "parameters": {"a": 100, "b": 110}}, []),
        (
            {"counted": ["parameters"], "parameters": {"a": 100, "b": 111}},
            [Flag.UNEQUAL_PARAMETERS],
        ),
    ],
)
def test_flags_follow_from_the_protocol(changes, flags):
    assert claims.flags_of(claim(**changes), []) == flags


def test_a_figure_that_differs_is_flagged_and_a_flag_is_not_typed_twice():
    recomputed = stepped(Step(what="w", expression="share", gives="90", reported="91"))
    known = claim(selection="validation", seeds=4)
    assert claims.flags_of(known, recomputed) == [Flag.FIGURES_DIFFER]
    with pytest.raises(InputError, match="leave it out"):
        claims.flags_of(replace(known, flags=[Flag.ONE_SEED]), [])


def test_numbers_are_looked_up_by_keys_and_entries():
    document = {"rows": [{"net": "a", "accuracy": 0.5}, {"net": "b", "accuracy": [0.1, 0.2]}]}
    assert claims.look_up(document, "rows/net=a/accuracy") == [0.5]
    assert claims.look_up(document, "rows/net=b/accuracy") == [0.1, 0.2]
    for wrong in (
        "rows/net=c/accuracy",
        "rows/net=a/loss",
        "lines",
        "rows/accuracy",
        "rows/net=a/net",
    ):
        with pytest.raises(InputError, match=wrong):
            claims.look_up(document, wrong)
    with pytest.raises(InputError, match="not finite"):
        claims.look_up({"accuracy": [0.5, math.nan]}, "accuracy")


def test_a_wrong_path_of_a_rerun_is_an_error_that_names_the_claim(monkeypatch):
    changed = ALL["ours-mnist"]
    rerun = replace(changed.rerun[0], figures={"net": "contenders/vgg-fil/accuracies"})
    monkeypatch.setattr(claims, "claims", lambda: {"c": replace(changed, rerun=[rerun])})
    with pytest.raises(SystemExit) as ended:
        claims.main()
    assert "claims/c.toml" in str(ended.value)
    assert f"{rerun.results}, 'net': nothing at 'contenders/vgg-fil/accuracies'" in str(ended.value)


def test_a_rerun_without_its_results_is_shown_as_planned(tmp_path, monkeypatch):
    rerun = next(claims_rerun.queue(["snntorch-tutorial-5"]))
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    claims._document.cache_clear()
    assert claims.done(rerun) is None
    row = next(row for row in claims.tested() if row.name == "snntorch-tutorial-5")
    assert (row.done, row.planned, row.has_enough_seeds) == ([], [rerun], False)
    assert row.group == "Recomputed"
    text = claims.page_of(row)
    assert "**Planned, not yet run: re-run with the authors' protocol and network.**" in text
    assert "`python -m benchmarks.claims.claims_rerun claim-snntorch-tutorial-5`" in text
    document = {"command": "c", "contenders": {"dense-snn": {"accuracies": [0.9, 0.92]}}}
    (tmp_path / rerun.results).write_text(json.dumps(document))
    done = claims.done(rerun)
    claims._document.cache_clear()
    assert (rerun.made_by, done.num_seeds) == ("c", 2)
    assert [figure.text for figure in done.figures] == ["91.00 ± 1.41 %"]


def test_values_of_epochs_are_no_seeds():
    rerun = next(rerun for rerun in ALL["study-time"].rerun if rerun.each == "epoch")
    done = claims.done(rerun)
    assert done.num_seeds == 0
    assert {figure.count(rerun.each) for figure in done.figures} == {"3 epochs"}


def num_weights(name):
    """Return the weights of a network of claims_networks.py on images 28×28 and ten classes."""
    build = getattr(claims_networks, name)
    given = (
        {"neuron": lambda: LIF(beta=0.9, threshold=1.0)}
        if "neuron" in signature(build).parameters
        else {}
    )
    network = build(image_shape=(1, 28, 28), num_classes=10, **given)
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(
    ("name", "claim_name", "number"),
    [
        ("ten_outputs", "snntorch-population", 101_770),
        ("population", "snntorch-population", 164_980),
        ("population_relu", "snntorch-population", 164_980),
        ("dense_512_256", "ardacanuckan-accuracy", 537_354),
        ("dense_256_256", "soveshmohapatra-accuracy", 269_322),
        ("dense_256_256_relu", "soveshmohapatra-accuracy", 269_322),
        ("one_layer", "spikingjelly-lif-fc-mnist", 7_840),
        ("twitu", "twitu-mnist-solver", 24_690),
    ],
)
def test_networks_have_the_weights_of_their_claims(name, claim_name, number):
    assert num_weights(name) == number
    figures = {step.gives for step in ALL[claim_name].recomputed}
    figures |= {f"{count:,}" for count in ALL[claim_name].protocol.parameters.values()}
    assert f"{number:,}" in figures


def test_pixels_are_standardised_and_outputs_summed_over_steps():
    pixels = torch.tensor([0.1307, 0.1307 + 0.3081])
    assert claims_networks.Standardise()(pixels).tolist() == pytest.approx([0, 1], abs=1e-6)
    outputs = torch.tensor([[[1.0, 2.0]], [[3.0, 5.0]]])
    assert claims_networks.SumReadout().scores(outputs).tolist() == [[4.0, 7.0]]


def test_outputs_of_a_class_are_summed():
    outputs = torch.arange(2 * claims_networks.POPULATION).float()
    sums = claims_networks.SumOfClass()(outputs)
    assert sums.tolist() == [sum(range(50)), sum(range(50, 100))]


@pytest.mark.skipif(
    not {"ablations", "optimism"} <= FEATURES.keys(),
    reason="reruns have ablations, and test each epoch",
)
def test_reruns_are_experiments_with_seeds_enough():
    reruns = list(claims_rerun.queue([]))
    assert len({rerun.results for rerun in reruns}) == len(reruns)
    for rerun in reruns:
        experiment = claims_rerun.experiment(rerun, {"socofing": "PATH", "n-mnist-800": "PATH"})
        assert experiment.optimism
        assert experiment.seeds >= claims.ENOUGH_SEEDS
        assert rerun.results.startswith("claim-")
