"""``python -m detbench``, and so ``torchrun ... -m detbench``."""

from detbench.cli.main import main

if __name__ == "__main__":
    main()
