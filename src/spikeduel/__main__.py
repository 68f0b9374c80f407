"""`python -m spikeduel`"""

from spikeduel.cli import program

program()
