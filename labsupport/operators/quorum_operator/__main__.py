"""`python3 -m labsupport.operators.quorum_operator operator|conversion`: the two programs of the image."""

from __future__ import annotations

import logging
import sys

from labsupport.errors import LabsError


def main() -> int:
    """Run what the command line names; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        match sys.argv[1:]:
            case ["operator"]:
                from labsupport.operators.quorum_operator import operator

                return operator.main()
            case ["conversion"]:
                from labsupport.operators.quorum_operator import webhook

                return webhook.main()
    except LabsError as error:
        print(error, file=sys.stderr)
        return 1
    print("usage: quorum_operator operator|conversion", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
