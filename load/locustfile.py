"""For plain Locust: `locust -f load/locustfile.py --host http://127.0.0.1:5000`."""

from onejob_load.locustfile import *  # noqa: F403
