"""Copies of the two vendors' systems that run as servers and keep the rules of `reference/`.

`python -m tests.simulators capsule --port 9101` and `python -m tests.simulators officernd --port 9102` start them; the tests
also mount them in process (`capsule.app.build`, `officernd.app.build`). Both can be told to fail, and record every request
(`control.py`, under `/_control/`). A simulator is never kinder than the reference; what the reference leaves open is a
switch whose first position is the harsher or the likelier reading.
"""
