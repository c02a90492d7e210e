"""The entry point of `python -m cost_insights.cli`."""

import sys

from cost_insights.cli import main

sys.exit(main())
