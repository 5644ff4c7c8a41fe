"""``python -m mm_assets.cli`` is ``mm``."""

from mm_assets.cli import main

if __name__ == "__main__":
    main()
