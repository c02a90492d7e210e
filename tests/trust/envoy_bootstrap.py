"""Reads a bootstrap configuration of Envoy, as JSON, and says how many listeners it has.

    python envoy_bootstrap.py PACKAGE…

Each PACKAGE is one whose messages the configuration holds as `Any`, such as
`envoy.extensions.transport_sockets.tls.v3`.

Runs in an environment of its own, because the package `xds-protos` writes over modules that
OpenTelemetry installs.
"""

import importlib
import pkgutil
import sys

from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf import json_format

for package in sys.argv[1:]:
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
bootstrap = json_format.Parse(sys.stdin.read(), bootstrap_pb2.Bootstrap())
print(f"{len(bootstrap.static_resources.listeners)} listeners")
