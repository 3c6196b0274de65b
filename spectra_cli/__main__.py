"""The entry of `spectra` and `python -m spectra_cli`: it listens for signals before the slow imports."""

import sys
from typing import NoReturn

from spectra_cli.cli import interrupts


def main() -> NoReturn:
    """Run the command line and exit; an interrupt while Python imports ends as one anywhere else does."""
    interrupts.listen()
    try:
        from spectra_cli.cli import app

        app.main()
    except SystemExit:
        raise
    except BaseException:
        # An interrupted import may end in an ImportError of its own making.
        if not interrupts.asked():
            raise
        sys.exit(interrupts.farewell())


if __name__ == "__main__":
    main()
