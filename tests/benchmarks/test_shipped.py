"""The networks that come with the package, against their cards; `benchmarks/records/ship.py --check` asks
whole test sets.
"""

import pytest

from benchmarks.records.ship import embedded
from spikeduel.engine.networks import shipped
from spikeduel.engine.networks.building import num_parameters
from spikeduel.engine.networks.models import load_model
from spikeduel.system.errors import InputError

pytestmark = pytest.mark.usefixtures("known_data")
ORIGINS = shipped.origins()
OF_200 = {
    "fashion-mnist-resnet-silu": 191,
    "fashion-mnist-vgg-lif": 189,
    "fashion-mnist-vgg-relu": 187,
}
"""Right answers of the large networks to the first 200 of the images that their cards count."""


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
        images, labels = embedded(origin.checked.dataset, model.card.image_shape[1])
        assert len(labels) == origin.checked.n
        asked = slice(200 if origin.name in OF_200 else None)
        right = (model.predict(images[asked])[0] == labels[asked]).sum()
        # Another machine can give an image or two another answer.
        assert abs(right - OF_200.get(origin.name, origin.checked.right)) <= 2


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
        InputError, match=r"no such model file\. Each run has its models.*come with the package\.$"
    ):
        load_model("shoes")
