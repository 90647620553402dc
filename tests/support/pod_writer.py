"""A client of Consul in a pod: writes a counter into the KV store by the name of the Service, as long as it runs.

One line for each acknowledged write: the time of the acknowledgement and the counter. Each of KEYS keys is written in turn, so
the last KEYS numbers are to be found in the store, or later ones. Standard library only: the pod's image has no more.
"""

import http.client
import os
import ssl
import time
from pathlib import Path

KEYS = 100
EVERY = 0.1  # seconds between two writes
TIMEOUT = 1.0  # seconds for one answer, then another server is asked


def main() -> None:
    token = Path("/secret/token").read_text().strip()
    tls = ssl.create_default_context(cafile="/secret/ca.pem")
    connection, number = None, 1
    while True:
        try:
            connection = connection or http.client.HTTPSConnection(os.environ["CONSUL"], 8501, timeout=TIMEOUT, context=tls)
            connection.request("PUT", f"/v1/kv/writer/{number % KEYS}", body=str(number), headers={"X-Consul-Token": token})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                print(f"{time.time():.3f} {number}", flush=True)
                number += 1
                time.sleep(EVERY)
                continue
        except (OSError, http.client.HTTPException):
            pass
        if connection:
            connection.close()
        connection = None
        time.sleep(0.02)


if __name__ == "__main__":
    main()
