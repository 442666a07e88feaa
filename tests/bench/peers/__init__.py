"""The same work for Quantrac's gateway and for thingsboard-gateway, in one run, side by side; see README.md.

python -m tests.bench.peers --out DIR [--seconds N] [--quick] [--venv DIR]
"""
