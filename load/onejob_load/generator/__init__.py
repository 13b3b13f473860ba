"""What runs inside Locust: users, recorder, and the wiring of its events.

Importing Locust patches the whole process for gevent: nothing outside this package imports a module
of it that needs Locust.
"""
