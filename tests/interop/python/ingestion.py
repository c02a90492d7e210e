"""Sends events by the background thread of polar_sdk 0.x, as it is published.

python ingestion.py URL TOKEN
"""

import sys

from polar_sdk.ingestion import Ingestion

url, token = sys.argv[1:]
ingestion = Ingestion(access_token=token, server_url=url)
for number in range(120):
    ingestion.ingest(
        {
            "name": "llm.inference",
            "external_customer_id": "user_123",
            "metadata": {"number": number, "_cost": {"amount": 0.1 + 0.2, "currency": "usd"}},
        }
    )
ingestion.close()
