"""`python -m spikeduel`"""

from spikeduel.cli import main

main()
