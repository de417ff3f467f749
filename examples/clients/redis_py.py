"""redis-py takes a connection of its pool for each command, so a read that waits holds up nobody: no NOWAIT is needed.
Its socket_timeout must be longer than dashboard.timeout (5 s), and the pool larger than the reads that may wait.

    pip install -r requirements.txt && python redis_py.py redis://127.0.0.1:6380 <tenant>
"""

import json
import sys
import threading
import time

import redis

url = sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6380"
tenant = sys.argv[2] if len(sys.argv) > 2 else "SUPERADMIN_GLOBAL"
client = redis.Redis.from_url(url, socket_timeout=10, max_connections=50)
bundles = []


def dashboard(tenant):
    bundles.append(json.loads(client.execute_command("DASHBOARD.GET", tenant)))


client.ping()
began = time.monotonic()
reading = threading.Thread(target=dashboard, args=[tenant])
reading.start()
# Sent while the bundle is waited for, by somebody else in the same process.
client.get("x")
print(f"the neighbour's GET took {round((time.monotonic() - began) * 1000)} ms")
reading.join()
took = round((time.monotonic() - began) * 1000)
print(f"the bundle took {took} ms: {len(bundles[0]['stats'])} figures")
