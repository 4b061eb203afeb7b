"""``python -m detbench``, and so ``torchrun ... -m detbench``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, whose files are no libraries: see ``children``
    from detbench.cli.main import main

    main()
