"""The networks that come with the package, against their cards; `benchmarks/ship.py --check` asks
whole test sets.
"""

import sys
from pathlib import Path

import pytest

from spikeduel.networks import shipped
from spikeduel.networks.building import num_parameters
from spikeduel.networks.models import load_model
from spikeduel.system.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from ship import checked

pytestmark = pytest.mark.usefixtures("known_data")
ORIGINS = shipped.origins()


@pytest.mark.parametrize("origin", ORIGINS, ids=lambda origin: origin.name)
def test_each_is_what_its_card_says(origin):
    model = load_model(origin.name)
    assert (model.card.dataset, model.card.seed) == (origin.dataset, origin.seed)
    assert (num_parameters(model.module), model.card.num_steps) == (
        origin.parameters,
        origin.num_steps,
    )
    assert origin.low < origin.accuracy < origin.high
    if not origin.name.startswith("mnist-"):  # the same networks
        found = checked(model, origin.checked.dataset)
        assert found.n == origin.checked.n
        # Another machine can give an image or two another answer.
        assert abs(found.right - origin.checked.right) <= 2


def test_a_file_of_that_name_comes_first(tmp_path):
    (tmp_path / "fashion-mnist-vgg-relu").write_bytes(b"")
    with pytest.raises(InputError, match="not a model file"):
        load_model("fashion-mnist-vgg-relu")
    assert (
        load_model("fashion-mnist-vgg-lif").file
        == shipped.FOLDER / "fashion-mnist-vgg-lif.safetensors"
    )


def test_a_name_that_is_nearly_right_is_named():
    with pytest.raises(InputError, match="Did you mean 'fashion-mnist-vgg-lif'"):
        load_model("fashion-mnist-vgg-liff")
    with pytest.raises(
        InputError, match=r"no such model file\. `spikeduel runs`.*come with the package\.$"
    ):
        load_model("shoes")
