from msgspec import structs

from factories import dataset, trial, variant_result
from spikeduel.analysis.run_findings import RunContext, find_caveats
from spikeduel.experiment.recipes import baseline
from spikeduel.results.findings import finding, with_id


def test_compressed_variants_that_learned_nothing_have_one_caveat():
    variants = {
        name: structs.replace(variant_result(name, accuracy, key="k"), compressed=True)
        for name, accuracy in (("4 bits", 0.1), ("few spikes", 0.1), ("half", 0.9))
    }
    run = RunContext(baseline(), dataset(), [trial("snn", 0.9, variants=variants)])
    found = with_id(find_caveats(run), "compressed_at_chance")
    assert found == [
        finding("compressed_at_chance", contender="snn", variants=["4 bits", "few spikes"])
    ]
