"""A demo fleet: genuine agents on genuine SDKs under genuine instrumentors, with a scripted model server behind them.

`python -m pilothouse.testing.demo --endpoint http://127.0.0.1:4318 --key KEY` runs it; `fleet.run_fleet` does so from
code. It needs the extra: pip install 'pilothouse[demo]'.
"""
