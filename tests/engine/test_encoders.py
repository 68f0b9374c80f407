import numpy as np
import pytest
import torch

from spikeduel.engine import ConstantInput
from spikeduel.engine.encoders import ENCODERS, OF_RECORDINGS, encoder_of, latency
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.system.errors import InputError


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (6, 1, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def sequence(encoded):
    return encoded.expand() if isinstance(encoded, ConstantInput) else encoded


@pytest.mark.parametrize("name", ENCODERS)
def test_shapes_types_and_range(name, images):
    def encoded(images):
        return sequence(ENCODERS[name](images, 7, RandomKeys.for_evaluation(np.arange(6))))

    x = encoded(images)
    assert (x.shape, x.dtype) == ((7, 6, 1, 5, 4), torch.float32)
    assert 0 <= x.min() <= x.max() <= 1
    assert not encoded(torch.zeros_like(images)).any()


def test_frames_of_recordings_are_seen_in_turn_in_the_type_that_is_computed_in():
    frames = torch.arange(2 * 6 * 20, dtype=torch.uint8).view(2, 6, 4, 5)
    for num_steps, enabled, dtype in ((3, False, torch.float32), (1, True, torch.bfloat16)):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            x = OF_RECORDINGS(frames, num_steps, RandomKeys.for_evaluation(np.arange(2)))
        assert x.dtype == dtype
        assert x.is_contiguous()
        # Counts up to 239 are whole in bfloat16, too.
        expected = torch.stack(
            [frames[:, step * 6 // num_steps :][:, : 6 // num_steps] for step in range(num_steps)]
        )
        assert torch.equal(x.float(), expected.float())


@pytest.mark.parametrize("name", ENCODERS)
def test_an_images_code_depends_on_neither_batch_nor_order(name, images):
    indices = np.arange(6)
    whole = sequence(ENCODERS[name](images, 7, RandomKeys.for_training(3, 1, indices)))
    order = np.array([4, 1, 5])
    part = sequence(ENCODERS[name](images[order], 7, RandomKeys.for_training(3, 1, indices[order])))
    assert torch.equal(part, whole[:, order])


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_what_its_fields_state(name, images):
    encoder, keys = ENCODERS[name], RandomKeys.for_evaluation(np.arange(6))
    whole = sequence(encoder(images, 7, keys))
    assert encoder.spikes == bool(((whole == 0) | (whole == 1)).all())
    assert encoder.random != torch.equal(whole, sequence(encoder(images, 7, keys.another())))
    assert encoder.help


def test_encoders_of_ones_own(tmp_path, monkeypatch, images):
    (tmp_path / "own_codes.py").write_text(
        "from spikeduel import Encoder\n"
        "def plain(images, num_steps, keys):\n"
        "    return (images / 255).expand(num_steps, *images.shape)\n\n"
        "declared = Encoder(plain, random=True)\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plain, declared = encoder_of("own_codes:plain"), encoder_of("own_codes:declared")
    assert (plain.spikes, plain.random) == (False, False)
    assert (declared.spikes, declared.random) == (False, True)
    assert torch.equal(plain(images, 3, RandomKeys.for_content(images))[2], images / 255)
    assert encoder_of("rate") is ENCODERS["rate"]
    with pytest.raises(InputError, match="did you mean 'rate'"):
        encoder_of("rats")
    with pytest.raises(InputError, match="must be an Encoder or a function, not int"):
        encoder_of("own_codes:number")


def test_direct_is_a_constant(images):
    encoded = ENCODERS["direct"](images, 7, RandomKeys.for_evaluation(np.arange(6)))
    assert isinstance(encoded, ConstantInput)
    assert torch.equal(encoded.value, images / 255)


def test_rate_fires_with_the_pixels_probability():
    values = torch.tensor([0, 1, 64, 128, 254, 255], dtype=torch.uint8)
    images = values.repeat(400, 1)
    mean = ENCODERS["rate"](images, 500, RandomKeys.for_evaluation(np.arange(400))).mean((0, 1))
    p = values / 255
    assert mean[0] == 0
    assert mean[-1] == 1
    assert ((mean - p).abs() <= 4.5 * (p * (1 - p) / 200_000).sqrt()).all()


@pytest.mark.parametrize("num_steps", [1, 2, 25, 100])
def test_latency_matches_its_formula_for_every_pixel_value(num_steps):
    image = torch.arange(256, dtype=torch.uint8)[None]
    spk = latency(image, num_steps, RandomKeys.for_content(image))[:, 0]
    exact = (1 - np.arange(1, 256) / 255) * (num_steps - 1)
    assert (np.abs(spk.argmax(0)[1:].numpy() - exact) <= 0.5 + 1e-9).all()
    assert spk.sum(0).tolist() == [0] + [1] * 255
