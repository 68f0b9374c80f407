"""The table of the default models, and its page, served."""

import socket
import threading
from contextlib import contextmanager

import pytest

from spikeduel.engine.networks.models import load_model
from spikeduel.features.inspection import serving
from spikeduel.features.inspection.table import lay


@pytest.fixture(scope="session")
def table():
    return lay([load_model("fashion-mnist-vgg-lif"), load_model("fashion-mnist-vgg-relu")])


@pytest.fixture(scope="session")
def served(table):
    """A context in which a thread serves the page of the table, at the address that it gives."""

    @contextmanager
    def serve():
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            server = serving.server(table)
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
            server.should_exit = True
            thread.join()

    return serve
