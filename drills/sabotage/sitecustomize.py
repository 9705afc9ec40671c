"""Python imports a module of this name at every start: with this folder in PYTHONPATH, each process of a
drilled run listens for orders. Nothing of the project itself knows of drills.
"""

import os

if "DRILL_ORDERS" in os.environ:
    from drills.orders import listen

    listen()
