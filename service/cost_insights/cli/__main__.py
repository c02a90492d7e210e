"""Lets `python -m cost_insights.cli` stand for `cost-insights`."""

import sys

from cost_insights.cli import main

sys.exit(main())
