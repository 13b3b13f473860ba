"""What runs inside Locust: users, recorder, and the wiring of its events.

Importing these modules imports Locust, which patches the whole process for gevent: nothing outside
this package imports them.
"""
