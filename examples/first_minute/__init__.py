"""Two layers of a small network, four ways to multiply, a table and a picture: see `demo.py`."""
