from __future__ import annotations

from meshwright_operator.setup.job import main

if __name__ == "__main__":
    main()
