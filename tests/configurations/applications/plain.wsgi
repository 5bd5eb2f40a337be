"""A script that finds its package beside itself."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from stand_in import make_application, script_name  # noqa: E402

application = make_application(script_name(__file__))
