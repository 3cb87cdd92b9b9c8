"""The numbers we promise, measured: `python -m bench` prints them and writes `results.json`. Ring: none.

Everything runs on 127.0.0.1 in processes of its own and stops by itself. The machine may be busy: CPU time is compared
instead of wall time where that is possible, in paired rounds, and medians are reported.
"""
